//! Whether a genuine credential is still good, and which answer it gets if not.
//!
//! Pure, and in the order in which simplejwt and DRF look, so that the first fault is theirs.
//! It must not know where records come from or how long they are believed.

use std::time::Duration;

use crate::model::{CutReason, Login, LoginKind, Timestamp, User};

use super::flaw::RowFlaw;
use super::proved::CredentialKind;
use super::records::Record;
use super::rejection::{BasicFault, JwtFault, Rejection};
use super::revocation::Finding;
use super::ties::{Issued, Ties};

/// Whether inactive users are let through: simplejwt's `CHECK_USER_IS_ACTIVE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inactive {
    Refused,
    Pass,
}

/// A JWT against its user's record. `password_mark`: its claim `hash_password`.
pub(super) fn judge_user(
    password_mark: Option<&str>,
    record: &Record,
    inactive: Inactive,
) -> Result<(), Rejection> {
    if !record.is_active && inactive == Inactive::Refused {
        return Err(Rejection::UserInactive);
    }
    if let Some(mark) = &record.password_mark
        && password_mark != Some(mark)
    {
        return Err(Rejection::PasswordChanged);
    }
    Ok(())
}

/// A JWT against the cuts that its user's record remembers. Comes after the log, which knows why.
pub(super) fn judge_generation(ties: &Ties, record: &Record) -> Result<(), Rejection> {
    let generation = record.stamp.generation;
    // A generation that never was: the database is older than the token.
    let ahead = matches!(ties.issued, Issued::Generation(own) if own > generation);
    if ahead || ties.issued.is_ended_by(generation, record.cut_at) {
        return Err(Rejection::Jwt(JwtFault::Blacklisted));
    }
    Ok(())
}

/// What an opaque token leads to. `idle`: the setting `idle_timeout`.
pub(super) fn judge_row(
    login: &Login,
    user: &User,
    now: Timestamp,
    idle: Option<Duration>,
) -> Result<(), RowFlaw> {
    if login.kind != LoginKind::Opaque {
        return Err(RowFlaw::Kind);
    }
    if login.expires.is_some_and(|expires| expires <= now) {
        return Err(RowFlaw::Expired);
    }
    if idle.is_some_and(|idle| now.since(login.last_used) >= idle) {
        return Err(RowFlaw::Idle);
    }
    if !user.is_active {
        return Err(RowFlaw::Inactive);
    }
    if login.generation < user.generation {
        return Err(RowFlaw::Generation);
    }
    Ok(())
}

/// The answer to a finding of the log. `None`: the record has to be looked at first.
pub(super) fn answer(kind: CredentialKind, finding: Finding) -> Option<Rejection> {
    match (kind, finding) {
        // Perhaps active again: then the token is dead, but not for that reason.
        (_, Finding::Outdated | Finding::Cut(CutReason::UserInactive)) => None,
        (CredentialKind::Opaque, Finding::Ended | Finding::Cut(_)) => Some(Rejection::UnknownToken),
        // What was remembered of it ends; the password itself may still be right.
        (CredentialKind::Basic, Finding::Ended | Finding::Cut(_)) => {
            Some(Rejection::Basic(BasicFault::Refused))
        }
        (CredentialKind::Jwt, Finding::Cut(CutReason::PasswordChanged)) => {
            Some(Rejection::PasswordChanged)
        }
        (CredentialKind::Jwt, Finding::Cut(CutReason::UserDeleted)) => {
            Some(Rejection::UserNotFound)
        }
        (CredentialKind::Jwt, Finding::Ended | Finding::Cut(CutReason::LoggedOut)) => {
            Some(Rejection::Jwt(JwtFault::Blacklisted))
        }
    }
}

/// When a credential that ran out by itself is told so.
pub(super) fn expired(kind: CredentialKind) -> Rejection {
    match kind {
        CredentialKind::Opaque => Rejection::UnknownToken,
        CredentialKind::Jwt => Rejection::Jwt(JwtFault::Expired),
        CredentialKind::Basic => Rejection::Basic(BasicFault::Refused),
    }
}

#[cfg(test)]
mod tests {
    use super::super::digest::password_mark;
    use super::super::fixtures::{NOW, user};
    use super::super::records::Keep;
    use super::super::tier::CachedUser;
    use super::*;
    use crate::model::{LoginId, UserId};
    use crate::store::OpaqueRow;

    const KEEP: Keep = Keep { unverified_email: false, password_mark: false };

    fn ties(issued: Issued) -> Ties {
        Ties { user: Some(UserId(7)), issued, login: None, jti: None }
    }

    fn record(change: impl FnOnce(&mut User), keep: Keep) -> Record {
        let mut user = user(7, "ada");
        change(&mut user);
        Record::of(&CachedUser::of(user, keep.password_mark, NOW), keep)
    }

    fn row(change: impl FnOnce(&mut OpaqueRow)) -> OpaqueRow {
        let login = Login {
            id: LoginId([1; 16]),
            user: UserId(7),
            kind: LoginKind::Opaque,
            generation: 1,
            created: NOW,
            last_used: NOW,
            expires: None,
        };
        let mut row = OpaqueRow { login, user: user(7, "ada") };
        change(&mut row);
        row
    }

    #[test]
    fn inactive_users_are_refused_unless_the_settings_let_them_pass() {
        let inactive = record(|user| user.is_active = false, KEEP);
        assert_eq!(judge_user(None, &record(|_| (), KEEP), Inactive::Refused), Ok(()));
        assert_eq!(judge_user(None, &inactive, Inactive::Refused), Err(Rejection::UserInactive));
        assert_eq!(judge_user(None, &inactive, Inactive::Pass), Ok(()));
    }

    #[test]
    fn a_token_older_than_the_password_is_told_so() {
        let judge = |mark, keep| judge_user(mark, &record(|_| (), keep), Inactive::Refused);
        let marked = Keep { password_mark: true, ..KEEP };
        let mark = password_mark("pbkdf2_sha256$1$salt$hash");
        assert_eq!(judge(Some(&*mark), marked), Ok(()));
        assert_eq!(judge(Some("other"), marked), Err(Rejection::PasswordChanged));
        assert_eq!(judge(None, marked), Err(Rejection::PasswordChanged));
        assert_eq!(judge(Some("other"), KEEP), Ok(()), "not asked for");
    }

    #[test]
    fn the_records_generation_decides() {
        let dead = Err(Rejection::Jwt(JwtFault::Blacklisted));
        let record = record(|user| (user.generation, user.cut_at) = (3, Some(NOW)), KEEP);
        let judge = |issued| judge_generation(&ties(issued), &record);
        assert_eq!(judge(Issued::Generation(2)), dead);
        assert_eq!(judge(Issued::Generation(3)), Ok(()));
        assert_eq!(judge(Issued::Generation(4)), dead);
        assert_eq!(judge(Issued::Second(1000)), dead);
        assert_eq!(judge(Issued::Second(1001)), Ok(()));
    }

    #[test]
    fn opaque_tokens_end_by_expiry_idleness_and_cuts() {
        let at = Timestamp::from_seconds;
        let idle = Some(Duration::from_secs(100));
        let unknown = Err(Rejection::UnknownToken);
        let judge = |now, row: &OpaqueRow| {
            judge_row(&row.login, &row.user, at(now), idle).map_err(Rejection::from)
        };
        assert_eq!(judge(1099, &row(|_| ())), Ok(()));
        assert_eq!(judge(1100, &row(|_| ())), unknown);
        let unused = row(|_| ());
        assert_eq!(judge_row(&unused.login, &unused.user, at(1_000_000), None), Ok(()));
        let expiring = row(|row| row.login.expires = Some(at(1050)));
        assert_eq!((judge(1049, &expiring), judge(1050, &expiring)), (Ok(()), unknown.clone()));
        assert_eq!(judge(1000, &row(|row| row.user.generation = 2)), unknown);
        assert_eq!(judge(1000, &row(|row| row.login.kind = LoginKind::Jwt)), unknown);
    }

    #[test]
    fn an_inactive_owner_is_named_before_the_cut_that_it_brought() {
        let row = row(|row| (row.user.is_active, row.user.generation) = (false, 2));
        assert_eq!(judge_row(&row.login, &row.user, NOW, None), Err(RowFlaw::Inactive));
    }

    #[test]
    fn each_end_has_its_recorded_answer() {
        use CredentialKind::{Basic, Jwt, Opaque};
        let blacklisted = Some(Rejection::Jwt(JwtFault::Blacklisted));
        let refused = Some(Rejection::Basic(BasicFault::Refused));
        for (kind, finding, expected) in [
            (Jwt, Finding::Ended, blacklisted.clone()),
            (Jwt, Finding::Cut(CutReason::LoggedOut), blacklisted),
            (Jwt, Finding::Cut(CutReason::PasswordChanged), Some(Rejection::PasswordChanged)),
            (Jwt, Finding::Cut(CutReason::UserDeleted), Some(Rejection::UserNotFound)),
            (Jwt, Finding::Cut(CutReason::UserInactive), None),
            (Jwt, Finding::Outdated, None),
            (Opaque, Finding::Ended, Some(Rejection::UnknownToken)),
            (Opaque, Finding::Cut(CutReason::PasswordChanged), Some(Rejection::UnknownToken)),
            (Opaque, Finding::Cut(CutReason::UserInactive), None),
            (Opaque, Finding::Outdated, None),
            (Basic, Finding::Cut(CutReason::LoggedOut), refused.clone()),
            (Basic, Finding::Cut(CutReason::PasswordChanged), refused),
            (Basic, Finding::Cut(CutReason::UserInactive), None),
            (Basic, Finding::Outdated, None),
        ] {
            assert_eq!(answer(kind, finding), expected, "{kind:?} {finding:?}");
        }
    }
}
