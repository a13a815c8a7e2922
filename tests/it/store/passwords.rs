//! New passwords, and new hashes of old ones.

use std::time::Duration;

use portcullis::model::{Change, CutReason, MailPurpose, UserId};
use portcullis::store::{NewMail, PasswordChange, Store};
use secrecy::ExposeSecret;

use super::place::{Place, log_in, profile_changed, register, second, user_cut, whole_log};

fn to(password: &str) -> PasswordChange<'_> {
    PasswordChange {
        password,
        instead_of: None,
        log_out: false,
        set_last_login: false,
        verified_email: None,
    }
}

async fn stored(store: &Store, id: UserId) -> String {
    store.user(id).await.unwrap().unwrap().password.expose_secret().to_owned()
}

async fn a_new_password_may_leave_logins_alone(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    let token = log_in(&store, ada, 1).await;
    let (user, entries) =
        store.change_password(ada, to("new"), None, second(2)).await.unwrap().unwrap();
    assert_eq!(entries, [profile_changed(ada, 1, second(2))]);
    assert_eq!((user.generation, user.cut_at, user.last_login), (0, None, None));
    assert_eq!(stored(&store, ada).await, "new");
    assert!(store.opaque(token.digest).await.unwrap().is_some());
}

async fn a_new_password_may_end_every_login(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "ada@example.org").await.id;
    let token = log_in(&store, ada, 1).await;
    let mail = NewMail {
        purpose: MailPurpose::PasswordChanged,
        user: ada,
        address: "ada@example.org",
        site: None,
    };
    let change = PasswordChange {
        log_out: true,
        set_last_login: true,
        verified_email: Some("ada@example.org"),
        ..to("new")
    };
    let (user, entries) =
        store.change_password(ada, change, Some(mail), second(2)).await.unwrap().unwrap();
    assert_eq!(entries, [user_cut(ada, 1, CutReason::PasswordChanged, second(2))]);
    assert_eq!(whole_log(&store).await, entries);
    assert_eq!((user.generation, user.version, user.cut_at), (1, 1, Some(second(2))));
    assert_eq!((user.last_login, user.email_verified), (Some(second(2)), true));
    assert!(store.opaque(token.digest).await.unwrap().is_none());
    assert_eq!(store.take_mail(9, Duration::from_secs(9), second(2)).await.unwrap().len(), 1);
}

async fn a_second_cut_by_a_slower_clock_does_not_take_the_first_back(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    let change = |new| PasswordChange { log_out: true, ..to(new) };
    store.change_password(ada, change("new"), None, second(9)).await.unwrap().unwrap();
    let (user, _) =
        store.change_password(ada, change("newer"), None, second(7)).await.unwrap().unwrap();
    assert_eq!((user.generation, user.cut_at), (2, Some(second(9))));
    let (user, _) =
        store.change_password(ada, change("newest"), None, second(11)).await.unwrap().unwrap();
    assert_eq!((user.generation, user.cut_at), (3, Some(second(11))));
}

async fn a_link_to_a_former_address_sets_the_password_and_proves_nothing(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "new@example.org").await.id;
    let change = PasswordChange { verified_email: Some("old@example.org"), ..to("new") };
    let (user, _) = store.change_password(ada, change, None, second(2)).await.unwrap().unwrap();
    assert!(!user.email_verified);
}

async fn a_password_is_changed_only_from_the_expected_one(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    let change = |new, old| PasswordChange { instead_of: Some(old), ..to(new) };
    let refused = store.change_password(ada, change("new", "other"), None, second(1)).await;
    assert!(refused.unwrap().is_none());
    assert_eq!(stored(&store, ada).await, "hash");
    assert!(whole_log(&store).await.is_empty());
    let done = store.change_password(ada, change("new", "hash"), None, second(1)).await;
    assert!(done.unwrap().is_some());
    assert_eq!(stored(&store, ada).await, "new");
    let nobody = store.change_password(UserId(99), to("new"), None, second(1)).await;
    assert!(nobody.unwrap().is_none());
}

async fn a_link_used_twice_at_once_is_good_once(place: &Place) {
    let (one, other) = (place.store().await, place.store().await);
    let ada = register(&one, "ada", "").await.id;
    for round in 0..10 {
        let old = stored(&one, ada).await;
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let change = |new| PasswordChange { instead_of: Some(&old), ..to(new) };
        let (first, second) = tokio::join!(
            one.change_password(ada, change(&a), None, second(1)),
            other.change_password(ada, change(&b), None, second(1)),
        );
        let done = [first.unwrap().is_some(), second.unwrap().is_some()];
        assert_eq!(done.iter().filter(|done| **done).count(), 1);
        assert_eq!(stored(&one, ada).await, if done[0] { a } else { b });
    }
}

async fn a_hash_is_renewed_unless_the_password_changed(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    let entries = store.rehash(ada, "hash", "better", second(1)).await.unwrap();
    assert_eq!(stored(&store, ada).await, "better");
    assert!(store.rehash(ada, "hash", "worse", second(2)).await.unwrap().is_empty());
    assert_eq!(stored(&store, ada).await, "better");
    // Whoever remembers a digest of the hash reads it again; nothing ends by it.
    assert_eq!(entries[0].change, Change::ProfileChanged { user: ada, version: 1 });
    assert_eq!(whole_log(&store).await, entries);
    assert_eq!(store.user(ada).await.unwrap().unwrap().generation, 0);
}

on_each! {
    a_new_password_may_leave_logins_alone,
    a_new_password_may_end_every_login,
    a_second_cut_by_a_slower_clock_does_not_take_the_first_back,
    a_link_to_a_former_address_sets_the_password_and_proves_nothing,
    a_password_is_changed_only_from_the_expected_one,
    a_link_used_twice_at_once_is_good_once,
    a_hash_is_renewed_unless_the_password_changed,
}
