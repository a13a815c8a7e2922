//! The life of a stored signing key: `next`, `active`, `retiring`, `gone`.
//!
//! A key is published before it signs, for as long as others may keep an older key set, and
//! checks for as long as something it signed can live. It must not know who decides to rotate.

use std::time::Duration;

use jsonwebtoken::AlgorithmFamily;
use secrecy::SecretString;

use crate::config::JwtTokens;
use crate::model::Timestamp;
use crate::secret::RootKey;
use crate::store::{KeyState, SigningKey, Store};

use super::generation::generate;
use super::loading::{opened, parse, sealed};
use super::{KeyError, Keys};

/// How often replicas look for changed keys.
pub const KEYS_READ_EVERY: Duration = Duration::from_secs(10);

/// How long a key set may be cached: its `max-age`.
pub const KEY_SET_AGE: Duration = Duration::from_mins(5);

/// How long a key is published before it signs: a replica may be that late to publish it, and a
/// reader that late to fetch it.
pub const PUBLISHED_FOR: Duration = KEY_SET_AGE.saturating_add(KEYS_READ_EVERY.saturating_mul(2));

/// For clocks that differ.
const MARGIN: Duration = Duration::from_mins(1);

/// How long a key that signs no more still checks.
#[must_use]
pub fn retires_for(jwt: &JwtTokens) -> Duration {
    let longest = (*jwt.access_lifetime).max(*jwt.refresh_lifetime);
    longest.saturating_add(*jwt.leeway).saturating_add(MARGIN)
}

/// Makes a key for the settings' algorithm, sealed, in the state `next`.
///
/// # Errors
/// The settings have a shared secret or files, or there is no randomness.
pub async fn new_signing_key(
    jwt: &JwtTokens,
    root: &RootKey,
    now: Timestamp,
) -> Result<SigningKey, KeyError> {
    let algorithm = parse(&jwt.algorithm)?;
    if algorithm.family() == AlgorithmFamily::Hmac {
        return Err(KeyError::NotStored("tokens.jwt.signing_key"));
    }
    if !jwt.keys.is_empty() {
        return Err(KeyError::NotStored("tokens.jwt.keys"));
    }
    let text = tokio::task::spawn_blocking(move || generate(algorithm)).await;
    let text = SecretString::from(text.map_err(|_| KeyError::Generation)??);
    let key = sealed(root, now, algorithm, &text)?;
    Ok(SigningKey { state: KeyState::Next, ..key })
}

impl Keys {
    /// Whether our own keys are in the database, and not a shared secret or files.
    #[must_use]
    pub fn are_stored(&self) -> bool {
        self.stored.is_some()
    }

    /// Reads the stored keys again, after those have gone that nothing can need any more. What
    /// was signed by a key that is not among them any more ends at once. Settings with a shared
    /// secret or with files have none stored.
    ///
    /// # Errors
    /// The database's trouble, or a key that cannot be used: the old ones stay.
    pub async fn refresh(&self, store: &Store, now: Timestamp) -> Result<(), KeyError> {
        let Some(stored) = &self.stored else { return Ok(()) };
        let mut keys = store.signing_keys().await?;
        let is_due = |key: &SigningKey| {
            key.state == KeyState::Retiring
                && key.retired.is_some_and(|since| now.since(since) >= stored.retires_for)
        };
        if keys.iter().any(is_due) {
            keys = store.drop_retired_keys(now.minus(stored.retires_for), now).await?;
        }
        self.renew(opened(&stored.root, stored.algorithm, keys)?)
    }
}
