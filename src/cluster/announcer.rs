//! Makes what was just written hold here and now.
//!
//! Called after the transaction and before the answer: a logout that was acknowledged is a
//! logout on this replica at once. It must not know how other replicas learn of it.

use std::sync::Arc;

use crate::identity::Revocations;
use crate::model::LogEntry;

/// Makes what was just written hold here and now. Cheap to clone.
#[derive(Clone)]
pub struct Announcer {
    revocations: Arc<Revocations>,
}

impl Announcer {
    /// Announces to the revocations of this replica.
    #[must_use]
    pub fn new(revocations: Arc<Revocations>) -> Self {
        Self { revocations }
    }

    /// Applies the entries that a transaction answered. They hold when this returns.
    pub fn announce(&self, entries: &[LogEntry]) {
        for entry in entries {
            self.revocations.apply(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Change, LoginId, Timestamp};

    #[test]
    fn what_is_announced_holds_at_once() {
        let revocations = Arc::new(Revocations::new(Duration::from_mins(1)));
        let change = Change::LoginEnded { login: LoginId([1; 16]) };
        let entry = LogEntry { change, at: Timestamp::from_seconds(1) };
        Announcer::new(Arc::clone(&revocations)).announce(&[entry.clone(), entry]);
        assert_eq!((revocations.epoch(), revocations.len()), (1, 1));
    }
}
