//! A proved identity in the cache, and whether it may be used once more.
//!
//! This is the whole of the hot path behind the look-up: three atomic loads and as many
//! comparisons; no lock, no allocation, no I/O as long as nothing ended since the last look.
//! It must not know how an identity is proved.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::model::Timestamp;

use super::judgement::{answer, expired};
use super::jwt::Proof;
use super::keys::KeyLife;
use super::proved::Identity;
use super::rejection::{JwtFault, Rejection};
use super::revocation::Revocations;
use super::ties::{Stamp, Ties};
use super::weight::{Texts, bytes_of};

/// While one request confirms an entry, the others go on with it for this long.
const CONFIRMING: Duration = Duration::from_secs(5);

/// An entry that was not confirmed for this long has missed its turn: what ended it may already
/// be forgotten.
const TOO_LATE: Duration = Duration::from_mins(1);

/// A proved identity with what it hangs on.
pub(super) struct Entry {
    pub(super) identity: Arc<Identity>,
    pub(super) ties: Ties,
    /// The record it was checked against; foreign users have none.
    pub(super) stamp: Option<Stamp>,
    /// What the signature vouched for, so that it need not be verified again; JWTs only.
    pub(super) proof: Option<Arc<Proof>>,
    /// The key that signed it, which may go; JWTs only.
    signed_by: Option<KeyLife>,
    /// Microseconds.
    confirmed_until: AtomicI64,
    /// Of the revocations, when this was last checked against them.
    epoch: AtomicU64,
}

/// What may be done with an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is good.
    Good,
    /// It was good a moment ago and wants to be confirmed by whoever is told so; if that cannot
    /// be done, it is good for a while longer.
    Due,
    /// It is over.
    Over(Rejection),
    /// Something changed that it was made from: it must not be used before that was read.
    Outdated,
}

impl Texts for Entry {
    fn bytes(&self) -> usize {
        self.identity.username.len() + bytes_of(&self.identity.groups)
    }
}

impl Entry {
    /// `epoch`: read before anything that the entry was made from.
    pub(super) fn new(
        identity: Identity,
        ties: Ties,
        stamp: Option<Stamp>,
        proof: Option<Arc<Proof>>,
        confirmed_until: Timestamp,
        epoch: u64,
    ) -> Self {
        Self {
            identity: Arc::new(identity),
            ties,
            stamp,
            signed_by: proof.as_ref().map(|proof| proof.signed_by.clone()),
            proof,
            confirmed_until: AtomicI64::new(confirmed_until.micros()),
            epoch: AtomicU64::new(epoch),
        }
    }

    /// The same once more, with a turn of its own to be confirmed.
    pub(super) fn twin(&self) -> Self {
        Self {
            identity: Arc::clone(&self.identity),
            ties: self.ties.clone(),
            stamp: self.stamp,
            proof: self.proof.clone(),
            signed_by: self.signed_by.clone(),
            confirmed_until: AtomicI64::new(self.confirmed_until.load(Ordering::Acquire)),
            epoch: AtomicU64::new(self.epoch.load(Ordering::Acquire)),
        }
    }

    /// Whether it may be used now.
    pub(super) fn standing(&self, revocations: &Revocations, now: Timestamp) -> Standing {
        let kind = self.identity.kind;
        if self.identity.expires.is_some_and(|expires| expires <= now) {
            return Standing::Over(expired(kind));
        }
        if self.signed_by.as_ref().is_some_and(|key| !key.goes_on()) {
            return Standing::Over(Rejection::Jwt(JwtFault::Invalid));
        }
        // Read before the review: whatever is applied during it will be seen by the next.
        let epoch = revocations.epoch();
        if self.epoch.load(Ordering::Acquire) != epoch {
            if let Some(finding) = revocations.review(&self.ties, self.stamp) {
                return answer(kind, finding).map_or(Standing::Outdated, Standing::Over);
            }
            self.epoch.store(epoch, Ordering::Release);
        }
        let confirmed_until = self.confirmed_until.load(Ordering::Acquire);
        if now.micros() < confirmed_until {
            return Standing::Good;
        }
        if now.since(Timestamp::from_micros(confirmed_until)) >= TOO_LATE {
            return Standing::Outdated;
        }
        let later = now.plus(CONFIRMING).micros();
        let first = self
            .confirmed_until
            .compare_exchange(confirmed_until, later, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if first { Standing::Due } else { Standing::Good }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::user;
    use super::super::proved::{CredentialKind, Subject};
    use super::super::ties::Issued;
    use super::super::values::HeaderValues;
    use super::*;
    use crate::model::{Change, CutReason, LogEntry, LoginId, UserId};

    const USER: UserId = UserId(7);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn revocations() -> Revocations {
        Revocations::new(Duration::from_mins(1))
    }

    /// Good until second 2000, confirmed until second 1060.
    fn entry(kind: CredentialKind) -> Entry {
        let identity = Identity {
            subject: Subject::Local(USER),
            username: "ada".to_owned(),
            is_staff: false,
            is_superuser: false,
            groups: Vec::new(),
            kind,
            login: Some(LoginId([1; 16])),
            jti: None,
            expires: Some(at(2000)),
            values: HeaderValues::of_user(&user(7, "ada"), false),
            asserted: super::super::assertion::Asserted::default(),
        };
        let ties = Ties {
            user: Some(USER),
            issued: Issued::Generation(1),
            login: identity.login,
            jti: None,
        };
        let stamp = Stamp { user: USER, generation: 1, version: 1 };
        Entry::new(identity, ties, Some(stamp), None, at(1060), 0)
    }

    fn apply(revocations: &Revocations, change: Change) {
        revocations.apply(&LogEntry { change, at: at(1000) });
    }

    #[test]
    fn an_entry_is_good_while_nothing_happens() {
        assert_eq!(entry(CredentialKind::Jwt).standing(&revocations(), at(1059)), Standing::Good);
    }

    #[test]
    fn a_credential_that_ran_out_is_over() {
        let over = |kind| entry(kind).standing(&revocations(), at(2000));
        let expired = Standing::Over(Rejection::Jwt(JwtFault::Expired));
        assert_eq!(over(CredentialKind::Jwt), expired);
        assert_eq!(over(CredentialKind::Opaque), Standing::Over(Rejection::UnknownToken));
    }

    #[test]
    fn an_end_applies_to_the_very_next_use_and_strangers_ends_do_not() {
        let (revocations, entry) = (revocations(), entry(CredentialKind::Jwt));
        apply(&revocations, Change::LoginEnded { login: LoginId([2; 16]) });
        assert_eq!(entry.standing(&revocations, at(1000)), Standing::Good);
        assert_eq!(entry.epoch.load(Ordering::SeqCst), 1, "checked once, not each time");
        apply(&revocations, Change::LoginEnded { login: LoginId([1; 16]) });
        let ended = Standing::Over(Rejection::Jwt(JwtFault::Blacklisted));
        assert_eq!(entry.standing(&revocations, at(1000)), ended);
        assert_eq!(entry.standing(&revocations, at(1000)), ended, "and stays so");
    }

    #[test]
    fn a_cut_ends_it_with_the_recorded_answer() {
        let cut = |reason| {
            let revocations = revocations();
            apply(&revocations, Change::UserCut { user: USER, generation: 2, reason });
            entry(CredentialKind::Jwt).standing(&revocations, at(1000))
        };
        assert_eq!(cut(CutReason::PasswordChanged), Standing::Over(Rejection::PasswordChanged));
        assert_eq!(cut(CutReason::UserDeleted), Standing::Over(Rejection::UserNotFound));
        assert_eq!(cut(CutReason::UserInactive), Standing::Outdated);
    }

    #[test]
    fn a_changed_profile_must_be_read_first() {
        let (revocations, entry) = (revocations(), entry(CredentialKind::Opaque));
        apply(&revocations, Change::ProfileChanged { user: USER, version: 2 });
        assert_eq!(entry.standing(&revocations, at(1000)), Standing::Outdated);
    }

    #[test]
    fn one_request_confirms_and_the_others_go_on_meanwhile() {
        let (revocations, entry) = (revocations(), entry(CredentialKind::Jwt));
        assert_eq!(entry.standing(&revocations, at(1060)), Standing::Due);
        assert_eq!(entry.standing(&revocations, at(1064)), Standing::Good);
        assert_eq!(entry.standing(&revocations, at(1065)), Standing::Due);
    }

    #[test]
    fn an_entry_long_out_of_use_is_confirmed_before_anyone_uses_it() {
        let (revocations, entry) = (revocations(), entry(CredentialKind::Opaque));
        assert_eq!(entry.standing(&revocations, at(1120)), Standing::Outdated);
        assert_eq!(entry.standing(&revocations, at(1120)), Standing::Outdated);
    }
}
