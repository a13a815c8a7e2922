//! One connection to Redis that many share, and that is done without as long as it is sick; threads
//! that ask much get one of their own beside it ([`super::own`]).
//!
//! A call that fails or is too slow takes the connection away: from then on nobody waits for
//! Redis. A background task makes the next one, and only one that answers in time is used.
//! So a slow Redis costs its time-out once, and no request ever pays for finding out whether
//! it is back. It must not know what is kept there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::address::{Connection, Dialer};
use super::own;
use crate::identity::told_to_stop;

/// What connecting may take, with TLS, a password and Sentinel's word.
pub(super) const DIAL: Duration = Duration::from_secs(1);

/// How long to wait before Redis is tried again: longer each time while it is in trouble.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A connection that held this long was a good one.
const GOOD: Duration = Duration::from_secs(10);

/// How often an idle connection is asked whether it is alive, so that no request finds out.
pub(super) const IDLE: Duration = Duration::from_secs(2);

/// Told whenever something that replicas share becomes reachable or ceases to be, by name.
pub type Seen = Arc<dyn Fn(&'static str, bool) + Send + Sync>;

/// The shared connection. It is there or it is not; nobody waits for it.
pub(super) struct Link {
    slot: ArcSwapOption<Connection>,
    /// For the connections of threads' own, where there may be some.
    own: Option<Dialer>,
    itself: Weak<Self>,
    lost: Notify,
    patience: Duration,
    refused: AtomicU64,
    seen: Seen,
}

/// Makes the connections of a link.
pub(super) struct LinkKeeper {
    link: Arc<Link>,
    dialer: Dialer,
}

// === impl Link ===

impl Link {
    pub(super) fn new(dialer: Dialer, patience: Duration, seen: Seen) -> (Arc<Self>, LinkKeeper) {
        seen("redis", false);
        let own = dialer.twin();
        let link = Arc::new_cyclic(|itself| Self {
            slot: ArcSwapOption::empty(),
            own,
            itself: itself.clone(),
            lost: Notify::new(),
            patience,
            refused: AtomicU64::new(0),
            seen,
        });
        (Arc::clone(&link), LinkKeeper { link, dialer })
    }

    /// Whether there is a connection at present.
    pub(super) fn is_up(&self) -> bool {
        self.slot.load().is_some()
    }

    /// How many calls Redis answered with an error of its own (no memory, no permission).
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Calls Redis; `None` if it is away, too slow or does not want to.
    pub(super) async fn call<T, F>(&self, work: impl FnOnce(Connection) -> F) -> Option<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let connection = self.slot.load_full()?;
        match timeout(self.patience, work(own::connection(self, &connection))).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) if is_answer(&error) => {
                if self.refused.fetch_add(1, Ordering::Relaxed) == 0 {
                    let error = error.category();
                    tracing::warn!(error, "redis refuses a command; its answers are done without");
                }
                None
            }
            Ok(Err(error)) => self.lose(&connection, error.category()),
            Err(_) => self.lose(&connection, "too slow"),
        }
    }

    /// Makes a connection of a thread's own; `None`: all share one.
    pub(super) fn own_dialer(&self) -> Option<Dialer> {
        self.own.as_ref()?.twin()
    }

    pub(super) fn itself(&self) -> Weak<Self> {
        self.itself.clone()
    }

    /// What a call may take.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Takes a connection away unless that has been done.
    pub(super) fn lose<T>(&self, connection: &Arc<Connection>, why: &str) -> Option<T> {
        let held = self.slot.compare_and_swap(connection, None);
        if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, connection)) {
            tracing::warn!(why, "redis is away: every replica goes by the database");
            (self.seen)("redis", false);
            self.lost.notify_one();
        }
        None
    }

    fn gain(&self, connection: Connection) {
        self.slot.store(Some(Arc::new(connection)));
        tracing::info!("redis answers");
        (self.seen)("redis", true);
    }
}

/// Whether a server that is well said no: the connection is as good as before.
fn is_answer(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => !matches!(
            kind,
            // A master that was demoted, or one that is not ready: another connection is better.
            ServerErrorKind::ReadOnly
                | ServerErrorKind::MasterDown
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::ClusterDown
        ),
        ErrorKind::UnexpectedReturnType | ErrorKind::Extension => true,
        _ => false,
    }
}

// === impl LinkKeeper ===

impl LinkKeeper {
    /// Tries to connect once, for at most a second.
    pub(super) async fn connect(&mut self) {
        if let Some(connection) = self.dial().await {
            self.link.gain(connection);
        }
    }

    /// Keeps the connection until `stop` says `true` or goes away.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = told_to_stop(&mut stop) => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&mut self) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            if !self.link.is_up() {
                self.connect().await;
            }
            let since = Instant::now();
            while self.link.is_up() {
                tokio::select! {
                    () = self.link.lost.notified() => {}
                    () = sleep(IDLE) => {
                        let _: Option<()> = self.link.call(ping).await;
                    }
                }
            }
            pause = if since.elapsed() >= GOOD { SHORTEST_PAUSE } else { pause };
            sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// A connection over which Redis answers as fast as calls want it.
    async fn dial(&mut self) -> Option<Connection> {
        let connection = timeout(DIAL, self.dialer.dial()).await.ok()?.ok()?;
        // The first may have to wait for what connecting set off.
        for _ in 0..2 {
            if let Ok(Ok(())) = timeout(self.link.patience, ping(connection.clone())).await {
                return Some(connection);
            }
        }
        None
    }
}

pub(super) async fn ping(mut connection: Connection) -> RedisResult<()> {
    redis::cmd("PING").query_async(&mut connection).await
}
