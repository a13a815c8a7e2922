//! What the slowest hash costs that some account may still have.
//!
//! A wrong password shall take as long as that, whosever it is: else the time would tell which
//! names exist. What counts is kept in the store as a stand-in (a hash of nobody's password with
//! the same costs) by whoever brings such hashes in, and asked for once a minute. It must not
//! know the store or accounts.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::Timestamp;

use super::formats::{Policy, Stored, fill};

/// The store's name for the stand-in.
pub const SLOWEST_HASH: &str = "passwords.slowest";

/// How long the last word is believed: an import may run beside us.
const ASK_AGAIN: Duration = Duration::from_mins(1);

/// No failed login is made to cost more than about this, or a single dear hash would let
/// strangers use up the machine. Dearer hashes can be told by the time.
const MOST: u64 = 1_000_000;

/// The slowest hash that is known of; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Slowest {
    known: Arc<Mutex<Known>>,
}

#[derive(Debug)]
struct Known {
    stand_in: Arc<str>,
    asked: Option<Timestamp>,
}

impl Slowest {
    /// Nothing is slower than the policy, for all we know.
    pub(super) fn new(policy: Policy) -> Self {
        let known = Known { stand_in: policy.stand_in().into(), asked: None };
        Self { known: Arc::new(Mutex::new(known)) }
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.known.lock().asked.is_none_or(|asked| now.since(asked) >= ASK_AGAIN)
    }

    /// Learns what is kept; the policy's own costs are the least.
    pub(super) fn learn(&self, policy: Policy, kept: Option<&str>, now: Timestamp) {
        let own = policy.stand_in();
        let slower = kept.and_then(|kept| slower(kept, &own));
        let mut known = self.known.lock();
        *known = Known { stand_in: slower.unwrap_or(own).into(), asked: Some(now) };
    }

    pub(super) fn stand_in(&self) -> Arc<str> {
        Arc::clone(&self.known.lock().stand_in)
    }
}

/// A stand-in for `stored` if checking it takes longer than checking `than`.
#[must_use]
pub fn slower(stored: &str, than: &str) -> Option<String> {
    let stored = Stored::read(stored);
    (stored.cost().min(MOST) > Stored::read(than).cost().min(MOST))
        .then(|| stored.stand_in())
        .flatten()
}

/// The work that `stored` spared the machine, compared with the slowest.
pub(super) fn make_up(stored: &Stored<'_>, slowest: &str, password: &[u8]) {
    let slowest = Stored::read(slowest);
    let (cost, most) = (stored.cost(), slowest.cost());
    if cost == 0 && most <= MOST {
        // The very same work: this is the case that strangers try.
        std::hint::black_box(slowest.fits(password));
    } else {
        fill(most.min(MOST).saturating_sub(cost), password);
    }
}
