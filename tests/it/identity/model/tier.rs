//! A level between memory and database that keeps whatever it is told and forgets nothing early.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use portcullis::identity::{CachedToken, CachedUser, TokenCache};
use portcullis::model::{Timestamp, TokenDigest, UserId};

/// As old as a shared level may give things away (`cache.token_ttl`).
const TTL: Duration = Duration::from_mins(1);

#[derive(Default)]
pub(super) struct Tier {
    tokens: Mutex<HashMap<[u8; 32], CachedToken>>,
    users: Mutex<HashMap<i64, CachedUser>>,
}

#[async_trait::async_trait]
impl TokenCache for Tier {
    async fn token(&self, digest: TokenDigest, now: Timestamp) -> Option<CachedToken> {
        let held = self.tokens.lock().unwrap().get(&digest.0).cloned();
        held.filter(|token| now.since(token.owner.read) < TTL)
    }

    async fn user(&self, id: UserId, now: Timestamp) -> Option<CachedUser> {
        let held = self.users.lock().unwrap().get(&id.0).cloned();
        held.filter(|user| now.since(user.read) < TTL)
    }

    fn keep_token(&self, digest: TokenDigest, token: CachedToken) {
        self.tokens.lock().unwrap().insert(digest.0, token);
    }

    fn keep_user(&self, user: CachedUser) {
        self.users.lock().unwrap().insert(user.user.id.0, user);
    }

    /// As when Redis is away just then.
    fn forget(&self, _: TokenDigest) {}
}
