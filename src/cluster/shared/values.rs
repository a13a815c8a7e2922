//! How records are written down in Redis, and read again.
//!
//! JSON with short names. A field more or less makes a value unreadable, which costs a look-up:
//! replicas of two releases may run side by side. It must not know who can write there.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::identity::{CachedToken, CachedUser};
use crate::model::{Login, LoginId, LoginKind, Timestamp, User, UserId};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserValue {
    id: i64,
    name: String,
    email: String,
    email_verified: bool,
    first_name: String,
    last_name: String,
    is_staff: bool,
    is_superuser: bool,
    groups: Vec<String>,
    generation: i64,
    cut_at: Option<i64>,
    version: i64,
    last_login: Option<i64>,
    date_joined: i64,
    mark: Option<String>,
    read: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenValue {
    login: [u8; 16],
    generation: i64,
    created: i64,
    last_used: i64,
    expires: Option<i64>,
    owner: UserValue,
}

impl UserValue {
    /// None for an inactive user: only the database refuses.
    pub(super) fn of(cached: &CachedUser) -> Option<Self> {
        let user = &cached.user;
        user.is_active.then(|| Self {
            id: user.id.0,
            name: user.username.clone(),
            email: user.email.clone(),
            email_verified: user.email_verified,
            first_name: user.first_name.clone(),
            last_name: user.last_name.clone(),
            is_staff: user.is_staff,
            is_superuser: user.is_superuser,
            groups: user.groups.clone(),
            generation: user.generation,
            cut_at: user.cut_at.map(Timestamp::micros),
            version: user.version,
            last_login: user.last_login.map(Timestamp::micros),
            date_joined: user.date_joined.micros(),
            mark: cached.password_mark.clone(),
            read: cached.read.micros(),
        })
    }

    pub(super) fn into_cached(self) -> CachedUser {
        let user = User {
            id: UserId(self.id),
            username: self.name,
            email: self.email,
            email_verified: self.email_verified,
            password: SecretString::from(String::new()),
            first_name: self.first_name,
            last_name: self.last_name,
            is_active: true,
            is_staff: self.is_staff,
            is_superuser: self.is_superuser,
            groups: self.groups,
            generation: self.generation,
            cut_at: self.cut_at.map(Timestamp::from_micros),
            version: self.version,
            last_login: self.last_login.map(Timestamp::from_micros),
            date_joined: Timestamp::from_micros(self.date_joined),
        };
        CachedUser { user, password_mark: self.mark, read: Timestamp::from_micros(self.read) }
    }
}

impl TokenValue {
    /// None where only the database should answer.
    pub(super) fn of(cached: &CachedToken) -> Option<Self> {
        let login = &cached.login;
        let owner = UserValue::of(&cached.owner)?;
        (login.kind == LoginKind::Opaque).then(|| Self {
            login: login.id.0,
            generation: login.generation,
            created: login.created.micros(),
            last_used: login.last_used.micros(),
            expires: login.expires.map(Timestamp::micros),
            owner,
        })
    }

    pub(super) fn into_cached(self) -> CachedToken {
        let owner = self.owner.into_cached();
        let login = Login {
            id: LoginId(self.login),
            user: owner.user.id,
            kind: LoginKind::Opaque,
            generation: self.generation,
            created: Timestamp::from_micros(self.created),
            last_used: Timestamp::from_micros(self.last_used),
            expires: self.expires.map(Timestamp::from_micros),
        };
        CachedToken { login, owner }
    }
}
