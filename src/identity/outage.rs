//! Says once that the database is away and once that it is back, however many ask it.
//!
//! It must not know what was asked.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::StoreError;

/// What one part of the program knows about the database.
#[derive(Debug)]
pub(crate) struct Outage {
    /// Who suffers, for the log.
    part: &'static str,
    away: AtomicBool,
}

/// The database gave no answer; the log has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Away;

impl Outage {
    pub(crate) const fn new(part: &'static str) -> Self {
        Self { part, away: AtomicBool::new(false) }
    }

    /// Passes an answer on, and logs where it differs from the last in kind.
    pub(crate) fn note<T>(&self, answer: Result<T, StoreError>) -> Result<T, Away> {
        let away = answer.is_err();
        let changed = self.away.load(Ordering::Relaxed) != away
            && self.away.swap(away, Ordering::Relaxed) != away;
        match answer {
            Ok(value) => {
                if changed {
                    tracing::info!(part = self.part, "the database answers again");
                }
                Ok(value)
            }
            Err(error) => {
                if changed {
                    let error = chain(&error);
                    tracing::error!(part = self.part, error, "the database does not answer");
                }
                Err(Away)
            }
        }
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Field;

    #[test]
    fn answers_pass_and_failures_become_one_word() {
        let outage = Outage::new("test");
        assert_eq!(outage.note(Ok(5)), Ok(5));
        assert_eq!(outage.note::<()>(Err(StoreError::Taken(Field::Email))), Err(Away));
        assert!(outage.away.load(Ordering::Relaxed));
        assert_eq!(outage.note(Ok(6)), Ok(6));
        assert!(!outage.away.load(Ordering::Relaxed));
    }
}
