//! How many connections may be open, in total and for one address.
//!
//! A [`Permit`] travels inside the connection and is given back by `Drop`, so no way of
//! ending a connection can forget it. It must not know what travels over a connection.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Counts open connections.
#[derive(Debug, Default)]
pub(super) struct Caps {
    open: AtomicUsize,
    /// Never longer than `open`. The lock is held for one look-up, at accept and at close only.
    by_address: Mutex<HashMap<IpAddr, usize>>,
    empty: Notify,
}

impl Caps {
    /// A place for one more connection, unless `limit` are open.
    pub(super) fn take(self: &Arc<Self>, limit: usize) -> Option<Permit> {
        self.open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| {
                (open < limit).then_some(open + 1)
            })
            .ok()?;
        Some(Permit { caps: Arc::clone(self), address: None })
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Comes back when none is open.
    pub(super) async fn emptied(&self) {
        loop {
            let closed = self.empty.notified();
            if self.open() == 0 {
                return;
            }
            closed.await;
        }
    }
}

/// The right to one open connection.
#[derive(Debug)]
pub(super) struct Permit {
    caps: Arc<Caps>,
    address: Option<IpAddr>,
}

impl Permit {
    /// Counts the connection for `address`. `false` if `limit` are open from there already.
    #[must_use]
    pub(super) fn bind(&mut self, address: IpAddr, limit: usize) -> bool {
        let key = neighbourhood(address);
        let mut by_address = self.caps.by_address.lock();
        let count = by_address.entry(key).or_insert(0);
        if *count >= limit {
            if *count == 0 {
                by_address.remove(&key);
            }
            return false;
        }
        *count += 1;
        self.address = Some(key);
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(key) = self.address {
            let mut by_address = self.caps.by_address.lock();
            if let Some(count) = by_address.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    by_address.remove(&key);
                }
            }
        }
        if self.caps.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.caps.empty.notify_waiters();
        }
    }
}

/// One IPv6 customer holds at least a /64, so its addresses count as one.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_total_cap_holds_exactly_and_a_close_frees_at_once() {
        let caps = Arc::new(Caps::default());
        let held: Vec<_> = (0..3).map(|_| caps.take(3).unwrap()).collect();
        assert!(caps.take(3).is_none());
        assert_eq!(caps.open(), 3);
        drop(held);
        assert_eq!(caps.open(), 0);
        assert!(caps.take(3).is_some());
    }

    #[test]
    fn one_address_cannot_take_the_places_of_another() {
        let caps = Arc::new(Caps::default());
        let mut first = caps.take(10).unwrap();
        let mut second = caps.take(10).unwrap();
        let mut other = caps.take(10).unwrap();
        assert!(first.bind(address("192.0.2.1"), 1));
        assert!(!second.bind(address("192.0.2.1"), 1));
        assert!(other.bind(address("192.0.2.2"), 1));
        drop(first);
        assert!(second.bind(address("192.0.2.1"), 1));
        drop((second, other));
        assert!(caps.by_address.lock().is_empty());
    }

    #[test]
    fn ipv6_counts_by_64_and_mapped_ipv4_as_ipv4() {
        assert_eq!(neighbourhood(address("2001:db8:1:2:3::9")), address("2001:db8:1:2::"));
        assert_eq!(neighbourhood(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }

    #[tokio::test]
    async fn emptied_waits_for_the_last_close() {
        let caps = Arc::new(Caps::default());
        let permit = caps.take(1).unwrap();
        let waiting = tokio::spawn({
            let caps = Arc::clone(&caps);
            async move { caps.emptied().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(permit);
        waiting.await.unwrap();
    }
}
