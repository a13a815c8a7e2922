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
        activated: (state == KeyState::Active).then(|| second(1)),
        retired: None,
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

fn states(keys: &[SigningKey]) -> Vec<(&str, KeyState)> {
    keys.iter().map(|key| (key.kid.as_str(), key.state)).collect()
}

async fn a_published_key_takes_over_and_the_one_before_retires(place: &Place) {
    let store = place.store().await;
    store.ensure_signing_key(key("a", "ES256", KeyState::Active)).await.unwrap();
    store.ensure_signing_key(key("x", "EdDSA", KeyState::Active)).await.unwrap();
    store.add_next_key(&key("b", "ES256", KeyState::Next)).await.unwrap();
    assert!(!store.promote_key("a", second(2)).await.unwrap(), "it signs already");
    assert!(!store.promote_key("nobody", second(2)).await.unwrap());
    assert!(store.promote_key("b", second(2)).await.unwrap());
    let keys = store.signing_keys().await.unwrap();
    let wanted = [("a", KeyState::Retiring), ("b", KeyState::Active), ("x", KeyState::Active)];
    assert_eq!(states(&keys), wanted);
    assert_eq!((keys[0].retired, keys[1].activated), (Some(second(2)), Some(second(2))));
    assert_eq!(states(&store.drop_retired_keys(second(1), second(3)).await.unwrap()), wanted);
    let keys = store.drop_retired_keys(second(2), second(3)).await.unwrap();
    assert_eq!(states(&keys)[0], ("a", KeyState::Gone));
    assert!(keys[0].sealed.is_empty(), "nothing is left of it");
}

async fn a_key_that_is_taken_away_has_a_successor_at_once(place: &Place) {
    let store = place.store().await;
    store.ensure_signing_key(key("a", "ES256", KeyState::Active)).await.unwrap();
    let next = key("b", "ES256", KeyState::Next);
    assert!(!store.revoke_key("nobody", Some(&next), second(2)).await.unwrap());
    assert_eq!(states(&store.signing_keys().await.unwrap()), [("a", KeyState::Active)]);
    assert!(store.revoke_key("a", Some(&next), second(2)).await.unwrap());
    let keys = store.signing_keys().await.unwrap();
    assert_eq!(states(&keys), [("a", KeyState::Gone), ("b", KeyState::Active)]);
    assert!(keys[0].sealed.is_empty());
    assert!(!store.revoke_key("a", None, second(3)).await.unwrap());
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
    a_published_key_takes_over_and_the_one_before_retires,
    a_key_that_is_taken_away_has_a_successor_at_once,
    two_replicas_that_start_at_once_agree_on_a_key,
    a_value_is_set_once_and_everyone_learns_it,
}
