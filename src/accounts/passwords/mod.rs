//! Hashes and checks passwords without letting them take the machine over.
//!
//! A hash costs milliseconds of a whole core and megabytes of memory, and whoever can
//! reach the login may ask for one. So all of them go through one pool with as many
//! places as there are cores and a limit on the wait for a place. It must not know
//! accounts, throttles or where hashes are stored.

mod formats;
mod slowest;

#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::config;
use crate::model::Timestamp;
use crate::telemetry::Metrics;

use self::formats::{Policy, Stored};
use self::slowest::Slowest;

pub use self::slowest::{SLOWEST_HASH, slower};

/// What new hashes are called in metrics, as [`format_name`] would.
const ARGON2: &str = "argon2";

/// Passwords beyond this are refused before they are hashed: 4,096 bytes.
pub const MAX_PASSWORD_BYTES: usize = 4096;

/// Of threads that hash (`nice(1)`): about a tenth of what a worker gets where both want a core.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// The pool was full for too long, or is shutting down. Worth another try later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords wait to be hashed")]
pub struct Busy;

/// What a password turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// Not the account's; also for accounts that are unknown or have no password.
    Wrong,
    /// The account's.
    Right,
    /// The account's, but its hash does not follow the policy: hash it anew.
    Outdated,
}

/// The hashing pool. Cheap to clone; clones share its places.
#[derive(Clone)]
pub struct Passwords {
    policy: Policy,
    places: Arc<Semaphore>,
    wait: Duration,
    slowest: Slowest,
    metrics: Option<Arc<Metrics>>,
}

/// A stored hash that nobody's password fits: `!` and 40 random characters, as Django
/// writes it.
///
/// # Panics
/// If the system has no random numbers to give, without which nothing here is safe.
#[must_use]
pub fn unusable() -> String {
    let mut random = [0; 20];
    aws_lc_rs::rand::fill(&mut random).expect("the system gives random numbers");
    format!("!{}", hex::encode(random))
}

/// Whether some password could fit this stored hash.
#[must_use]
pub fn is_usable(stored: &str) -> bool {
    !matches!(Stored::read(stored), Stored::Unusable)
}

/// What the format of a stored hash is called: Django's names, and `unusable`.
#[must_use]
pub fn format_name(stored: &str) -> &'static str {
    Stored::read(stored).name()
}

impl Passwords {
    /// A pool of `threads` places (0: one for each CPU); a hash waits at most `wait` for one.
    ///
    /// Costs below what argon2 can do are raised to it.
    #[must_use]
    pub fn new(policy: &config::Argon2, threads: usize, wait: Duration) -> Self {
        let places = match threads {
            0 => available_parallelism().map_or(1, NonZeroUsize::get),
            some => some.min(Semaphore::MAX_PERMITS),
        };
        let policy = Policy::new(policy);
        let (places, slowest) = (Arc::new(Semaphore::new(places)), Slowest::new(policy));
        Self { policy, places, wait, slowest, metrics: None }
    }

    /// Has every hash and every wait counted.
    #[must_use]
    pub fn counted_in(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Whether it is time to ask what the store keeps under [`SLOWEST_HASH`].
    #[must_use]
    pub fn wants_slowest(&self, now: Timestamp) -> bool {
        self.slowest.is_due(now)
    }

    /// Learns what the store keeps under [`SLOWEST_HASH`].
    pub fn learn_slowest(&self, kept: Option<&str>, now: Timestamp) {
        self.slowest.learn(self.policy, kept, now);
    }

    /// The hash of a password to be stored. Callers refuse passwords beyond
    /// [`MAX_PASSWORD_BYTES`] first, since [`Self::verify`] will not look at them.
    pub async fn hash(&self, password: &str) -> Result<String, Busy> {
        let (policy, password) = (self.policy, SecretString::from(password));
        self.in_pool(ARGON2, move || policy.hash(password.expose_secret().as_bytes())).await?
    }

    /// Compares a password with a stored hash; `None` stands for an unknown account.
    ///
    /// Unknown accounts and those without a usable password cost what the slowest hash costs
    /// that some account may have, and so does a wrong password for a cheaper one: the time tells
    /// nothing, as far as the machine keeps to the ratios that were measured.
    pub async fn verify(&self, password: &str, stored: Option<&str>) -> Result<Checked, Busy> {
        if password.len() > MAX_PASSWORD_BYTES {
            return Ok(Checked::Wrong);
        }
        let (policy, password) = (self.policy, SecretString::from(password));
        let (stored, slowest) = (stored.map(SecretString::from), self.slowest.stand_in());
        // Unknown accounts are counted as what they cost.
        let counted = stored.as_ref().map_or(&*slowest, |stored| stored.expose_secret());
        let algorithm = format_name(counted);
        self.in_pool(algorithm, move || {
            let stored = stored.as_ref().map_or("", ExposeSecret::expose_secret);
            check(policy, &slowest, password.expose_secret().as_bytes(), &Stored::read(stored))
        })
        .await
    }

    /// Does `work` when a place is free.
    ///
    /// The work holds its place itself: a client that hangs up drops this future, but the
    /// thread goes on, and a place given back too early would let such clients start
    /// any number of hashes.
    async fn in_pool<T: Send + 'static>(
        &self,
        algorithm: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let waiting = self.metrics.as_ref().map(|metrics| metrics.password_waiting());
        let place = self.place().await.inspect_err(|Busy| {
            if let Some(metrics) = &self.metrics {
                metrics.password_rejected();
            }
        })?;
        drop(waiting);
        let metrics = self.metrics.clone();
        let done = spawn_blocking(move || {
            let _place = place;
            stand_behind_requests();
            let began = Instant::now();
            let done = work();
            if let Some(metrics) = metrics {
                metrics.password_hashed(algorithm, began.elapsed());
            }
            done
        });
        done.await.map_err(|_| Busy)
    }

    /// First come, first served. How many may wait is bounded by the connections there are.
    async fn place(&self) -> Result<OwnedSemaphorePermit, Busy> {
        let place = timeout(self.wait, Arc::clone(&self.places).acquire_owned()).await;
        place.map_err(|_| Busy)?.map_err(|_| Busy)
    }
}

/// Lets the threads that pass requests on go first: a flood of logins must not slow them down. The
/// thread keeps it; whatever else blocks for long is in no greater hurry.
fn stand_behind_requests() {
    // Elsewhere it would hold for the whole process.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

fn check(policy: Policy, slowest: &str, password: &[u8], stored: &Stored<'_>) -> Checked {
    let fits = stored.fits(password);
    if !fits {
        slowest::make_up(stored, slowest, password);
    }
    match (fits, stored.follows(policy)) {
        (false, _) => Checked::Wrong,
        (true, true) => Checked::Right,
        (true, false) => Checked::Outdated,
    }
}

#[cfg(test)]
mod pool_tests {
    use std::time::Duration;

    use super::*;

    const CHEAP: config::Argon2 = config::Argon2 { memory_kib: 64, iterations: 1, parallelism: 1 };

    fn pool() -> Passwords {
        Passwords::new(&CHEAP, 2, Duration::from_secs(5))
    }

    #[tokio::test]
    async fn a_password_fits_its_own_hash_and_no_other() {
        let pool = pool();
        let stored = pool.hash("Quarry-Tundra-1").await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stored}");
        assert_eq!(pool.verify("Quarry-Tundra-1", Some(&stored)).await, Ok(Checked::Right));
        assert_eq!(pool.verify("quarry-tundra-1", Some(&stored)).await, Ok(Checked::Wrong));
        assert_eq!(pool.verify("", Some(&stored)).await, Ok(Checked::Wrong));
        assert_ne!(pool.hash("Quarry-Tundra-1").await.unwrap(), stored, "salts are random");
    }

    #[tokio::test]
    async fn unknown_accounts_and_unusable_hashes_are_wrong() {
        let pool = pool();
        let unusable = unusable();
        for stored in [None, Some(""), Some("!"), Some(&*unusable), Some("crypt$x"), Some("$")] {
            assert_eq!(pool.verify("", stored).await, Ok(Checked::Wrong), "{stored:?}");
            assert_eq!(pool.verify("x", stored).await, Ok(Checked::Wrong), "{stored:?}");
            assert!(!stored.is_some_and(is_usable));
        }
    }

    #[tokio::test]
    async fn a_hash_that_departs_from_the_policy_is_outdated() {
        let stored = pool().hash("Quarry-Tundra-1").await.unwrap();
        let dearer = config::Argon2 { iterations: 2, ..CHEAP };
        let pool = Passwords::new(&dearer, 1, Duration::from_secs(5));
        assert_eq!(pool.verify("Quarry-Tundra-1", Some(&stored)).await, Ok(Checked::Outdated));
        assert_eq!(pool.verify("Quarry-Tundra-2", Some(&stored)).await, Ok(Checked::Wrong));
    }

    #[tokio::test]
    async fn an_endless_password_is_wrong_without_work() {
        let pool = Passwords::new(&CHEAP, 1, Duration::ZERO);
        let _place = pool.place().await.unwrap();
        let long = "x".repeat(MAX_PASSWORD_BYTES + 1);
        assert_eq!(pool.verify(&long, None).await, Ok(Checked::Wrong));
        assert_eq!(pool.verify(&long[1..], None).await, Err(Busy), "the longest one is looked at");
    }

    #[tokio::test]
    async fn a_full_pool_is_busy_after_the_wait() {
        let pool = Passwords::new(&CHEAP, 1, Duration::from_millis(1));
        let place = pool.place().await.unwrap();
        assert_eq!(pool.hash("x").await, Err(Busy));
        drop(place);
        assert!(pool.hash("x").await.is_ok());
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_keeps_its_place_until_the_work_is_done() {
        let pool = Passwords::new(&CHEAP, 1, Duration::from_secs(5));
        let (finish, wait) = std::sync::mpsc::channel::<()>();
        let hanging = pool.clone();
        let client =
            tokio::spawn(async move { hanging.in_pool(ARGON2, move || wait.recv()).await });
        while pool.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        client.abort();
        assert!(client.await.is_err_and(|error| error.is_cancelled()));
        assert_eq!(pool.places.available_permits(), 0, "the thread still works");
        finish.send(()).unwrap();
        assert!(pool.hash("x").await.is_ok(), "then the place is free again");
    }

    #[test]
    fn unusable_hashes_look_like_django_s() {
        let one = unusable();
        assert_eq!(one.len(), 41);
        assert!(one.starts_with('!') && one[1..].bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_ne!(one, unusable());
    }
}
