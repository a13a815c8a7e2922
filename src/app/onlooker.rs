//! Joins what it takes to judge one request, beside a gateway that runs, and nothing that writes.
//!
//! The same parts as [`super::join`], on a database that refuses to be written to: no migration,
//! no key, no secret is made, no login and no use of a token is noted. Redis is not asked: it
//! could only let in what the database lets in as well. Nothing is waited for. It must not know
//! what is asked.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::Context as _;
use parking_lot::Mutex;

use super::database_options;
use super::join::{passwords, replies};
use super::secret_key::existing_root_key;
use crate::accounts::throttle::Throttle;
use crate::accounts::{Accounts, AccountsParts, AuditTable};
use crate::clock::Clock;
use crate::cluster::{Announcer, Follower};
use crate::config::Settings;
use crate::gate::Gate;
use crate::gateway::Replies;
use crate::identity::{
    Authenticator, BasicAuthenticator, JwtIssuer, Keys, Links, OpaqueTokens, Revocations,
};
use crate::issuers::IssuerKeys;
use crate::mail::Bell;
use crate::secret::KeyUse;
use crate::store::Store;
use crate::telemetry::{AuditLog, Metrics};

/// What judges, and what it judges by.
pub struct Onlooker {
    /// The settings.
    pub settings: Arc<Settings>,
    /// Decides.
    pub gate: Gate,
    /// How refusals are written.
    pub replies: Replies,
    /// Proves credentials.
    pub authenticator: Arc<Authenticator>,
    /// Trusted issuers whose key sets could not be fetched, and why.
    pub unfetched: Vec<(String, String)>,
    store: Store,
    heard: Heard,
}

/// What the use cases would have left in the audit log.
#[derive(Debug, Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Onlooker {
    /// Opens what a gateway with these settings has.
    pub async fn open(settings: Settings, clock: Clock) -> anyhow::Result<Self> {
        let settings = Arc::new(settings);
        let store = Store::open_read_only(&database_options(&settings)).await;
        let store = store.context("the database could not be opened: was the gateway started?")?;
        store.ping().await.context("the database does not answer")?;
        let root = existing_root_key(&settings)?;

        let revocations = Arc::new(Revocations::new(*settings.revocation.max_staleness));
        let tick = *settings.revocation.tick;
        let mut follower =
            Follower::new(store.clone(), clock.clone(), Arc::clone(&revocations), tick);
        follower.load().await.context("the log of what has ended could not be read")?;

        let metrics = Metrics::new();
        let keys = Keys::load(&settings, &store, &root, &clock).await;
        let keys = Arc::new(keys.context("the signing keys could not be read")?);
        let unfetched =
            IssuerKeys::new(Arc::clone(&keys), Arc::clone(&metrics))?.fetch_once().await;
        let opaque = Arc::new(OpaqueTokens::new(&root));
        let (authenticator, _) = Authenticator::new(
            &settings,
            store.clone(),
            clock.clone(),
            Arc::clone(&keys),
            Arc::clone(&opaque),
            Arc::clone(&revocations),
        );
        let authenticator = Arc::new(authenticator);
        let heard = Heard::default();
        let reset_time = *settings.accounts.password_reset_timeout;
        // They check passwords. Whatever else they can do, the database refuses.
        let accounts = Accounts::new(AccountsParts {
            settings: Arc::clone(&settings),
            store: store.clone(),
            authenticator: Arc::clone(&authenticator),
            issuer: Arc::new(JwtIssuer::new(&settings, keys)),
            opaque,
            links: Links::new(root.derive(KeyUse::MailLinks), reset_time),
            passwords: passwords(&settings, &metrics),
            throttle: Throttle::new(&settings.limits, clock.clone()),
            bell: Bell::default(),
            announcer: Announcer::new(revocations),
            audit: AuditLog::to(heard.clone()),
            audit_table: AuditTable::default(),
            clock,
        });
        let basic =
            BasicAuthenticator::new(&settings, Arc::clone(&authenticator), Arc::new(accounts));
        Ok(Self {
            gate: Gate::new(&settings, Arc::clone(&authenticator), Arc::new(basic))?,
            settings,
            replies: replies(),
            authenticator,
            unfetched,
            store,
            heard,
        })
    }

    /// Closes the database. What would now stand in the audit log, had a gateway done this.
    pub async fn close(self) -> String {
        let Self { gate, authenticator, store, heard, .. } = self;
        // The audit log is written to its end when nobody holds it any more.
        drop((gate, authenticator));
        store.close().await;
        String::from_utf8_lossy(&heard.0.lock()).into_owned()
    }
}
