//! The keys: which one signs, which one checks which token.
//!
//! The algorithm comes from the key, never from a token's header; `kid` only looks up. It must
//! not know what the claims say beyond the issuer.

mod generation;
mod jwks;
mod life;
mod loading;
mod pem;
mod remote;
mod rotation;
mod seal;
mod table;
mod verifier;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey};

use crate::config::JwtTokens;
use crate::secret::RootKey;
use crate::store::StoreError;

pub(super) use life::KeyLife;
use loading::OwnKey;
use parking_lot::Mutex;
use remote::Remote;
pub(super) use remote::Unknown;
pub use rotation::{KEY_SET_AGE, KEYS_READ_EVERY, PUBLISHED_FOR, new_signing_key, retires_for};
pub(super) use table::{Dialect, Issuer, Users, VerifyingKey};

/// Why there are no keys to work with. Never shows key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The settings name an algorithm that does not exist here.
    #[error("{0:?} is no algorithm for tokens")]
    UnknownAlgorithm(String),
    /// A file could not be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A key that cannot be used.
    #[error("{which} cannot be used: {reason}")]
    Unusable {
        /// A file or a setting.
        which: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Two keys would check the same tokens.
    #[error(
        "{first} and {second} would check the same tokens: give one of them another issuer or algorithm"
    )]
    Ambiguous {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// A stored key does not open.
    #[error("the stored signing key {kid} cannot be opened: was secret_key changed?")]
    Sealed {
        /// Its name.
        kid: String,
    },
    /// The keys are not the database's business.
    #[error("the settings say which key signs ({0}): it is changed there")]
    NotStored(&'static str),
    /// Making or sealing a key failed.
    #[error("no signing key could be made")]
    Generation,
    /// The database did not give or take the keys.
    #[error("signing keys could not be read from the database")]
    Store(#[from] StoreError),
}

/// All keys. Those that are stored may change while we run: [`Keys::refresh`].
pub struct Keys {
    ring: ArcSwap<Ring>,
    /// Our own as they were last taken; held while the ring is made anew.
    own: Mutex<Vec<OwnKey>>,
    /// Trusted issuers' keys, to stand behind whatever our own become.
    trusted: Vec<VerifyingKey>,
    remotes: Vec<Remote>,
    jwt: JwtTokens,
    /// `None`: our own are a shared secret, or files.
    stored: Option<Stored>,
}

/// What it takes to read the stored keys again.
struct Stored {
    root: RootKey,
    algorithm: Algorithm,
    retires_for: Duration,
}

/// The keys as they are now.
pub(super) struct Ring {
    table: Vec<VerifyingKey>,
    signing: Signer,
    key_set: Arc<str>,
}

/// The key that signs, with the header that its tokens carry.
struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    /// Encoded, ready to stand before the first dot.
    header: String,
    /// The same of assertions.
    assertion_header: String,
}

impl Keys {
    /// The keys as they are now; to be held for the length of one look only.
    pub(super) fn ring(&self) -> Guard<Arc<Ring>> {
        self.ring.load()
    }

    /// Signs an encoded payload into a whole token.
    pub(super) fn sign(&self, payload: &str) -> String {
        let ring = self.ring();
        ring.sign(&ring.signing.header, payload)
    }

    /// Likewise into an assertion, which is no token.
    pub(super) fn sign_assertion(&self, payload: &str) -> String {
        let ring = self.ring();
        ring.sign(&ring.signing.assertion_header, payload)
    }

    /// The public key set (RFC 7517); never a shared secret.
    pub(super) fn key_set(&self) -> Arc<str> {
        Arc::clone(&self.ring().key_set)
    }
}

impl Ring {
    /// The one key that may check a token with this header and issuer. Keys of the very issuer
    /// come before keys that leave the issuer open.
    pub(super) fn find(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        issuer: Option<&str>,
    ) -> Option<&VerifyingKey> {
        let fits = |key: &&VerifyingKey, issuer: Option<&str>| {
            key.algorithm == algorithm
                && key.issuer.name.as_deref() == issuer
                && key.kid.answers(kid)
        };
        let named = issuer.and_then(|_| self.table.iter().find(|key| fits(key, issuer)));
        named.or_else(|| self.table.iter().find(|key| fits(key, None)))
    }

    /// The keys that may check a token with this header, whoever issued it.
    pub(super) fn answering(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> impl Iterator<Item = &VerifyingKey> {
        self.table.iter().filter(move |key| key.algorithm == algorithm && key.kid.answers(kid))
    }

    fn sign(&self, header: &str, payload: &str) -> String {
        let message = format!("{header}.{payload}");
        let signature = jsonwebtoken::crypto::sign(
            message.as_bytes(),
            &self.signing.key,
            self.signing.algorithm,
        )
        .expect("the key signed when it was loaded");
        format!("{message}.{signature}")
    }
}

/// Joins the public halves of our own keys. Keys without one (shared secrets) are not in it.
fn key_set(table: &[VerifyingKey]) -> Arc<str> {
    let keys: Vec<Jwk> = table
        .iter()
        .filter_map(|key| {
            let mut jwk = key.public.clone()?;
            jwk.common.public_key_use = Some(PublicKeyUse::Signature);
            jwk.common.key_id = key.kid.name().map(str::to_owned);
            Some(jwk)
        })
        .collect();
    serde_json::json!({ "keys": keys }).to_string().into()
}

/// The steps of loading, for tests that have no database.
#[cfg(test)]
pub(super) mod testing {
    pub(in crate::identity) use super::generation::generate;
    pub(in crate::identity) use super::loading::{
        OwnKey, opened, own_secret, sealed, trusted_keys,
    };
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::identity::fixtures::{hs256, keys_of, own_keys};

    #[test]
    fn tokens_of_a_shared_secret_carry_no_kid_and_the_set_stays_empty() {
        let keys = own_keys(&hs256());
        assert_eq!(&*keys.key_set(), r#"{"keys":[]}"#);
        assert!(keys.ring().find(Algorithm::HS256, None, None).is_some());
        assert!(keys.ring().find(Algorithm::HS256, None, Some("anyone")).is_some());
        assert!(keys.ring().find(Algorithm::HS256, Some("x"), None).is_none());
        assert!(keys.ring().find(Algorithm::HS512, None, None).is_none());
    }

    #[test]
    fn the_key_set_shows_public_halves_with_kid_use_and_algorithm() {
        for (algorithm, members) in [
            ("ES256", vec!["alg", "crv", "kid", "kty", "use", "x", "y"]),
            ("ES384", vec!["alg", "crv", "kid", "kty", "use", "x", "y"]),
            ("EdDSA", vec!["alg", "crv", "kid", "kty", "use", "x"]),
            ("RS256", vec!["alg", "e", "kid", "kty", "n", "use"]),
            ("PS512", vec!["alg", "e", "kid", "kty", "n", "use"]),
        ] {
            let keys = keys_of(algorithm);
            let set: Value = serde_json::from_str(&keys.key_set()).unwrap();
            let key = set["keys"][0].as_object().unwrap();
            let mut names: Vec<_> = key.keys().map(String::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, members, "{algorithm}");
            assert_eq!((&key["alg"], &key["use"]), (&json!(algorithm), &json!("sig")));
            let kid = key["kid"].as_str().unwrap();
            let algorithm = algorithm.parse().unwrap();
            assert!(keys.ring().find(algorithm, Some(kid), None).is_some());
            assert!(keys.ring().find(algorithm, None, None).is_some(), "the default");
            assert!(keys.ring().find(algorithm, Some("other"), None).is_none());
        }
    }
}
