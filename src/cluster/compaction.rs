//! Drops what nothing cached or signed can outlive, in the database and in memory.
//!
//! Every replica does it, for each has its own memory; in the database the second finds
//! nothing left to do. It must not know what an entry means.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::clock::Clock;
use crate::config::{Lifetime, Settings};
use crate::identity::{Outage, Revocations, told_to_stop};
use crate::store::{Compaction as Past, Store};

const PERIOD: Duration = Duration::from_hours(1);

/// For replicas' clocks that differ, requests under way, and caches that are confirmed late.
const MARGIN: Duration = Duration::from_mins(15);

/// Drops what nothing cached or signed can outlive.
pub struct Compaction {
    store: Store,
    clock: Clock,
    revocations: Arc<Revocations>,
    outage: Outage,
    keep: Duration,
    idle: Option<Duration>,
    audit: Option<Duration>,
}

impl Compaction {
    /// Keeps entries as long as access tokens and caches of these settings live.
    #[must_use]
    pub fn new(
        settings: &Settings,
        store: Store,
        clock: Clock,
        revocations: Arc<Revocations>,
    ) -> Self {
        let keep = retention(
            settings.tokens.jwt.access_lifetime.saturating_add(*settings.tokens.jwt.leeway),
            *settings.cache.token_ttl,
            *settings.revocation.max_staleness,
        );
        let idle = span(settings.tokens.opaque.idle_timeout);
        let audit = span(settings.server.audit_retention);
        Self { store, clock, revocations, outage: Outage::new("compaction"), keep, idle, audit }
    }

    /// Drops old entries once an hour until `stop` says `true` or goes away.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = told_to_stop(&mut stop) => return,
                _ = ticks.tick() => self.compact().await,
            }
        }
    }

    /// Drops old entries now. With the database away only those in memory.
    pub async fn compact(&self) {
        let now = self.clock.now();
        let before = now.minus(self.keep);
        self.revocations.prune(before);
        let past = Past {
            log_before: before,
            idle_before: self.idle.map(|idle| now.minus(idle)),
            audit_before: self.audit.map(|kept| now.minus(kept)),
            now,
        };
        if let Ok(dropped) = self.outage.note(Box::pin(self.store.compact(past)).await)
            && dropped > 0
        {
            tracing::debug!(dropped, "what is past was dropped from the database");
        }
    }
}

fn span(lifetime: Lifetime) -> Option<Duration> {
    match lifetime {
        Lifetime::Never => None,
        Lifetime::For(span) => Some(span),
    }
}

fn retention(access_lifetime: Duration, token_ttl: Duration, max_staleness: Duration) -> Duration {
    access_lifetime.max(token_ttl).max(max_staleness).saturating_add(MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_outlive_everything_that_they_end() {
        let seconds = Duration::from_secs;
        assert_eq!(retention(seconds(300), seconds(60), seconds(60)), seconds(1200));
        assert_eq!(retention(seconds(300), seconds(9000), seconds(60)), seconds(9900));
        assert_eq!(retention(Duration::MAX, seconds(60), seconds(60)), Duration::MAX);
    }
}
