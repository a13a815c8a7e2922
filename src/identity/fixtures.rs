//! What the tests of this module share: settings, keys, users. The time is second 1000.

use jsonwebtoken::Algorithm;
use secrecy::SecretString;

use crate::config::{JwtTokens, SecretText, TrustedIssuer, TrustedUsers};
use crate::model::{Timestamp, User, UserId};
use crate::secret::RootKey;

use super::keys::testing::{OwnKey, generate, opened, own_secret, sealed, trusted_keys};
use super::keys::{KeyError, Keys};

pub(super) const NOW: Timestamp = Timestamp::from_seconds(1000);
pub(super) const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";

/// simplejwt's settings.
pub(super) fn hs256() -> JwtTokens {
    JwtTokens {
        algorithm: "HS256".to_owned(),
        signing_key: SecretText(SecretString::from(SECRET)),
        extra_claims: Vec::new(),
        strict_revocation: false,
        ..JwtTokens::default()
    }
}

/// The product's own settings.
pub(super) fn es256() -> JwtTokens {
    JwtTokens::default()
}

pub(super) fn own_keys(jwt: &JwtTokens) -> Keys {
    Keys::assemble(jwt, own(jwt), Vec::new()).unwrap()
}

pub(super) fn keys_of(algorithm: &str) -> Keys {
    own_keys(&JwtTokens { algorithm: algorithm.to_owned(), ..es256() })
}

/// An issuer with the shared secret `<name>--------------------------------`.
pub(super) fn trusted(name: &str, issuer: &str, users: TrustedUsers) -> TrustedIssuer {
    TrustedIssuer {
        name: name.to_owned(),
        algorithm: "HS256".to_owned(),
        secret: SecretText(SecretString::from(format!("{name}{}", "-".repeat(32)))),
        issuer: issuer.to_owned(),
        users,
        ..TrustedIssuer::default()
    }
}

pub(super) async fn trusting(jwt: &JwtTokens, issuers: &[TrustedIssuer]) -> Result<Keys, KeyError> {
    let mut trusted = Vec::new();
    for issuer in issuers {
        trusted.extend(trusted_keys(jwt, issuer).await?);
    }
    Keys::assemble(jwt, own(jwt), trusted)
}

fn own(jwt: &JwtTokens) -> Vec<OwnKey> {
    let algorithm: Algorithm = jwt.algorithm.parse().unwrap();
    if jwt.algorithm.starts_with("HS") {
        return vec![own_secret(jwt, algorithm).unwrap()];
    }
    let root = RootKey::new("secret");
    let text = SecretString::from(generate(algorithm).unwrap());
    let stored = sealed(&root, NOW, algorithm, &text).unwrap();
    opened(&root, algorithm, vec![stored]).unwrap()
}

/// A plain active user without groups.
pub(super) fn user(id: i64, username: &str) -> User {
    User {
        id: UserId(id),
        username: username.to_owned(),
        email: String::new(),
        email_verified: false,
        password: SecretString::from("pbkdf2_sha256$1$salt$hash"),
        first_name: String::new(),
        last_name: String::new(),
        is_active: true,
        is_staff: false,
        is_superuser: false,
        groups: Vec::new(),
        generation: 1,
        cut_at: None,
        version: 1,
        last_login: None,
        date_joined: NOW,
    }
}
