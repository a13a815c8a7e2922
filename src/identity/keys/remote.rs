//! Trusted issuers whose keys are fetched: what is known of each, and who waits for more.
//!
//! A token with a key that nobody knows has the set fetched once more, however many ask, and not
//! again for a while. As long as nothing was ever fetched nothing can be said about such a
//! token. It must not know how a set is fetched.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::life::KeyLife;
use super::table::{Issuer, VerifyingKey};
use super::{KeyError, Keys, jwks};

/// A key set is not fetched again sooner than this, whatever tokens name.
const COOL_DOWN: Duration = Duration::from_secs(30);

/// How long a request waits for a key set.
const PATIENCE: Duration = Duration::from_millis(1500);

/// A trusted issuer whose keys are fetched.
pub(in crate::identity) struct Remote {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) algorithm: Algorithm,
    pub(super) issuer: Arc<Issuer>,
    state: Mutex<State>,
    wanted: Notify,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    keys: Vec<VerifyingKey>,
    is_known: bool,
    last_ended: Option<Instant>,
}

/// What can be said of a token whose key is not known.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::identity) enum Unknown {
    /// Its issuer has no such key.
    Refused,
    /// Another set was fetched meanwhile: look again.
    LookAgain,
    /// Its issuer could not be asked yet.
    Unknowable,
}

impl Remote {
    pub(super) fn new(
        name: String,
        url: String,
        algorithm: Algorithm,
        issuer: Arc<Issuer>,
    ) -> Self {
        let (state, wanted) = (Mutex::default(), Notify::new());
        Self { name, url, algorithm, issuer, state, wanted, ended: watch::Sender::new(0) }
    }

    /// Whether a token with this header and issuer would be its.
    fn answers(&self, algorithm: Algorithm, issuer: Option<&str>) -> bool {
        self.algorithm == algorithm && self.issuer.name.as_deref() == issuer
    }

    pub(super) fn keys(&self) -> Vec<VerifyingKey> {
        self.state.lock().keys.clone()
    }

    fn was_asked_lately(&self) -> bool {
        self.state.lock().last_ended.is_some_and(|at| at.elapsed() < COOL_DOWN)
    }

    /// Asks for the set once more and waits for it, unless that was done a moment ago.
    async fn ask(&self) -> Unknown {
        if self.was_asked_lately() {
            let is_known = self.state.lock().is_known;
            return if is_known { Unknown::Refused } else { Unknown::Unknowable };
        }
        let mut ended = self.ended.subscribe();
        self.wanted.notify_one();
        match timeout(PATIENCE, ended.changed()).await {
            Ok(Ok(())) if self.state.lock().is_known => Unknown::LookAgain,
            // Also if it is only slow: it may well have a new key.
            Ok(_) | Err(_) => Unknown::Unknowable,
        }
    }
}

impl Keys {
    /// The names and addresses of issuers whose keys are to be fetched, by their numbers.
    pub fn remote_issuers(&self) -> impl Iterator<Item = (usize, &str, &str)> {
        self.remotes.iter().enumerate().map(|(number, one)| (number, &*one.name, &*one.url))
    }

    /// Waits until somebody wants an issuer's keys that were not fetched a moment ago.
    pub async fn wanted(&self, number: usize) {
        match self.remotes.get(number) {
            Some(remote) => loop {
                remote.wanted.notified().await;
                if !remote.was_asked_lately() {
                    return;
                }
            },
            None => std::future::pending().await,
        }
    }

    /// Takes a key set that was fetched. One that cannot be used changes nothing.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn learn(&self, number: usize, set: &str) -> Result<(), KeyError> {
        let Some(remote) = self.remotes.get(number) else { return Ok(()) };
        let which = format!("the key set of the trusted issuer {:?}", remote.name);
        let unusable = |reason| KeyError::Unusable { which: which.clone(), reason };
        let keys = jwks::read(set, remote.algorithm).map_err(unusable)?;
        let keys = keys.into_iter().map(|(kid, key)| VerifyingKey {
            algorithm: remote.algorithm,
            kid,
            issuer: Arc::clone(&remote.issuer),
            verifier: key.verifying,
            public: None,
            origin: which.clone(),
            life: KeyLife::begin(),
        });
        let old = std::mem::replace(&mut remote.state.lock().keys, keys.collect());
        if let Err(error) = self.assemble_anew(None) {
            remote.state.lock().keys = old;
            return Err(error);
        }
        remote.state.lock().is_known = true;
        Ok(())
    }

    /// An attempt to fetch has ended, well or not. Whoever waits for it is told.
    pub fn fetch_ended(&self, number: usize) {
        if let Some(remote) = self.remotes.get(number) {
            remote.state.lock().last_ended = Some(Instant::now());
            remote.ended.send_modify(|ended| *ended += 1);
        }
    }

    /// Forgets an issuer's keys: they are too old to be believed. What they signed ends.
    pub fn forget_issuer(&self, number: usize) {
        if let Some(remote) = self.remotes.get(number) {
            *remote.state.lock() = State { last_ended: Some(Instant::now()), ..State::default() };
            // Fewer keys cannot meet where more did not.
            let _ = self.assemble_anew(None);
        }
    }

    /// What can be said of a token for which there is no key. Waits for its issuer's key set, if
    /// it has one that is fetched.
    pub(in crate::identity) async fn about_unknown(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        issuer: Option<&str>,
    ) -> Unknown {
        let remote = self.remotes.iter().find(|remote| remote.answers(algorithm, issuer));
        match remote {
            Some(remote) if self.ring().find(algorithm, kid, issuer).is_none() => {
                remote.ask().await
            }
            _ => Unknown::Refused,
        }
    }

    pub(in crate::identity) fn has_remotes(&self) -> bool {
        !self.remotes.is_empty()
    }
}
