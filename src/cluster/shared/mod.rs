//! Redis: the level of the cache that replicas share, hints between them, shared counts.
//!
//! Nothing rests on it. Away, slow, flushed or forged it costs time and nothing else. It must
//! not know what a credential is allowed to do.

mod address;
mod cache;
mod counts;
mod examine;
mod hints;
mod link;
mod own;
mod seal;
mod values;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

pub use address::AddressError;
pub use cache::Counted;
pub use counts::{LoginCount, LoginOutcome, LoginTry, RateOf, SharedCounts};
pub use examine::{RedisExamination, RedisInfo, examine_redis};
pub use hints::Herald;
pub use link::Seen;

use self::address::Address;
use self::cache::SharedCache;
use self::hints::{HeraldTask, HintListener};
use self::link::{Link, LinkKeeper};
use crate::identity::TokenCache;

/// What Redis is used with.
pub struct SharedOptions<'a> {
    /// `redis.url`.
    pub url: &'a str,
    /// What `redis.ca_file` holds: PEM.
    pub ca: Option<&'a [u8]>,
    /// `redis.timeout`.
    pub timeout: Duration,
    /// `cache.token_ttl`.
    pub token_ttl: Duration,
    /// Seals values and hides names.
    pub key: &'a [u8; 32],
    /// The installation: what has another one is another's, in the same Redis.
    pub installation: &'a str,
    /// This replica, as no other calls itself.
    pub replica: String,
    /// The follower's bell.
    pub wake: Arc<Notify>,
    /// Told when Redis comes and goes.
    pub seen: Seen,
    /// Told of look-ups.
    pub counted: Counted,
}

/// Everything that Redis is used for.
pub struct Shared {
    link: Arc<Link>,
    cache: SharedCache,
    herald: Herald,
    counts: SharedCounts,
}

/// What has to be run for it.
pub struct SharedTasks {
    keeper: LinkKeeper,
    herald: HeraldTask,
    listener: HintListener,
}

impl Shared {
    /// Reads the address; connects nowhere yet.
    ///
    /// # Errors
    /// The address makes no sense.
    pub fn new(options: SharedOptions<'_>) -> Result<(Self, SharedTasks), AddressError> {
        let SharedOptions { url, ca, timeout, key, installation, replica, wake, seen, .. } =
            options;
        let address = Address::parse(url)?;
        let prefix: Arc<str> = format!("portcullis:{installation}").into();
        let (link, keeper) = Link::new(address.dialer(timeout, ca)?, timeout, Arc::clone(&seen));
        let cache = SharedCache::new(
            Arc::clone(&link),
            key,
            Arc::clone(&prefix),
            options.token_ttl,
            options.counted,
        );
        let channel = format!("{prefix}:hints");
        let (herald, task) =
            hints::herald(Arc::clone(&link), cache.clone(), channel.clone(), replica.clone());
        let listener =
            HintListener::new(address.dialer(timeout, ca)?, channel, replica, wake, seen);
        let counts = SharedCounts::new(Arc::clone(&link), key, prefix);
        let shared = Self { link, cache, herald, counts };
        Ok((shared, SharedTasks { keeper, herald: task, listener }))
    }

    /// The second level for tokens and users.
    #[must_use]
    pub fn cache(&self) -> Arc<dyn TokenCache> {
        Arc::new(self.cache.clone())
    }

    /// Tells the other replicas.
    #[must_use]
    pub fn herald(&self) -> Herald {
        self.herald.clone()
    }

    /// Counts of tries.
    #[must_use]
    pub fn counts(&self) -> SharedCounts {
        self.counts.clone()
    }

    /// How many calls Redis refused; to be read at any time.
    pub fn refused(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let link = Arc::clone(&self.link);
        move || link.refused()
    }
}

impl SharedTasks {
    /// Tries to connect once, for at most some seconds: a Redis that is away is no reason not
    /// to start.
    pub async fn connect(&mut self) {
        self.keeper.connect().await;
    }

    /// Runs it among `tasks` until `stop` says `true` or goes away.
    pub fn spawn(self, tasks: &mut JoinSet<()>, stop: &watch::Receiver<bool>) {
        tasks.spawn(self.keeper.run(stop.clone()));
        tasks.spawn(self.herald.run(stop.clone()));
        tasks.spawn(self.listener.run(stop.clone()));
    }
}

/// Whether a Redis answers at this address, for `check --connect`.
///
/// # Errors
/// Why not, without the address.
pub async fn try_redis(
    url: &str,
    ca: Option<&[u8]>,
    timeout: Duration,
) -> Result<(), AddressError> {
    let refused = |error: redis::RedisError| AddressError::Refused(error.category().to_owned());
    let mut connection = Address::parse(url)?.dialer(timeout, ca)?.dial().await.map_err(refused)?;
    redis::cmd("PING").query_async::<()>(&mut connection).await.map_err(refused)
}
