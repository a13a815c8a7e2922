//! Follows the numbered log, so that what ended anywhere ends here.
//!
//! By tick, and sooner when it is woken. Entries may come twice and in any order; none is
//! skipped, for the cursor is the database's own. If the log cannot be read the old state
//! stays, and the revocations themselves notice that they grow stale. It must not know what
//! an entry means.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::clock::Clock;
use crate::identity::{Outage, Revocations, told_to_stop};
use crate::store::{Cursor, Store, StoreError};

use super::shared::Seen;

/// Told of each entry that was news, how long ago it was written.
pub type Heard = Arc<dyn Fn(Duration) + Send + Sync>;

/// Follows the numbered log, so that what ended anywhere ends here.
pub struct Follower {
    store: Store,
    clock: Clock,
    revocations: Arc<Revocations>,
    tick: Duration,
    wake: Arc<Notify>,
    outage: Outage,
    cursor: Cursor,
    watched: Option<(Heard, Seen)>,
}

impl Follower {
    /// `tick`: how often the log is read, `revocation.tick`.
    #[must_use]
    pub fn new(store: Store, clock: Clock, revocations: Arc<Revocations>, tick: Duration) -> Self {
        Self {
            store,
            clock,
            revocations,
            tick,
            wake: Arc::new(Notify::new()),
            outage: Outage::new("revocation log"),
            cursor: Cursor(0),
            watched: None,
        }
    }

    /// Tells how late entries of others come, and whether the database answers.
    #[must_use]
    pub fn watched(mut self, heard: Heard, seen: Seen) -> Self {
        self.watched = Some((heard, seen));
        self
    }

    /// Notify this to have the log read at once.
    #[must_use]
    pub fn waker(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Reads the whole log. To be done once before anything listens; until it succeeded nothing
    /// can be vouched for.
    ///
    /// # Errors
    /// The database's; to be tried again.
    pub async fn load(&mut self) -> Result<(), StoreError> {
        self.cursor = Cursor(0);
        // What was there before us is no news.
        self.read(None).await
    }

    /// Reads what is new, to the end of the log. A log that became shorter (a database that was
    /// restored) is read from its start: the store sees to that, and nothing here minds.
    ///
    /// # Errors
    /// The database's; the old state stays.
    pub async fn catch_up(&mut self) -> Result<(), StoreError> {
        let heard = self.watched.as_ref().map(|(heard, _)| Arc::clone(heard));
        self.read(heard).await
    }

    async fn read(&mut self, heard: Option<Heard>) -> Result<(), StoreError> {
        // Asked before the log is: whatever commits later is news for the next time.
        let at = self.clock.now();
        let (entries, next) = Box::pin(self.store.log_since(self.cursor)).await?;
        for entry in &entries {
            if self.revocations.apply(entry)
                && let Some(heard) = &heard
            {
                heard(self.clock.now().since(entry.at));
            }
        }
        self.cursor = next;
        self.revocations.synced(at);
        Ok(())
    }

    /// Follows until `stop` says `true` or goes away.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut ticks = interval(self.tick.max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let wake = self.waker();
        loop {
            tokio::select! {
                () = told_to_stop(&mut stop) => return,
                _ = ticks.tick() => {}
                () = wake.notified() => {}
            }
            tokio::select! {
                () = told_to_stop(&mut stop) => return,
                read = self.catch_up() => {
                    // Logged where it changes; there is nothing else to do but to try again.
                    let up = self.outage.note(read).is_ok();
                    if let Some((_, seen)) = &self.watched {
                        seen("database", up);
                    }
                }
            }
        }
    }
}
