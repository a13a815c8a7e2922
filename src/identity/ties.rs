//! What a credential hangs on: by which names it can be ended before its time.
//!
//! The common language of credentials, records and revocations. It must not know token
//! formats or where anything is kept.

use crate::model::{LoginId, Timestamp, UserId};

/// When a credential was issued, as far as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Issued {
    /// Under this generation of the user.
    Generation(i64),
    /// In this second (claim `iat`), for tokens that carry no generation.
    Second(i64),
}

impl Issued {
    /// Whether a cut that raised the user's generation to `generation` at `at` ends it. Whole
    /// seconds cannot tell before from after within one second: there the cut wins.
    pub(super) fn is_ended_by(self, generation: i64, at: Option<Timestamp>) -> bool {
        match self {
            Self::Generation(own) => own < generation,
            Self::Second(second) => at.is_some_and(|at| second <= at.seconds()),
        }
    }
}

/// Everything that an entry of the log could name to end a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ties {
    /// Whose it is, if one of our users.
    pub(super) user: Option<UserId>,
    /// When it was issued.
    pub(super) issued: Issued,
    /// The login it belongs to.
    pub(super) login: Option<LoginId>,
    /// Its claim `jti`.
    pub(super) jti: Option<String>,
}

/// Which state of a user's record something was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The user.
    pub(super) user: UserId,
    /// The record's generation.
    pub(super) generation: i64,
    /// The record's version.
    pub(super) version: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_generation_is_dead() {
        assert!(Issued::Generation(1).is_ended_by(2, None));
        assert!(!Issued::Generation(2).is_ended_by(2, None));
        assert!(!Issued::Generation(3).is_ended_by(2, None));
    }

    #[test]
    fn without_a_generation_the_second_decides_for_the_cut() {
        let cut = Some(Timestamp::from_micros(10_500_000));
        assert!(Issued::Second(9).is_ended_by(1, cut));
        assert!(Issued::Second(10).is_ended_by(1, cut));
        assert!(!Issued::Second(11).is_ended_by(1, cut));
        assert!(!Issued::Second(9).is_ended_by(1, None));
    }
}
