//! Where keys come from, and which are refused.

use std::sync::Arc;

use portcullis::clock::Clock;
use portcullis::config::{SecretText, Settings};
use portcullis::identity::{JwtIssuer, KeyError, Keys};
use portcullis::secret::RootKey;
use portcullis::store::Store;
use secrecy::SecretString;

use super::replica::{START, django};

#[tokio::test]
async fn a_generated_key_is_the_same_for_all_replicas_and_opens_with_the_secret_only() {
    let (store, clock) = (Store::open_temporary().await.unwrap(), Clock::manual(START));
    let settings = Settings::default();
    let set = |keys| JwtIssuer::new(&settings, Arc::new(keys)).key_set();
    let (root, other) = (RootKey::new("secret"), RootKey::new("other"));
    let first = Keys::load(&settings, &store, &root, &clock).await.unwrap();
    let second = Keys::load(&settings, &store, &root, &clock).await.unwrap();
    assert_eq!(set(first), set(second));
    let refused = Keys::load(&settings, &store, &other, &clock).await.err();
    assert!(matches!(refused, Some(KeyError::Sealed { .. })));
}

#[tokio::test]
async fn short_secrets_and_missing_files_are_refused() {
    let (store, clock) = (Store::open_temporary().await.unwrap(), Clock::manual(START));
    let root = RootKey::new("secret");
    let mut settings = django();
    settings.tokens.jwt.signing_key = SecretText(SecretString::from("short"));
    let refused = Keys::load(&settings, &store, &root, &clock).await.err().unwrap();
    assert!(matches!(refused, KeyError::Unusable { .. }));
    assert!(!refused.to_string().contains("short,"));
    "RS256".clone_into(&mut settings.tokens.jwt.algorithm);
    settings.tokens.jwt.keys = vec!["/nowhere/key.pem".into()];
    let refused = Keys::load(&settings, &store, &root, &clock).await.err();
    assert!(matches!(refused, Some(KeyError::Unreadable { .. })));
    "none".clone_into(&mut settings.tokens.jwt.algorithm);
    let refused = Keys::load(&settings, &store, &root, &clock).await.err();
    assert!(matches!(refused, Some(KeyError::UnknownAlgorithm(_))));
}
