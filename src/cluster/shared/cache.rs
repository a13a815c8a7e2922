//! Redis as a second level for opaque tokens and user records.
//!
//! Named by digests, sealed, and never older than `cache.token_ttl`. It can be flushed,
//! frozen or forged: then the database is asked. It must not know what has ended; that is
//! asked after it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::link::Link;
use super::seal::{LONGEST, Seal};
use super::values::{TokenValue, UserValue};
use crate::identity::{CachedToken, CachedUser, TokenCache};
use crate::model::{Timestamp, TokenDigest, UserId};

/// Values on their way to Redis. What comes on top is not written: it is only a cache.
const WRITES: usize = 256;

/// Told of each look-up what came of it: `hit`, `miss`, `away` or `forged`.
pub type Counted = Arc<dyn Fn(&'static str) + Send + Sync>;

/// Redis as a second level.
#[derive(Clone)]
pub(super) struct SharedCache {
    link: Arc<Link>,
    seal: Arc<Seal>,
    prefix: Arc<str>,
    ttl: Duration,
    writes: Arc<Semaphore>,
    counted: Counted,
}

impl SharedCache {
    pub(super) fn new(
        link: Arc<Link>,
        key: &[u8; 32],
        prefix: Arc<str>,
        ttl: Duration,
        counted: Counted,
    ) -> Self {
        let (seal, writes) = (Arc::new(Seal::new(key)), Arc::new(Semaphore::new(WRITES)));
        Self { link, seal, prefix, ttl, writes, counted }
    }

    fn token_name(&self, digest: TokenDigest) -> String {
        format!("{}:token:{}", self.prefix, hex::encode(digest.0))
    }

    pub(super) fn user_name(&self, id: UserId) -> String {
        format!("{}:user:{id}", self.prefix)
    }

    async fn get<V: DeserializeOwned>(&self, name: &str) -> Option<V> {
        let sealed: Option<Vec<u8>> = self
            .link
            .call(|mut redis| async move {
                // Not GET: what somebody else wrote there may be of any size.
                let mut command = redis::cmd("GETRANGE");
                command.arg(name).arg(0).arg(LONGEST).query_async(&mut redis).await
            })
            .await;
        let Some(sealed) = sealed else {
            (self.counted)("away");
            return None;
        };
        if sealed.is_empty() {
            (self.counted)("miss");
            return None;
        }
        let value = self.seal.open(name, &sealed);
        let value = value.and_then(|value| serde_json::from_slice(value).ok());
        if value.is_none() {
            (self.counted)("forged");
        }
        value
    }

    /// Counts a value that was genuine, and hands it on if it is of the present.
    fn fresh<T>(&self, value: T, read: Timestamp, now: Timestamp) -> Option<T> {
        let fresh = now.since(read) < self.ttl;
        (self.counted)(if fresh { "hit" } else { "miss" });
        fresh.then_some(value)
    }

    fn put(&self, name: String, value: &impl Serialize) {
        let Ok(value) = serde_json::to_vec(value) else { return };
        let Some(sealed) = self.seal.seal(&name, &value) else { return };
        let ttl = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        self.write(move |cache| async move {
            let _: Option<()> = cache
                .link
                .call(|mut redis| async move {
                    let mut command = redis::cmd("SET");
                    command.arg(name).arg(sealed).arg("PX").arg(ttl).query_async(&mut redis).await
                })
                .await;
        });
    }

    pub(super) async fn remove(&self, name: String) {
        let _: Option<()> =
            self.link
                .call(|mut redis| async move {
                    redis::cmd("DEL").arg(name).query_async(&mut redis).await
                })
                .await;
    }

    /// Beside the request, which does not wait for it.
    fn write<F>(&self, work: impl FnOnce(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if !self.link.is_up() {
            return;
        }
        let Ok(permit) = Arc::clone(&self.writes).try_acquire_owned() else { return };
        let work = work(self.clone());
        tokio::spawn(async move {
            work.await;
            drop(permit);
        });
    }
}

#[async_trait]
impl TokenCache for SharedCache {
    async fn token(&self, digest: TokenDigest, now: Timestamp) -> Option<CachedToken> {
        let value: TokenValue = self.get(&self.token_name(digest)).await?;
        let cached = value.into_cached();
        let read = cached.owner.read;
        self.fresh(cached, read, now)
    }

    async fn user(&self, id: UserId, now: Timestamp) -> Option<CachedUser> {
        let value: UserValue = self.get(&self.user_name(id)).await?;
        let cached = value.into_cached();
        let read = cached.read;
        self.fresh(cached, read, now)
    }

    fn keep_token(&self, digest: TokenDigest, token: CachedToken) {
        if let Some(value) = TokenValue::of(&token) {
            self.put(self.token_name(digest), &value);
        }
    }

    fn keep_user(&self, user: CachedUser) {
        if let Some(value) = UserValue::of(&user) {
            self.put(self.user_name(user.user.id), &value);
        }
    }

    fn forget(&self, digest: TokenDigest) {
        let name = self.token_name(digest);
        self.write(move |cache| async move { cache.remove(name).await });
    }
}
