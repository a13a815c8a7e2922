//! Signing keys and single values: replicas that start at once agree on one.

use portcullis::store::{KeyState, SigningKey};

use super::place::{Place, second};

fn key(kid: &str, algorithm: &str, state: KeyState) -> SigningKey {
    SigningKey {
        kid: kid.to_owned(),
        algorithm: algorithm.to_owned(),
        state,
        sealed: kid.as_bytes().to_vec(),
        created: second(1),
    }
}

async fn a_key_is_added_unless_one_is_active(place: &Place) {
    let store = place.store().await;
    assert!(store.signing_keys().await.unwrap().is_empty());
    let first = key("a", "ES256", KeyState::Active);
    let keys = store.ensure_signing_key(first.clone()).await.unwrap();
    assert_eq!(keys, std::slice::from_ref(&first));
    for state in [KeyState::Active, KeyState::Next] {
        let kept = store.ensure_signing_key(key("b", "ES256", state)).await.unwrap();
        assert_eq!(kept, std::slice::from_ref(&first));
    }
    let other = key("c", "EdDSA", KeyState::Active);
    let both = store.ensure_signing_key(other.clone()).await.unwrap();
    assert_eq!(both, [first, other]);
    assert_eq!(store.signing_keys().await.unwrap(), both);
}

async fn a_key_that_is_not_active_makes_no_difference(place: &Place) {
    let store = place.store().await;
    for (kid, state) in [("a", KeyState::Gone), ("b", KeyState::Retiring), ("c", KeyState::Next)] {
        store.ensure_signing_key(key(kid, "ES256", state)).await.unwrap();
    }
    let keys = store.ensure_signing_key(key("d", "ES256", KeyState::Active)).await.unwrap();
    let states: Vec<_> = keys.iter().map(|key| key.state).collect();
    assert_eq!(states, [KeyState::Gone, KeyState::Retiring, KeyState::Next, KeyState::Active]);
}

async fn two_replicas_that_start_at_once_agree_on_a_key(place: &Place) {
    let (one, other) = (place.store().await, place.store().await);
    for round in 0..10 {
        let algorithm = format!("alg{round}");
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let (first, next) = tokio::join!(
            one.ensure_signing_key(key(&a, &algorithm, KeyState::Active)),
            other.ensure_signing_key(key(&b, &algorithm, KeyState::Active)),
        );
        let of_round = |keys: Vec<SigningKey>| {
            keys.into_iter().filter(|key| key.algorithm == algorithm).collect::<Vec<_>>()
        };
        let (first, next) = (of_round(first.unwrap()), of_round(next.unwrap()));
        assert_eq!((first.len(), &first), (1, &next));
    }
}

async fn a_value_is_set_once_and_everyone_learns_it(place: &Place) {
    let (one, other) = (place.store().await, place.store().await);
    assert_eq!(one.meta("name").await.unwrap(), None);
    let (first, next) = tokio::join!(one.ensure_meta("name", "a"), other.ensure_meta("name", "b"));
    assert_eq!(first.unwrap(), next.unwrap());
    let kept = one.meta("name").await.unwrap().unwrap();
    assert_eq!(other.ensure_meta("name", "c").await.unwrap(), kept);
}

#[test]
fn debug_shows_nothing_of_a_key() {
    let text = format!("{:?}", key("kid", "ES256", KeyState::Active));
    assert!(text.contains("kid") && !text.contains("sealed"), "{text}");
}

on_each! {
    a_key_is_added_unless_one_is_active,
    a_key_that_is_not_active_makes_no_difference,
    two_replicas_that_start_at_once_agree_on_a_key,
    a_value_is_set_once_and_everyone_learns_it,
}
