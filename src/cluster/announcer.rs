//! Makes what was just written hold here and now.
//!
//! Called after the transaction and before the answer: a logout that was acknowledged is a
//! logout on this replica at once. The others are told as well, if there is a way to; nobody
//! waits for that. It must not know which way.

use std::sync::Arc;

use super::shared::Herald;
use crate::identity::Revocations;
use crate::model::LogEntry;

/// Makes what was just written hold here and now. Cheap to clone.
#[derive(Clone)]
pub struct Announcer {
    revocations: Arc<Revocations>,
    herald: Option<Herald>,
}

impl Announcer {
    /// Announces to the revocations of this replica.
    #[must_use]
    pub fn new(revocations: Arc<Revocations>) -> Self {
        Self { revocations, herald: None }
    }

    /// Has the other replicas told, too.
    #[must_use]
    pub fn telling(mut self, herald: Herald) -> Self {
        self.herald = Some(herald);
        self
    }

    /// Applies the entries that a transaction answered. They hold when this returns.
    pub fn announce(&self, entries: &[LogEntry]) {
        for entry in entries {
            self.revocations.apply(entry);
        }
        if let Some(herald) = &self.herald {
            herald.tell(entries);
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
