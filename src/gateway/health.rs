//! Whether this process lives, has started, and should be sent requests.
//!
//! Checks are handed in by name; what they ask (a database, a log's age) is not known here.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::RwLock;
use tokio::time::timeout;

/// A check that does not answer in this time has failed.
const CHECK_TIME: Duration = Duration::from_secs(2);

/// What a check found; the reason of a failure must not hold secrets.
pub type CheckOutcome = Result<(), String>;

type Check = Box<dyn Fn() -> Pin<Box<dyn Future<Output = CheckOutcome> + Send>> + Send + Sync>;

/// The state that the probes tell.
#[derive(Default)]
pub struct Health {
    started: AtomicBool,
    draining: AtomicBool,
    checks: RwLock<Vec<(&'static str, Check)>>,
}

impl Health {
    /// Not started, without checks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition of readiness. It is asked at every probe, for at most two seconds.
    pub fn check<F, C>(&self, name: &'static str, check: C)
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = CheckOutcome> + Send + 'static,
    {
        self.checks.write().push((name, Box::new(move || Box::pin(check()))));
    }

    /// Everything that is needed once has been done: migrations, keys, the first read of the log.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// From now on not ready: the process stops.
    pub(super) fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub(super) fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Every condition of readiness with what was found.
    pub(super) async fn readiness(&self) -> Vec<(&'static str, CheckOutcome)> {
        let state = |good: bool, why: &str| if good { Ok(()) } else { Err(why.to_owned()) };
        let mut found = vec![
            ("started", state(self.is_started(), "still starting")),
            ("serving", state(!self.draining.load(Ordering::Acquire), "shutting down")),
        ];
        let asked: Vec<_> =
            self.checks.read().iter().map(|(name, check)| (*name, check())).collect();
        let asked = asked.into_iter().map(|(name, check)| async move {
            let outcome = timeout(CHECK_TIME, check).await;
            (name, outcome.unwrap_or_else(|_| Err("no answer in time".to_owned())))
        });
        found.extend(join_all(asked).await);
        found
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("started", &self.started)
            .field("draining", &self.draining)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn failed(health: &Health) -> Vec<(&'static str, String)> {
        let all = health.readiness().await.into_iter();
        all.filter_map(|(name, outcome)| Some((name, outcome.err()?))).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_needs_the_start_every_check_and_no_stop() {
        let health = Health::new();
        assert_eq!(failed(&health).await, [("started", "still starting".to_owned())]);
        health.set_started();
        assert_eq!(failed(&health).await, []);
        health.check("database", || async { Err("refused".to_owned()) });
        health.check("log", std::future::pending);
        assert_eq!(
            failed(&health).await,
            [("database", "refused".to_owned()), ("log", "no answer in time".to_owned())]
        );
        health.set_draining();
        assert_eq!(failed(&health).await[0], ("serving", "shutting down".to_owned()));
    }
}
