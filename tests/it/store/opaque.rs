//! Opaque tokens: stored with a login, limited in number, shared if derived.

use portcullis::model::{LoginId, LoginKind, TokenDigest, UserId};
use portcullis::store::{NewOpaque, OpaqueLogin};

use super::place::{Place, log_in, login_ended, register, second, token, whole_log};

fn derived(user: UserId, number: u8) -> NewOpaque {
    NewOpaque { seed: Some([number; 16]), ..token(user, number) }
}

async fn a_token_leads_to_its_login_and_its_owner(place: &Place) {
    let store = place.store().await;
    register(&store, "bob", "").await;
    let ada = register(&store, "ada", "ada@example.org").await.id;
    store.set_groups(ada, &["ops", "admins"], second(0)).await.unwrap();
    let mut new = token(ada, 1);
    new.expires = Some(second(90));
    let made = store.log_in_opaque(new, 0, 9, true, second(5)).await.unwrap().unwrap();
    let OpaqueLogin { login, digest, seed, entries } = made;
    assert_eq!((login, digest, seed, entries.len()), (new.login, new.digest, None, 0));

    let row = store.opaque(new.digest).await.unwrap().unwrap();
    assert_eq!((row.login.id, row.login.user, row.login.kind), (new.login, ada, LoginKind::Opaque));
    assert_eq!((row.login.created, row.login.last_used), (second(5), second(5)));
    assert_eq!((row.login.generation, row.login.expires), (0, Some(second(90))));
    assert_eq!((row.user.id, row.user.username.as_str()), (ada, "ada"));
    assert_eq!(
        (row.user.groups, row.user.last_login),
        (vec!["admins".to_owned(), "ops".to_owned()], Some(second(5)))
    );
    assert!(store.opaque(TokenDigest([9; 32])).await.unwrap().is_none());
}

async fn a_token_that_a_cut_overtook_is_not_stored(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    store.cut_user(ada, second(1)).await.unwrap();
    let refused = store.log_in_opaque(token(ada, 1), 0, 9, true, second(2)).await.unwrap();
    assert_eq!(refused, None);
    let accepted = store.log_in_opaque(token(ada, 2), 1, 9, false, second(2)).await.unwrap();
    assert!(accepted.is_some());

    store.set_active(ada, false, second(3)).await.unwrap();
    let inactive = store.log_in_opaque(token(ada, 3), 2, 9, true, second(4)).await.unwrap();
    let nobodys = store.log_in_opaque(token(UserId(99), 4), 0, 9, true, second(4)).await.unwrap();
    assert_eq!((inactive, nobodys), (None, None));
    assert_eq!(place.count("opaque_tokens").await, 1);
    assert_eq!(store.user(ada).await.unwrap().unwrap().last_login, None);
}

async fn the_oldest_logins_make_room(place: &Place) {
    let store = place.store().await;
    let (ada, bob) = (register(&store, "ada", "").await.id, register(&store, "bob", "").await.id);
    let others = log_in(&store, bob, 9).await;
    for number in 1..=3 {
        log_in(&store, ada, number).await;
    }
    let made = store.log_in_opaque(token(ada, 4), 0, 2, false, second(4)).await.unwrap().unwrap();
    let mut expected =
        vec![login_ended(LoginId([1; 16]), second(4)), login_ended(LoginId([2; 16]), second(4))];
    let mut entries = made.entries.clone();
    entries.sort_by_key(|entry| format!("{entry:?}"));
    expected.sort_by_key(|entry| format!("{entry:?}"));
    assert_eq!(entries, expected);
    assert_eq!(whole_log(&store).await, made.entries);
    assert_eq!(store.logins_of(ada).await.unwrap().len(), 2);
    assert!(store.opaque(others.digest).await.unwrap().is_some());
}

async fn the_newest_login_stays_even_if_clocks_differ_or_none_may(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    log_in(&store, ada, 100).await;
    for (number, most) in [(1, 1), (2, 0)] {
        let new = token(ada, number);
        store.log_in_opaque(new, 0, most, false, second(1)).await.unwrap().unwrap();
        let left = store.logins_of(ada).await.unwrap();
        assert_eq!(left.iter().map(|login| login.id).collect::<Vec<_>>(), [new.login]);
    }
}

async fn many_logins_at_once_keep_to_the_limit(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    let logins = (1..=10).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            store.log_in_opaque(token(ada, number), 0, 3, false, second(1)).await
        })
    });
    let mut ended = 0;
    for login in logins.collect::<Vec<_>>() {
        ended += login.await.unwrap().unwrap().unwrap().entries.len();
    }
    assert_eq!(store.logins_of(ada).await.unwrap().len(), 3);
    assert_eq!((ended, whole_log(&store).await.len()), (7, 7));
}

async fn a_derived_token_is_the_users_one_token(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    log_in(&store, ada, 9).await;
    assert_eq!(store.user_token_seed(ada, second(1)).await.unwrap(), None);
    let log_in = async |number, at| {
        store.log_in_opaque(derived(ada, number), 0, 9, false, second(at)).await.unwrap().unwrap()
    };
    let first = log_in(1, 1).await;
    let again = log_in(2, 7).await;
    assert_eq!(first, again);
    assert_eq!((again.login, again.seed), (LoginId([1; 16]), Some([1; 16])));
    assert_eq!(again.digest, TokenDigest([1; 32]));
    assert_eq!(store.user_token_seed(ada, second(7)).await.unwrap(), Some([1; 16]));
    assert_eq!(store.login(again.login).await.unwrap().unwrap().last_used, second(7));

    store.end_opaque_logins(ada, second(8)).await.unwrap();
    assert_eq!(log_in(3, 9).await.seed, Some([3; 16]));
}

async fn an_expired_derived_token_is_followed_by_another(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    let mut new = derived(ada, 1);
    new.expires = Some(second(10));
    store.log_in_opaque(new, 0, 9, false, second(1)).await.unwrap().unwrap();
    assert_eq!(store.user_token_seed(ada, second(9)).await.unwrap(), Some([1; 16]));
    assert_eq!(store.user_token_seed(ada, second(10)).await.unwrap(), None);
    let next = store.log_in_opaque(derived(ada, 2), 0, 9, false, second(10)).await.unwrap();
    assert_eq!(next.unwrap().seed, Some([2; 16]));
}

async fn two_that_derive_a_token_at_once_get_the_same(place: &Place) {
    let (one, other) = (place.store().await, place.store().await);
    let ada = register(&one, "ada", "").await.id;
    for round in 0..10_u8 {
        let (first, next) = tokio::join!(
            one.log_in_opaque(derived(ada, 2 * round), 0, 9, false, second(1)),
            other.log_in_opaque(derived(ada, 2 * round + 1), 0, 9, false, second(1)),
        );
        let (first, next) = (first.unwrap().unwrap(), next.unwrap().unwrap());
        assert_eq!((first.seed, first.digest), (next.seed, next.digest));
        one.end_opaque_logins(ada, second(2)).await.unwrap();
    }
}

async fn imported_tokens_are_known_to_exist(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    let imported = log_in(&store, ada, 1).await;
    assert!(!store.has_imported_tokens().await.unwrap());
    assert!(store.imported_opaque(imported.digest).await.unwrap().is_none());
    place.execute("UPDATE opaque_tokens SET imported = TRUE").await;
    assert!(store.has_imported_tokens().await.unwrap());
    assert!(store.opaque(imported.digest).await.unwrap().is_some());
    assert!(store.imported_opaque(imported.digest).await.unwrap().is_some());
    store.end_login(imported.login, second(2)).await.unwrap();
    assert!(!store.has_imported_tokens().await.unwrap());
}

on_each! {
    a_token_leads_to_its_login_and_its_owner,
    a_token_that_a_cut_overtook_is_not_stored,
    the_oldest_logins_make_room,
    the_newest_login_stays_even_if_clocks_differ_or_none_may,
    many_logins_at_once_keep_to_the_limit,
    a_derived_token_is_the_users_one_token,
    an_expired_derived_token_is_followed_by_another,
    two_that_derive_a_token_at_once_get_the_same,
    imported_tokens_are_known_to_exist,
}
