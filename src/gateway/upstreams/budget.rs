//! How many requests may be sent again: a share of those that are sent at all.
//!
//! Without it, a back end that is down gets every request as often as there are retries, just
//! when it has the least strength. It must not know why a request is sent again.

use std::sync::atomic::{AtomicU32, Ordering};

/// What a request costs that is sent again; each request earns one. So one in five.
const PRICE: u32 = 5;

/// What can be saved up: enough for a burst of so many.
const MOST: u32 = 50 * PRICE;

/// Credit for sending requests again.
#[derive(Debug)]
pub(super) struct Budget(AtomicU32);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicU32::new(MOST))
    }
}

impl Budget {
    /// A request is sent for the first time.
    pub(super) fn earn(&self) {
        // Nearly always full: then it is a load of what nobody writes.
        if self.0.load(Ordering::Relaxed) < MOST {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether one more may be sent again.
    pub(super) fn spend(&self) -> bool {
        let spent = |credit: u32| credit.checked_sub(PRICE);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spent).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_may_be_sent_again_and_then_one_in_five() {
        let budget = Budget::default();
        budget.earn();
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 50);
        for _ in 0..10 {
            budget.earn();
        }
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 2);
    }
}
