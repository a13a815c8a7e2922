//! Reads the signing keys again and again, so that every replica publishes and uses the same.
//!
//! If they cannot be read the old ones stay: what they sign is good. It must not know what a
//! key is or when one is changed.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::clock::Clock;
use crate::identity::{KEYS_READ_EVERY, KeyError, Keys, Outage, told_to_stop};
use crate::store::Store;

/// Reads the signing keys again and again.
pub struct KeyFollower {
    store: Store,
    clock: Clock,
    keys: Arc<Keys>,
    outage: Outage,
}

impl KeyFollower {
    /// Keeps `keys` as the store has them.
    #[must_use]
    pub fn new(store: Store, clock: Clock, keys: Arc<Keys>) -> Self {
        Self { store, clock, keys, outage: Outage::new("signing keys") }
    }

    /// Reads until `stop` says `true` or goes away.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut ticks = interval(KEYS_READ_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = told_to_stop(&mut stop) => return,
                _ = ticks.tick() => self.read().await,
            }
        }
    }

    /// Reads once.
    pub async fn read(&self) {
        match Box::pin(self.keys.refresh(&self.store, self.clock.now())).await {
            Ok(()) => drop(self.outage.note(Ok(()))),
            Err(KeyError::Store(error)) => drop(self.outage.note::<()>(Err(error))),
            Err(error) => {
                tracing::error!(%error, "the signing keys cannot be used: the old ones stay");
            }
        }
    }
}
