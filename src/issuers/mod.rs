//! Fetches the key sets of trusted issuers (`jwks_url`), at the start and again and again.
//!
//! A set is asked for every ten minutes, sooner when a token names a key that is not in it, and
//! never by two at once. What was fetched stays good while the issuer is away, for a day. It must
//! not know what a key is, nor what is signed with it.

mod fetch;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub use fetch::{FetchError, Fetcher};

use crate::identity::{Keys, told_to_stop};
use crate::telemetry::Metrics;

/// From one fetch to the next.
const REFRESH: Duration = Duration::from_mins(10);

/// From a failed fetch to the next.
const RETRY: Duration = Duration::from_secs(30);

/// How old keys may become that cannot be fetched again.
const BELIEVED_FOR: Duration = Duration::from_hours(24);

/// Keeps the keys of trusted issuers.
pub struct IssuerKeys {
    keys: Arc<Keys>,
    fetcher: Fetcher,
    metrics: Arc<Metrics>,
}

impl IssuerKeys {
    /// For the issuers that `keys` names.
    ///
    /// # Errors
    /// There is an issuer, and this machine trusts no authority by which it could prove itself.
    pub fn new(keys: Arc<Keys>, metrics: Arc<Metrics>) -> Result<Self, FetchError> {
        let needs_tls = keys.remote_issuers().any(|(_, _, url)| url.starts_with("https:"));
        for (_, name, _) in keys.remote_issuers() {
            metrics.issuers().known(name);
        }
        Ok(Self { keys, fetcher: Fetcher::new(needs_tls)?, metrics })
    }

    /// Fetches until `stop` says `true` or goes away.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let one = Arc::new(self);
        let mut issuers = JoinSet::new();
        for (number, name, url) in one.keys.remote_issuers() {
            let (one, mut stop) = (Arc::clone(&one), stop.clone());
            let (name, url) = (name.to_owned(), url.to_owned());
            issuers.spawn(async move {
                tokio::select! {
                    () = told_to_stop(&mut stop) => {}
                    () = one.keep(number, &name, &url) => {}
                }
            });
        }
        while issuers.join_next().await.is_some() {}
    }

    /// Fetches each set once; the issuers that could not be asked, and why.
    pub async fn fetch_once(&self) -> Vec<(String, String)> {
        let mut unfetched = Vec::new();
        for (number, name, url) in self.keys.remote_issuers() {
            if let Err(error) = self.fetch(number, url).await {
                unfetched.push((name.to_owned(), error.to_string()));
            }
            self.keys.fetch_ended(number);
        }
        unfetched
    }

    async fn fetch(&self, number: usize, url: &str) -> Result<(), FetchError> {
        let set = self.fetcher.get(url).await?;
        self.keys.learn(number, &set).map_err(|error| FetchError::Set(error.to_string()))
    }

    async fn keep(&self, number: usize, name: &str, url: &str) {
        let mut fetched: Option<Instant> = None;
        loop {
            let next = match self.fetch(number, url).await {
                Ok(()) => {
                    if fetched.is_none() {
                        tracing::info!(issuer = name, "the issuer's key set was fetched");
                    }
                    fetched = Some(Instant::now());
                    self.metrics.issuers().asked(name, "success");
                    REFRESH
                }
                Err(error) => {
                    tracing::warn!(issuer = name, %error, "the issuer's key set was not fetched");
                    self.metrics.issuers().asked(name, "error");
                    if fetched.is_some_and(|at| at.elapsed() >= BELIEVED_FOR) {
                        tracing::error!(issuer = name, "its keys are too old to be believed");
                        self.keys.forget_issuer(number);
                        fetched = None;
                    }
                    RETRY
                }
            };
            self.metrics.issuers().age(name, fetched.map(|at| at.elapsed()));
            self.keys.fetch_ended(number);
            tokio::select! {
                () = sleep_until(Instant::now() + next) => {}
                () = self.keys.wanted(number) => {}
            }
        }
    }
}
