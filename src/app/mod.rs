//! The one place that names every concrete part and joins them.
//!
//! Start: bind every socket, answer probes, open the database, load what must be loaded, then
//! serve. Stop: the same backwards. It must not decide anything about a request.

mod join;
mod onlooker;
mod reload;
mod secret_key;
mod shared;
mod supervisor;
mod watched;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api;
use crate::clock::Clock;
use crate::config::{Pool, Settings};
use crate::gateway::{self, Drained, Health, Listeners};
use crate::mail::Transport;
use crate::store::{DatabaseOptions, Store, StoreError};
use crate::telemetry::{Metrics, RequestLog};
use supervisor::Supervisor;

pub use onlooker::Onlooker;
pub use reload::Source;
pub(crate) use secret_key::file_beside;
pub use secret_key::root_key;
pub(crate) use shared::redis_ca;

/// Lines of the request log that may wait for a slow reader of standard output.
const LOG_LINES: usize = 16 * 1024;

/// How long to wait before a database that was away is tried again.
const DATABASE_PAUSE: Duration = Duration::from_millis(500);

/// What the surroundings may hand in instead of the usual.
pub struct Options {
    /// The time.
    pub clock: Clock,
    /// Where mail goes; `None`: as `mail.url` says.
    pub transport: Option<Transport>,
    /// One line per request.
    pub log: RequestLog,
    /// Where a changed configuration is read from; `None`: it stays as it is.
    pub source: Option<Source>,
}

impl Default for Options {
    fn default() -> Self {
        let log = RequestLog::stdout(LOG_LINES);
        Self { clock: Clock::system(), transport: None, log, source: None }
    }
}

/// A gateway that serves.
pub struct Running {
    /// The first traffic address, with its real port.
    pub address: SocketAddr,
    /// All of them.
    pub addresses: Vec<SocketAddr>,
    /// The telemetry address, if there is one.
    pub telemetry: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<anyhow::Result<Drained>>,
}

impl Running {
    /// Stops gracefully; returns when everything has ended.
    pub async fn stop(self) -> anyhow::Result<Drained> {
        self.stop.send_replace(true);
        self.serving.await.context("the gateway's task ended early")?
    }
}

/// The runtime of everything but connections, which have [`gateway::Workers`]. `threads` 0: one for
/// each CPU that the process may use.
pub fn runtime(threads: usize) -> anyhow::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build().context("the runtime could not start")
}

/// Starts a gateway with the usual surroundings.
pub async fn start(settings: Settings) -> anyhow::Result<Running> {
    start_with(settings, Options::default()).await
}

/// Starts a gateway; returns when it serves.
pub async fn start_with(settings: Settings, options: Options) -> anyhow::Result<Running> {
    let (stop, stopping) = watch::channel(false);
    let starting = Starting::bind(settings, options)?;
    let addresses = starting.listeners.addresses().to_vec();
    let telemetry = starting.listeners.telemetry();
    let (ready, became_ready) = tokio::sync::oneshot::channel();
    let mut serving = tokio::spawn(starting.serve(stopping, ready));
    tokio::select! {
        Ok(()) = became_ready => {}
        ended = &mut serving => {
            ended.context("the gateway's task ended early")??;
            anyhow::bail!("the gateway ended before it served");
        }
    }
    let address = *addresses.first().context("no address to listen on")?;
    Ok(Running { address, addresses, telemetry, stop, serving })
}

/// Serves until SIGTERM or SIGINT, then stops gracefully; a second signal ends the process at once.
pub async fn serve(settings: Settings, options: Options) -> anyhow::Result<()> {
    let (stop, stopping) = watch::channel(false);
    let waker = options.source.as_ref().map(Source::waker);
    let starting = Starting::bind(settings, options)?;
    let (ready, became_ready) = tokio::sync::oneshot::channel();
    let listening = starting.listeners.names().to_vec();
    if let Some(address) = starting.listeners.telemetry() {
        // Before anything is loaded: whoever waits for readiness wants to know where to ask.
        tracing::info!(%address, "serving probes and metrics");
    }
    let mut signals = StopSignals::listen()?;
    let mut hangup = signal(SignalKind::hangup())?;
    let supervisor = Supervisor::default();
    let starting = Starting { supervisor: Some(supervisor.clone()), ..starting };
    let serving = tokio::spawn(starting.serve(stopping, ready));
    let heart = supervisor.clone();
    let beating = tokio::spawn(async move { heart.beat().await });
    let waiting = supervisor.clone();
    tokio::spawn(async move {
        let served = tokio::select! {
            served = became_ready => served,
            () = waiting.ask_for_time() => return,
        };
        if served.is_ok() {
            waiting.ready().await;
            for address in listening {
                tracing::info!(address, "serving traffic");
            }
        }
    });
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!("SIGHUP: reading the configuration anew");
            if let Some(waker) = &waker {
                waker.notify_one();
            }
        }
    });
    let signals = tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stopping: no new connections, requests in flight finish");
        supervisor.stopping().await;
        stop.send_replace(true);
        signals.next().await;
        tracing::warn!("second signal: ending at once");
        std::process::exit(i32::from(crate::cli::EXIT_FAILURE));
    });
    let drained = serving.await.context("the gateway's task ended early")?;
    signals.abort();
    beating.abort();
    match drained? {
        Drained::Whole => tracing::info!("stopped"),
        Drained::Cut(connections) => {
            tracing::warn!(connections, "stopped; connections were still busy and were dropped");
        }
    }
    Ok(())
}

/// SIGTERM and SIGINT, listened to from one to the next: a second one that comes while the first
/// is being dealt with is not lost.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for SIGTERM or SIGINT.
pub async fn stop_signal() -> anyhow::Result<()> {
    StopSignals::listen()?.next().await;
    Ok(())
}

/// Opens the database and applies its migrations, whatever `database.migrate` says.
pub async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let store = open_store(settings).await?;
    store.migrate().await.context("the migrations could not be applied")?;
    store.close().await;
    Ok(())
}

/// Opens the database; with `database.migrate` its schema is up to date then.
pub async fn open_store(settings: &Settings) -> anyhow::Result<Store> {
    let store = Store::open(&database_options(settings)).await;
    let store = store.context("the database could not be opened")?;
    Ok(store.with_audit_log(settings.server.audit_table))
}

fn database_options(settings: &Settings) -> DatabaseOptions {
    DatabaseOptions {
        url: settings.database.url.expose().to_owned(),
        direct_url: settings.database.direct_url.expose().to_owned(),
        pooler: settings.database.pool == Pool::Transaction,
    }
}

/// A gateway that has its sockets and nothing else yet.
struct Starting {
    settings: Arc<Settings>,
    options: Options,
    listeners: Listeners,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    /// Who is told of reloads; nobody unless this process is the gateway and nothing else.
    supervisor: Option<Supervisor>,
}

impl Starting {
    fn bind(settings: Settings, options: Options) -> anyhow::Result<Self> {
        let listeners = gateway::bind(&settings)?;
        let log = options.log.in_format(settings.server.log_format);
        let options = Options { log, ..options };
        let metrics = Metrics::new();
        metrics.identity_endpoints(api::endpoint_paths());
        Ok(Self {
            settings: Arc::new(settings),
            options,
            listeners,
            health: Arc::new(Health::new()),
            metrics,
            supervisor: None,
        })
    }

    /// Answers probes from now on, traffic as soon as everything is loaded.
    async fn serve(
        mut self,
        mut stopping: watch::Receiver<bool>,
        ready: tokio::sync::oneshot::Sender<()>,
    ) -> anyhow::Result<Drained> {
        let (quiet, quieted) = watch::channel(false);
        let probes = self
            .listeners
            .probes(Arc::clone(&self.health), Arc::clone(&self.metrics), quieted)?
            .map(tokio::spawn);
        let joined = tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => None,
            joined = join::join(&self.settings, &self.options, &self.metrics) => Some(joined),
        };
        let drained = match joined {
            None => Ok(Drained::Whole),
            Some(Err(error)) => Err(error),
            Some(Ok(parts)) => {
                self.health.set_started();
                let _ = ready.send(());
                parts.serve(self, stopping).await
            }
        };
        quiet.send_replace(true);
        if let Some(probes) = probes {
            let _ = probes.await;
        }
        drained
    }
}

/// Does something that needs the database, again and again while it is away.
async fn persist<T, F>(what: &str, mut attempt: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut told = false;
    loop {
        match attempt().await {
            Err(StoreError::Unavailable(error)) => {
                if !told {
                    tracing::warn!(%error, "{what}: the database is away, trying again");
                    told = true;
                }
                tokio::time::sleep(DATABASE_PAUSE).await;
            }
            done => return done,
        }
    }
}
