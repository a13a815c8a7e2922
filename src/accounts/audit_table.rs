//! Deeds on their way into the audit log's table that no transaction takes along.
//!
//! Refusals, above all: whoever is refused must not wait for the database, and it must not be
//! brought down by guesses. They go into a bounded queue, and a task writes what gathered there
//! in one transaction. With the database away they wait; what finds the queue full is counted,
//! and told once. It must not know what a deed means.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::identity::{Outage, told_to_stop};
use crate::model::Deed;
use crate::store::{Store, StoreError};

/// Deeds that may wait: some megabytes.
const QUEUE: usize = 8 * 1024;

/// Deeds that one transaction writes.
const BATCH: usize = 200;

/// How long to wait before a database that was away is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// Where deeds are handed in.
#[derive(Debug, Clone, Default)]
pub struct AuditTable {
    /// `None`: the database keeps none.
    deeds: Option<mpsc::Sender<Deed>>,
    losses: Arc<Losses>,
}

/// What never came into the table.
#[derive(Debug, Default)]
struct Losses {
    count: AtomicU64,
    told: AtomicBool,
}

/// Writes what was handed in. To be run beside the listeners.
pub struct AuditWriter {
    deeds: mpsc::Receiver<Deed>,
    store: Store,
    losses: Arc<Losses>,
    outage: Outage,
}

/// A table that is written, and who writes it.
#[must_use]
pub fn audit_table(store: Store) -> (AuditTable, AuditWriter) {
    let (sender, deeds) = mpsc::channel(QUEUE);
    let table = AuditTable { deeds: Some(sender), ..AuditTable::default() };
    let (losses, outage) = (Arc::clone(&table.losses), Outage::new("audit log"));
    (table, AuditWriter { deeds, store, losses, outage })
}

impl AuditTable {
    /// Hands a deed in; nobody waits.
    pub(super) fn push(&self, deed: Deed) {
        let Some(deeds) = &self.deeds else { return };
        if deeds.try_send(deed).is_err() {
            self.losses.add(1);
        }
    }

    /// Reads how many were lost, without holding the table.
    pub fn lost_reader(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let losses = Arc::clone(&self.losses);
        move || losses.count.load(Ordering::Relaxed)
    }
}

impl Losses {
    fn add(&self, count: usize) {
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        if count > 0 && !self.told.swap(true, Ordering::Relaxed) {
            tracing::error!("entries of the audit log's table are lost: the database takes none");
        }
    }
}

impl AuditWriter {
    /// Writes until `stop` says `true` or goes away, and then what is still there.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut batch = Vec::new();
        'serving: loop {
            let count = tokio::select! {
                () = told_to_stop(&mut stop) => break,
                count = self.deeds.recv_many(&mut batch, BATCH) => count,
            };
            if count == 0 {
                return;
            }
            while self.write(&batch).await == Written::NotYet {
                tokio::select! {
                    () = told_to_stop(&mut stop) => break 'serving,
                    () = sleep(PAUSE) => {}
                }
            }
            batch.clear();
        }
        self.finish(batch).await;
    }

    /// Nobody hands anything in any more, and nothing is waited for.
    async fn finish(mut self, mut batch: Vec<Deed>) {
        self.deeds.close();
        while self.write(&batch).await == Written::OrNever {
            batch.clear();
            if self.deeds.recv_many(&mut batch, BATCH).await == 0 {
                return;
            }
        }
        self.losses.add(batch.len() + self.deeds.len());
    }

    /// An answer that was lost may leave deeds written twice: better than not at all.
    async fn write(&self, batch: &[Deed]) -> Written {
        let written = Box::pin(self.store.write_deeds(batch)).await;
        let is_away = matches!(written, Err(StoreError::Unavailable(_)));
        match self.outage.note(written) {
            Err(_) if is_away => return Written::NotYet,
            Err(_) => self.losses.add(batch.len()),
            Ok(()) => {}
        }
        Written::OrNever
    }
}

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    /// The database has it, or refuses it for good.
    OrNever,
    /// The database is away.
    NotYet,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use crate::store::DeedFilter;

    fn deed() -> Deed {
        Deed::new("identity.login", Timestamp::from_seconds(7)).failed("unknown_user")
    }

    #[tokio::test]
    async fn what_was_handed_in_before_the_stop_is_written() {
        let store = Store::open_temporary().await.unwrap().with_audit_log(true);
        let (table, writer) = audit_table(store.clone());
        for _ in 0..=BATCH {
            table.push(deed());
        }
        let (stop, stopping) = watch::channel(true);
        writer.run(stopping).await;
        drop(stop);
        let written = store.deeds_after(0, &DeedFilter::default()).await.unwrap().unwrap().1;
        assert_eq!(written, vec![deed(); BATCH + 1]);
        assert_eq!(table.lost_reader()(), 0);
    }

    #[tokio::test]
    async fn a_full_queue_holds_nobody_and_is_counted() {
        let store = Store::open_temporary().await.unwrap().with_audit_log(true);
        let (table, _writer) = audit_table(store);
        for _ in 0..QUEUE + 3 {
            table.push(deed());
        }
        assert_eq!(table.lost_reader()(), 3);
    }

    #[tokio::test]
    async fn what_cannot_be_written_at_the_stop_is_counted() {
        let store = Store::open_temporary().await.unwrap().with_audit_log(true);
        let (table, writer) = audit_table(store.clone());
        table.push(deed());
        store.close().await;
        let (_stop, stopping) = watch::channel(true);
        writer.run(stopping).await;
        assert_eq!(table.lost_reader()(), 1);
    }

    #[tokio::test]
    async fn where_no_table_is_wanted_nothing_is_kept_or_lost() {
        let table = AuditTable::default();
        table.push(deed());
        assert_eq!(table.lost_reader()(), 0);
    }
}
