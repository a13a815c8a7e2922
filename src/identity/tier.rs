//! What replicas may tell one another about tokens and users, and the port through which.
//!
//! A second level between memory and the database. It can spare a look-up and nothing else:
//! what it says can let in, never refuse, and what has ended is asked after it as after every
//! level. Password hashes do not go there. It must not know where the level is kept.

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use super::digest::password_mark;
use super::outage::Away;
use super::reach::Reach;
use crate::model::{Login, Timestamp, TokenDigest, User, UserId};
use crate::store::OpaqueRow;

/// A user's record without the password hash.
#[derive(Debug, Clone)]
pub struct CachedUser {
    /// The record; [`User::password`] is empty.
    pub user: User,
    /// The claim `hash_password` of the user's tokens; only with `check_revoke_token`.
    pub password_mark: Option<String>,
    /// When the database was asked for it, by the clock of the replica that did.
    pub read: Timestamp,
}

/// What an opaque token leads to.
#[derive(Debug, Clone)]
pub struct CachedToken {
    /// The login that it belongs to.
    pub login: Login,
    /// Its owner.
    pub owner: CachedUser,
}

/// A level that replicas share. It may forget anything at any time, and it answers in time
/// or not at all.
#[async_trait]
pub trait TokenCache: Send + Sync {
    /// What a token leads to, read at most `cache.token_ttl` ago.
    async fn token(&self, digest: TokenDigest, now: Timestamp) -> Option<CachedToken>;

    /// A user's record, read at most `cache.token_ttl` ago.
    async fn user(&self, id: UserId, now: Timestamp) -> Option<CachedUser>;

    /// Keeps what was read from the database. Does not wait for it.
    fn keep_token(&self, digest: TokenDigest, token: CachedToken);

    /// Keeps what was read from the database. Does not wait for it.
    fn keep_user(&self, user: CachedUser);

    /// Forgets a token. Does not wait for it.
    fn forget(&self, digest: TokenDigest);
}

/// Where a look-up may find its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// In the shared level, or else in the database.
    Any,
    /// In the database: what the shared level said was not good enough.
    Database,
}

/// What a look-up found, and where.
#[derive(Debug, Clone)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) source: Source,
}

/// What a look-up through both levels answers.
pub(super) type LookedUp<T> = Result<Option<Found<T>>, Away>;

/// How far a look-up went. One that failed or found nothing went to the end.
pub(super) fn reach_of<T>(looked_up: &LookedUp<T>) -> Reach {
    match looked_up {
        Ok(Some(Found { source: Source::Any, .. })) => Reach::Shared,
        Ok(Some(Found { source: Source::Database, .. }) | None) | Err(Away) => Reach::Database,
    }
}

impl CachedUser {
    /// From a record that the database gave. `with_mark`: whether tokens carry the mark.
    pub(super) fn of(mut user: User, with_mark: bool, read: Timestamp) -> Self {
        let mark = with_mark.then(|| password_mark(user.password.expose_secret()));
        user.password = SecretString::from(String::new());
        Self { user, password_mark: mark, read }
    }

    /// Whether a replica that checks marks can use this: another may be set up not to.
    pub(super) fn suffices(&self, with_mark: bool) -> bool {
        self.password_mark.is_some() || !with_mark
    }
}

impl CachedToken {
    /// From a row that the database gave.
    pub(super) fn of(row: OpaqueRow, with_mark: bool, read: Timestamp) -> Self {
        Self { login: row.login, owner: CachedUser::of(row.user, with_mark, read) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::fixtures::{NOW, user};

    #[test]
    fn no_password_hash_is_handed_on() {
        let cached = CachedUser::of(user(7, "ada"), false, NOW);
        assert_eq!(cached.user.password.expose_secret(), "");
        assert_eq!(cached.password_mark, None);
        let marked = CachedUser::of(user(7, "ada"), true, NOW);
        assert_eq!(marked.user.password.expose_secret(), "");
        assert_eq!(marked.password_mark, Some(password_mark("pbkdf2_sha256$1$salt$hash")));
    }
}
