//! Makes every part and gives it what it needs.
//!
//! In the order of need: store, what has ended, keys, who is asking, accounts, the API, the
//! gate, the edge. What the database must give is waited for. It must not know signals or
//! sockets.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::reload::Reloader;
use super::secret_key::root_key;
use super::shared::shared;
use super::watched::Watched;
use super::{Options, Starting, database_options, persist};
use crate::accounts::passwords::Passwords;
use crate::accounts::throttle::Throttle;
use crate::accounts::{Accounts, AccountsParts, AuditTable, AuditWriter, audit_table};
use crate::api::{self, ApiParts};
use crate::clock::Clock;
use crate::cluster::{
    Announcer, Compaction, DatabaseHints, Follower, Heard, KeyFollower, Seen, SharedTasks,
};
use crate::config::Settings;
use crate::gate::{CorsPolicy, Gate};
use crate::gateway::{Drained, Gateway, Live, Replies, Upstreams, Workers};
use crate::identity::{
    Authenticator, BasicAuthenticator, JwtIssuer, KeyError, Keys, LastUsedWriter, Links,
    OpaqueTokens, Revocations,
};
use crate::issuers::IssuerKeys;
use crate::mail::{Bell, Postman, Transport};
use crate::secret::{KeyUse, RootKey};
use crate::store::{Store, StoreError};
use crate::telemetry::{self, AuditLog, Exporter, LogLosses, Metrics, Tracer, TracesError};

/// How long background work may take to end: a little more than the mail in hand.
const BACKGROUND_TIME: Duration = Duration::from_secs(35);

/// Everything that was joined, ready to serve.
pub(super) struct Parts {
    store: Store,
    authenticator: Arc<Authenticator>,
    accounts: Arc<Accounts>,
    keys: Arc<Keys>,
    revocations: Arc<Revocations>,
    follower: Follower,
    database_hints: Option<DatabaseHints>,
    shared_tasks: Option<SharedTasks>,
    compaction: Compaction,
    key_follower: KeyFollower,
    issuer_keys: IssuerKeys,
    last_used: LastUsedWriter,
    audit_writer: Option<AuditWriter>,
    log_losses: Vec<(&'static str, LogLosses)>,
    postman: Postman,
    live: Live,
    traces: Option<(Tracer, Exporter)>,
}

/// Makes the parts. Returns when the database has given what must be known before the first
/// request: an up-to-date schema, the keys, and everything that has ended.
pub(super) async fn join(
    settings: &Arc<Settings>,
    options: &Options,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Parts> {
    let root = root_key(settings)?;
    let clock = &options.clock;
    let store = ready_store(settings).await?;

    let revocations = Arc::new(Revocations::new(*settings.revocation.max_staleness));
    let (seen, heard) = told(metrics);
    let tick = *settings.revocation.tick;
    let follower = Follower::new(store.clone(), clock.clone(), Arc::clone(&revocations), tick);
    let follower = loaded(follower.watched(heard, Arc::clone(&seen))).await?;
    seen("database", true);
    let database_hints = DatabaseHints::new(store.clone(), follower.waker(), Arc::clone(&seen));
    let (shared, shared_tasks) =
        shared(settings, &store, &root, follower.waker(), Arc::clone(&seen), metrics)
            .await?
            .unzip();
    let keys = load_keys(settings, &store, &root, clock).await?;

    let opaque = Arc::new(OpaqueTokens::new(&root));
    let (authenticator, last_used) = Authenticator::new(
        settings,
        store.clone(),
        clock.clone(),
        Arc::clone(&keys),
        Arc::clone(&opaque),
        Arc::clone(&revocations),
    );
    let authenticator = Arc::new(match &shared {
        Some(shared) => authenticator.sharing(shared.cache()),
        None => authenticator,
    });

    let (bell, limits) = (Bell::default(), &settings.limits);
    let links =
        Links::new(root.derive(KeyUse::MailLinks), *settings.accounts.password_reset_timeout);
    let transport = match &options.transport {
        Some(transport) => transport.clone(),
        None => Transport::from_url(settings.mail.url.expose())?,
    };
    let postman =
        Postman::new(settings, store.clone(), links.clone(), transport, clock.clone(), &bell)?
            .watched(Arc::new(move |up| seen("mail", up)));

    let mut throttle = Throttle::new(limits, clock.clone()).counted_in(Arc::clone(metrics));
    let mut announcer = Announcer::new(Arc::clone(&revocations));
    if let Some(shared) = &shared {
        throttle = throttle.sharing(shared.counts());
        announcer = announcer.telling(shared.herald());
    }
    let audited = audited(settings, &store)?;
    let accounts = Arc::new(Accounts::new(AccountsParts {
        audit: audited.log,
        audit_table: audited.table,
        settings: Arc::clone(settings),
        store: store.clone(),
        authenticator: Arc::clone(&authenticator),
        issuer: Arc::new(JwtIssuer::new(settings, Arc::clone(&keys))),
        opaque,
        links,
        passwords: passwords(settings, metrics),
        throttle,
        bell,
        announcer,
        clock: clock.clone(),
    }));
    let prover = Arc::clone(&accounts) as _;
    let basic = BasicAuthenticator::new(settings, Arc::clone(&authenticator), prover);
    let live = Live {
        settings: Arc::clone(settings),
        gate: Gate::new(settings, Arc::clone(&authenticator), Arc::new(basic))?,
        cors: CorsPolicy::new(&settings.cors),
        upstreams: Upstreams::new(settings, metrics)?,
        api: api::router(ApiParts {
            accounts: Arc::clone(&accounts),
            authenticator: Arc::clone(&authenticator),
        }),
        replies: replies(),
    };
    live.upstreams.refresh().await;

    Ok(Parts {
        compaction: Compaction::new(settings, store.clone(), clock.clone(), revocations.clone()),
        issuer_keys: IssuerKeys::new(Arc::clone(&keys), Arc::clone(metrics))?,
        key_follower: KeyFollower::new(store.clone(), clock.clone(), Arc::clone(&keys)),
        keys,
        store,
        authenticator,
        accounts,
        revocations,
        follower,
        database_hints,
        shared_tasks,
        last_used,
        audit_writer: audited.writer,
        log_losses: audited.losses,
        postman,
        live,
        traces: traces(settings, metrics)?,
    })
}

/// What makes and sends traces, if any are wanted.
fn traces(
    settings: &Settings,
    metrics: &Metrics,
) -> Result<Option<(Tracer, Exporter)>, TracesError> {
    telemetry::traces(&settings.traces, metrics.traces(), *settings.server.drain_timeout)
}

/// How refusals are written.
pub(super) fn replies() -> Replies {
    Replies {
        rejection: api::reply::rejection,
        unavailable: api::reply::unavailable,
        throttled: api::reply::throttled_at_the_gate,
        error: api::reply::error,
    }
}

/// Where it is told and kept who did what.
struct Audited {
    log: AuditLog,
    table: AuditTable,
    writer: Option<AuditWriter>,
    losses: Vec<(&'static str, LogLosses)>,
}

fn audited(settings: &Settings, store: &Store) -> anyhow::Result<Audited> {
    let log = AuditLog::open(&settings.server.audit_log)
        .context("the audit log cannot be written (server.audit_log)")?;
    let (table, writer) = if settings.server.audit_table {
        let (table, writer) = audit_table(store.clone());
        (table, Some(writer))
    } else {
        (AuditTable::default(), None)
    };
    let losses: Vec<(_, LogLosses)> = vec![
        ("audit", Box::new(log.dropped_reader())),
        ("audit_table", Box::new(table.lost_reader())),
    ];
    Ok(Audited { log, table, writer, losses })
}

/// The pool that hashes.
pub(super) fn passwords(settings: &Settings, metrics: &Arc<Metrics>) -> Passwords {
    let (argon2, limits) = (&settings.accounts.argon2, &settings.limits);
    let pool = Passwords::new(argon2, limits.hashing_threads, *limits.hashing_wait);
    pool.counted_in(Arc::clone(metrics))
}

/// The database, with an up-to-date schema; waits for one that is away.
async fn ready_store(settings: &Settings) -> anyhow::Result<Store> {
    let database = database_options(settings);
    let store = persist("opening", || Store::open(&database))
        .await
        .context("the database could not be opened")?;
    if settings.database.migrate {
        persist("migrations", || store.migrate())
            .await
            .context("the migrations could not be applied")?;
    }
    Ok(store.with_audit_log(settings.server.audit_table))
}

/// What metrics hear of dependencies, and of ends on other replicas.
fn told(metrics: &Arc<Metrics>) -> (Seen, Heard) {
    let (told, heard) = (Arc::clone(metrics), Arc::clone(metrics));
    (
        Arc::new(move |what, up| told.dependency_is_up(what, up)),
        Arc::new(move |after| heard.revocation_propagated(after)),
    )
}

/// Reads the whole log; waits for a database that is away. What it cannot understand is no
/// reason to wait: an entry of a newer release stays one.
async fn loaded(mut follower: Follower) -> anyhow::Result<Follower> {
    let mut told = false;
    loop {
        match follower.load().await {
            Err(StoreError::Unavailable(error)) => {
                if !told {
                    tracing::warn!(%error, "revocation log: the database is away, trying again");
                    told = true;
                }
                tokio::time::sleep(super::DATABASE_PAUSE).await;
            }
            done => {
                done.context("the log of what has ended could not be read")?;
                return Ok(follower);
            }
        }
    }
}

async fn load_keys(
    settings: &Settings,
    store: &Store,
    root: &RootKey,
    clock: &Clock,
) -> anyhow::Result<Arc<Keys>> {
    let keys = persist("signing keys", || async {
        match Keys::load(settings, store, root, clock).await {
            Err(KeyError::Store(error)) => Err(error),
            other => Ok(other),
        }
    })
    .await?;
    Ok(Arc::new(keys?))
}

impl Parts {
    /// Serves until `stopping`; then ends the background work and closes the database.
    pub(super) async fn serve(
        self,
        starting: Starting,
        stopping: watch::Receiver<bool>,
    ) -> anyhow::Result<Drained> {
        let Starting { settings, options, listeners, health, metrics, supervisor } = starting;
        let Options { clock, log, source, .. } = options;
        // They outlive the background work: connections to the database may live on them.
        let workers =
            Workers::start(settings.server.threads).context("no threads to serve with")?;
        let live = Arc::new(ArcSwap::from_pointee(self.live));
        let watched = Watched {
            store: &self.store,
            clock: &clock,
            revocations: &self.revocations,
            authenticator: &self.authenticator,
            keys: &self.keys,
            live: &live,
            workers: workers.handles().len(),
        };
        watched.by(&health, &metrics);
        let request_log: (_, LogLosses) = ("request", Box::new(log.dropped_reader()));
        metrics.watch_losses(self.log_losses.into_iter().chain([request_log]).collect());
        let (end, ending) = watch::channel(false);
        let mut background = JoinSet::new();
        background.spawn(self.follower.run(ending.clone()));
        if let Some(hints) = self.database_hints {
            background.spawn(hints.run(ending.clone()));
        }
        if let Some(tasks) = self.shared_tasks {
            tasks.spawn(&mut background, &ending);
        }
        background.spawn(self.compaction.run(ending.clone()));
        background.spawn(self.key_follower.run(ending.clone()));
        background.spawn(self.issuer_keys.run(ending.clone()));
        background.spawn(self.last_used.run(ending.clone()));
        if let Some(writer) = self.audit_writer {
            background.spawn(writer.run(ending.clone()));
        }
        background.spawn(self.postman.run(ending.clone()));
        let (tracer, exporter) = self.traces.unzip();
        if let Some(exporter) = exporter {
            background.spawn(exporter.run(ending.clone()));
        }
        if let Some(source) = source {
            let reloader = Reloader {
                source,
                live: Arc::clone(&live),
                authenticator: self.authenticator,
                accounts: self.accounts,
                metrics: Arc::clone(&metrics),
                clock: clock.clone(),
                supervisor,
            };
            background.spawn(reloader.run(ending));
        }
        let (log, tracer) = (Arc::new(log), tracer.map(Arc::new));
        let gateway = Gateway { live, health, metrics, log, clock, tracer };
        let drained = gateway.run(listeners, &workers, stopping).await;
        // Only now: requests in flight have written their changes and rung for their mail.
        end.send_replace(true);
        let ended = async { while background.join_next().await.is_some() {} };
        if timeout(BACKGROUND_TIME, ended).await.is_err() {
            tracing::warn!("background work was still under way and was dropped");
        }
        self.store.close().await;
        Ok(drained?)
    }
}
