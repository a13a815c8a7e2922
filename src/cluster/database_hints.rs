//! Hints from the database: PostgreSQL tells whoever listens that the log has grown.
//!
//! It says so when the writer commits, the shell's commands included, and needs no Redis. A
//! hint is not believed but looked into, and every new connection is one. It must not know
//! what is in the log.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::shared::Seen;
use crate::identity::told_to_stop;
use crate::store::{LogHints, Store};

const PAUSE: Duration = Duration::from_secs(1);

/// Wakes the follower when the database has news.
pub struct DatabaseHints {
    store: Store,
    wake: Arc<Notify>,
    seen: Seen,
}

impl DatabaseHints {
    /// None where the database cannot tell: SQLite, or a pooler without a way past it.
    #[must_use]
    pub fn new(store: Store, wake: Arc<Notify>, seen: Seen) -> Option<Self> {
        if !store.gives_hints() {
            return None;
        }
        seen("database_hints", false);
        Some(Self { store, wake, seen })
    }

    /// Listens until `stop` says `true` or goes away.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = told_to_stop(&mut stop) => {}
            () = self.listen() => {}
        }
    }

    async fn listen(&self) {
        loop {
            if let Ok(hints) = self.store.log_hints().await {
                self.wake.notify_one();
                (self.seen)("database_hints", true);
                self.follow(hints).await;
                (self.seen)("database_hints", false);
            }
            sleep(PAUSE).await;
        }
    }

    async fn follow(&self, mut hints: LogHints) {
        while hints.next().await.is_ok() {
            self.wake.notify_one();
        }
    }
}
