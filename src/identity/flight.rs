//! One look-up for each key, however many wait for it.
//!
//! Unlike a cache's own loader it shares failures too: with the database gone, a hundred
//! waiters cost one time-out together, not a hundred in a row. It must not know what is
//! looked up, and it remembers nothing once a look-up is done.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

/// Look-ups under way. As many as there are requests waiting for one, at most.
pub(super) struct Flights<K, V> {
    under_way: Mutex<HashMap<K, Arc<OnceCell<V>>>>,
}

impl<K: Copy + Eq + Hash, V: Clone> Flights<K, V> {
    pub(super) fn new() -> Self {
        Self { under_way: Mutex::default() }
    }

    /// Joins the look-up of `key` or starts it; `look_up` runs only in the latter case. If whoever runs it hangs up, a waiter takes over.
    pub(super) async fn join(&self, key: K, look_up: impl Future<Output = V>) -> V {
        let cell = Arc::clone(self.under_way.lock().entry(key).or_default());
        let seat = Seat { flights: self, key, cell };
        seat.cell.get_or_init(|| look_up).await.clone()
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.under_way.lock().is_empty()
    }
}

/// A waiter's place; leaving it clears away what is done or left by all.
struct Seat<'a, K: Copy + Eq + Hash, V> {
    flights: &'a Flights<K, V>,
    key: K,
    cell: Arc<OnceCell<V>>,
}

impl<K: Copy + Eq + Hash, V> Drop for Seat<'_, K, V> {
    fn drop(&mut self) {
        let mut under_way = self.flights.under_way.lock();
        // Nobody can take another seat while the lock is held: 2 are the table's and our own.
        let over = self.cell.initialized() || Arc::strong_count(&self.cell) == 2;
        if over && under_way.get(&self.key).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell)) {
            under_way.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn many_waiters_share_one_look_up_even_if_it_fails() {
        let flights = Arc::new(Flights::<u8, Result<(), ()>>::new());
        let (runs, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let mut waiters = JoinSet::new();
        for _ in 0..10 {
            let (flights, runs, open) =
                (Arc::clone(&flights), Arc::clone(&runs), Arc::clone(&open));
            waiters.spawn(async move {
                flights
                    .join(1, async {
                        runs.fetch_add(1, Ordering::SeqCst);
                        open.notified().await;
                        Err(())
                    })
                    .await
            });
        }
        // One thread runs them all: after this each has taken its seat.
        tokio::task::yield_now().await;
        open.notify_one();
        assert_eq!(waiters.join_all().await, vec![Err(()); 10]);
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert!(flights.is_empty());
    }

    #[tokio::test]
    async fn nothing_is_remembered_afterwards() {
        let flights = Flights::<u8, u8>::new();
        assert_eq!(flights.join(1, async { 1 }).await, 1);
        assert_eq!(flights.join(1, async { 2 }).await, 2);
    }

    #[tokio::test]
    async fn a_look_up_whose_requests_all_hung_up_leaves_nothing_behind() {
        let flights = Flights::<u8, u8>::new();
        tokio::select! {
            biased;
            _ = flights.join(1, std::future::pending()) => unreachable!(),
            () = std::future::ready(()) => {}
        }
        assert!(flights.is_empty());
        assert_eq!(flights.join(1, async { 3 }).await, 3);
    }

    #[tokio::test]
    async fn a_waiter_takes_over_from_one_that_hung_up() {
        let flights = Flights::<u8, u8>::new();
        let first = Box::pin(flights.join(1, std::future::pending()));
        let second = flights.join(1, async { 2 });
        tokio::pin!(second);
        tokio::select! {
            biased;
            _ = first => unreachable!(),
            _ = &mut second => unreachable!("it waits for the first"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(second.await, 2);
        assert!(flights.is_empty());
    }
}
