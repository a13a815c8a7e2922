//! Taken names and addresses, also when two want one at the same time.

use portcullis::store::{Field, NameRules, ProfileChange};

use super::place::{LAX, Place, STRICT, plain, register, second, taken, whole_log};

const UNIQUE: NameRules = NameRules { unique_email: true, reuse_usernames: true };

async fn a_live_name_is_taken_in_its_exact_form_only(place: &Place) {
    let store = place.store().await;
    register(&store, "ada", "").await;
    let again = store.create_user(plain("ada", ""), LAX, None, None, second(1)).await;
    assert_eq!(taken(&again), Some(Field::Username));
    assert!(store.username_taken("ada", LAX).await.unwrap());
    assert!(!store.username_taken("Ada", STRICT).await.unwrap());
    store.create_user(plain("Ada", ""), STRICT, None, None, second(1)).await.unwrap();
}

async fn the_name_of_a_deleted_account_stays_taken_unless_allowed(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await;
    store.delete_user(ada.id, second(1)).await.unwrap();
    assert!(store.username_taken("ada", STRICT).await.unwrap());
    assert!(!store.username_taken("ada", LAX).await.unwrap());

    let refused = store.create_user(plain("ada", ""), STRICT, None, None, second(2)).await;
    assert_eq!(taken(&refused), Some(Field::Username));
    assert_eq!(store.user_count().await.unwrap(), 0, "the insert before the check is undone");
    store.create_user(plain("ada", ""), LAX, None, None, second(2)).await.unwrap();
}

async fn the_name_of_a_renamed_account_is_kept_for_its_last_holder(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    let bob = register(&store, "bob", "").await.id;
    let rename = async |id, username| {
        let change = ProfileChange { username: Some(username), ..ProfileChange::default() };
        store.change_profile(id, change, STRICT, None, second(1)).await
    };
    rename(ada, "countess").await.unwrap().unwrap();
    assert_eq!(taken(&rename(bob, "ada").await), Some(Field::Username));
    rename(ada, "ada").await.unwrap().unwrap();
    assert_eq!(taken(&rename(bob, "countess").await), Some(Field::Username));
    assert_eq!(taken(&rename(bob, "ada").await), Some(Field::Username));
    assert_eq!(store.user(bob).await.unwrap().unwrap().username, "bob");
}

async fn an_address_is_taken_in_any_spelling_if_it_is_unique(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "ada@example.org").await;
    let new = || plain("bob", "ADA@example.org");
    let refused = store.create_user(new(), STRICT, None, None, second(1)).await;
    assert_eq!(taken(&refused), Some(Field::Email));
    assert!(store.email_taken("Ada@Example.org", None).await.unwrap());
    assert!(!store.email_taken("Ada@Example.org", Some(ada.id)).await.unwrap());
    assert!(!store.email_taken("", None).await.unwrap());
    store.create_user(new(), LAX, None, None, second(1)).await.unwrap();
}

async fn any_number_of_accounts_may_have_no_address(place: &Place) {
    let store = place.store().await;
    register(&store, "ada", "").await;
    register(&store, "bob", "").await;
    assert_eq!(store.user_count().await.unwrap(), 2);
}

async fn of_two_that_want_one_name_at_once_one_gets_it(place: &Place) {
    let (one, other) = (place.store().await, place.store().await);
    for round in 0..10 {
        let name = format!("ada{round}");
        let (first, second) = tokio::join!(
            one.create_user(plain(&name, ""), STRICT, None, None, second(0)),
            other.create_user(plain(&name, ""), STRICT, None, None, second(0)),
        );
        assert_eq!(u8::from(first.is_ok()) + u8::from(second.is_ok()), 1);
        assert_eq!(taken(&first).or(taken(&second)), Some(Field::Username));
    }
}

async fn of_two_that_want_one_address_at_once_one_gets_it(place: &Place) {
    let (one, other) = (place.store().await, place.store().await);
    let bob = register(&other, "bob", "").await.id;
    for round in 0..10 {
        let (name, email) = (format!("ada{round}"), format!("ada{round}@example.org"));
        let spelled = email.to_uppercase();
        let change = ProfileChange { email: Some(&spelled), ..ProfileChange::default() };
        let (first, second) = tokio::join!(
            one.create_user(plain(&name, &email), UNIQUE, None, None, second(0)),
            other.change_profile(bob, change, UNIQUE, None, second(0)),
        );
        assert_eq!(u8::from(first.is_ok()) + u8::from(second.is_ok()), 1);
        assert_eq!(taken(&first).or(taken(&second)), Some(Field::Email));
    }
}

async fn a_name_that_is_being_given_up_is_never_free(place: &Place) {
    let (one, other) = (place.store().await, place.store().await);
    for round in 0..10 {
        let (old, new) = (format!("old{round}"), format!("new{round}"));
        let ada = register(&one, &old, "").await.id;
        let change = ProfileChange { username: Some(&new), ..ProfileChange::default() };
        let (renamed, registered) = tokio::join!(
            one.change_profile(ada, change, STRICT, None, second(1)),
            other.create_user(plain(&old, ""), STRICT, None, None, second(1)),
        );
        renamed.unwrap().unwrap();
        assert_eq!(taken(&registered), Some(Field::Username));
    }
}

async fn a_change_that_fails_half_way_leaves_nothing(place: &Place) {
    let store = place.store().await;
    register(&store, "ada", "").await;
    let bob = register(&store, "bob", "bob@example.org").await.id;
    let change = ProfileChange {
        username: Some("ada"),
        email: Some("new@example.org"),
        ..ProfileChange::default()
    };
    let refused = store.change_profile(bob, change, STRICT, None, second(1)).await;
    assert_eq!(taken(&refused), Some(Field::Username));
    let user = store.user(bob).await.unwrap().unwrap();
    assert_eq!((user.username.as_str(), user.email.as_str()), ("bob", "bob@example.org"));
    assert_eq!(user.version, 0);
    assert!(whole_log(&store).await.is_empty());
    assert!(!store.email_taken("new@example.org", None).await.unwrap());
}

on_each! {
    a_live_name_is_taken_in_its_exact_form_only,
    the_name_of_a_deleted_account_stays_taken_unless_allowed,
    the_name_of_a_renamed_account_is_kept_for_its_last_holder,
    an_address_is_taken_in_any_spelling_if_it_is_unique,
    any_number_of_accounts_may_have_no_address,
    of_two_that_want_one_name_at_once_one_gets_it,
    of_two_that_want_one_address_at_once_one_gets_it,
    a_name_that_is_being_given_up_is_never_free,
    a_change_that_fails_half_way_leaves_nothing,
}
