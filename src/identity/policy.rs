//! What the settings say about credentials, as those who prove them need it.
//!
//! It must not know any credential.

use std::time::Duration;

use super::credential::JwtWords;
use super::judgement::Inactive;
use crate::config::{Lifetime, Settings};

/// What the settings say about credentials.
pub(super) struct Policy {
    pub(super) token_ttl: Duration,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) access_lifetime: Duration,
    pub(super) jwt_words: JwtWords,
    pub(super) inactive: Inactive,
    pub(super) check_password_mark: bool,
    pub(super) strict_revocation: bool,
    pub(super) blacklist: bool,
}

impl Policy {
    pub(super) fn of(settings: &Settings) -> Self {
        let jwt = &settings.tokens.jwt;
        Self {
            token_ttl: *settings.cache.token_ttl,
            idle_timeout: match settings.tokens.opaque.idle_timeout {
                Lifetime::Never => None,
                Lifetime::For(idle) => Some(idle),
            },
            access_lifetime: *jwt.access_lifetime,
            jwt_words: JwtWords::new(&jwt.auth_header_types),
            inactive: if jwt.check_user_is_active { Inactive::Refused } else { Inactive::Pass },
            check_password_mark: jwt.check_revoke_token,
            strict_revocation: jwt.strict_revocation,
            blacklist: jwt.blacklist_after_rotation,
        }
    }
}
