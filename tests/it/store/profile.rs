//! Changes of a user's record: what they change, what they say in the log.

use std::time::Duration;

use portcullis::model::{CutReason, MailPurpose, UserId};
use portcullis::store::{Flags, NewMail, ProfileChange, StoreError};

use super::place::{
    Place, STRICT, log_in, plain, profile_changed, register, second, sketch, user_cut, whole_log,
};

const NONE: ProfileChange<'static> = ProfileChange {
    username: None,
    email: None,
    verified_email: None,
    set_last_login: false,
    deactivate: false,
};

async fn a_changed_profile_has_a_new_version_and_an_unverified_address(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "ada@example.org").await.id;
    store.set_email_verified(ada, true, second(1)).await.unwrap();
    let change = ProfileChange { username: Some("countess"), email: Some("c@example.org"), ..NONE };
    let (user, entries) =
        store.change_profile(ada, change, STRICT, None, second(2)).await.unwrap().unwrap();
    let flags = [true, false, false];
    assert_eq!(sketch(&user), (ada.0, "countess", "c@example.org", false, flags, 0, 2));
    assert_eq!(entries, [profile_changed(ada, 2, second(2))]);
    assert_eq!(whole_log(&store).await.len(), 2);
    let found = store.users_by_email("C@example.org").await.unwrap();
    assert_eq!(found.len(), 1);
}

async fn a_profile_that_stays_as_it_is_logs_nothing(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "ada@example.org").await.id;
    let change = ProfileChange { username: Some("ada"), email: Some("ada@example.org"), ..NONE };
    for change in [change, NONE] {
        let (user, entries) =
            store.change_profile(ada, change, STRICT, None, second(1)).await.unwrap().unwrap();
        assert_eq!((user.version, entries.len()), (0, 0));
    }
    let nobody = store.change_profile(UserId(99), change, STRICT, None, second(1)).await;
    assert!(nobody.unwrap().is_none());
    assert!(whole_log(&store).await.is_empty());
}

async fn a_name_set_by_a_link_proves_the_address_and_promises_a_mail(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "ada@example.org").await.id;
    let change = ProfileChange {
        username: Some("countess"),
        verified_email: Some("ada@example.org"),
        set_last_login: true,
        ..NONE
    };
    let mail = NewMail {
        purpose: MailPurpose::UsernameChanged,
        user: ada,
        address: "ada@example.org",
        site: None,
    };
    let (user, entries) =
        store.change_profile(ada, change, STRICT, Some(mail), second(1)).await.unwrap().unwrap();
    assert!(user.email_verified);
    assert_eq!((user.last_login, entries.len()), (Some(second(1)), 1));
    let mails = store.take_mail(9, Duration::from_secs(9), second(1)).await.unwrap();
    assert_eq!(mails.len(), 1);
}

async fn a_link_to_a_former_address_proves_nothing(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "new@example.org").await.id;
    let change = ProfileChange { verified_email: Some("old@example.org"), ..NONE };
    let (user, entries) =
        store.change_profile(ada, change, STRICT, None, second(1)).await.unwrap().unwrap();
    assert!(!user.email_verified);
    assert!(entries.is_empty());
}

async fn a_link_activates_an_account_once(place: &Place) {
    let store = place.store().await;
    let mut new = plain("ada", "ada@example.org");
    new.is_active = false;
    let ada = store.create_user(new, STRICT, None, None, second(0)).await.unwrap().id;
    let mail = NewMail {
        purpose: MailPurpose::Confirmation,
        user: ada,
        address: "ada@example.org",
        site: None,
    };
    let address = Some("ada@example.org");
    let (user, entries) =
        store.activate(ada, address, Some(mail), second(1)).await.unwrap().unwrap();
    assert!(user.is_active && user.email_verified);
    assert_eq!(entries, [profile_changed(ada, 1, second(1))]);
    assert_eq!(store.take_mail(9, Duration::from_secs(9), second(1)).await.unwrap().len(), 1);

    let (_, again) = store.activate(ada, address, None, second(2)).await.unwrap().unwrap();
    assert!(again.is_empty());
    assert!(store.activate(UserId(99), None, None, second(2)).await.unwrap().is_none());
}

async fn deactivation_cuts_off_and_activation_only_tells(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    let token = log_in(&store, ada, 1).await;

    let (user, entries) = store.set_active(ada, false, second(2)).await.unwrap().unwrap();
    assert_eq!(entries, [user_cut(ada, 1, CutReason::UserInactive, second(2))]);
    assert_eq!((user.is_active, user.generation, user.cut_at), (false, 1, Some(second(2))));
    // The dead token is still known as hers, so that its bearer hears why it is dead.
    let row = store.opaque(token.digest).await.unwrap().unwrap();
    assert_eq!((row.login.generation, row.user.generation), (0, 1));

    let (_, again) = store.set_active(ada, false, second(3)).await.unwrap().unwrap();
    assert!(again.is_empty());

    let (user, entries) = store.set_active(ada, true, second(4)).await.unwrap().unwrap();
    assert_eq!(entries, [profile_changed(ada, 2, second(4))]);
    assert_eq!((user.is_active, user.generation), (true, 1));
    assert!(store.opaque(token.digest).await.unwrap().is_none());
    assert!(store.set_active(UserId(99), true, second(5)).await.unwrap().is_none());
}

async fn an_operator_may_say_that_an_address_is_verified(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "ada@example.org").await.id;
    let (user, entries) = store.set_email_verified(ada, true, second(1)).await.unwrap().unwrap();
    assert!(user.email_verified);
    assert_eq!(entries, [profile_changed(ada, 1, second(1))]);
    let (user, entries) = store.set_email_verified(ada, true, second(2)).await.unwrap().unwrap();
    assert_eq!((user.version, entries.len()), (1, 0));
}

async fn flags_are_given_and_taken_one_by_one(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    let staff = Flags { is_staff: Some(true), is_superuser: None };
    let (user, entries) = store.set_flags(ada, staff, second(1)).await.unwrap().unwrap();
    assert_eq!((user.is_staff, user.is_superuser), (true, false));
    assert_eq!(entries, [profile_changed(ada, 1, second(1))]);
    let (_, again) = store.set_flags(ada, staff, second(2)).await.unwrap().unwrap();
    assert!(again.is_empty());
    let swapped = Flags { is_staff: Some(false), is_superuser: Some(true) };
    let (user, _) = store.set_flags(ada, swapped, second(3)).await.unwrap().unwrap();
    assert_eq!((user.is_staff, user.is_superuser), (false, true));
}

async fn groups_are_replaced_as_a_whole_and_come_sorted(place: &Place) {
    let store = place.store().await;
    let (ada, bob) = (register(&store, "ada", "").await.id, register(&store, "bob", "").await.id);
    let set = async |id, names: &[&str]| {
        let (user, entries) = store.set_groups(id, names, second(1)).await.unwrap().unwrap();
        assert_eq!(store.user(id).await.unwrap().unwrap().groups, user.groups);
        (user.groups, entries.len())
    };
    let names = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        set(ada, &["writers", "Ops, night", "writers"]).await,
        (names(&["Ops, night", "writers"]), 1)
    );
    assert_eq!(set(bob, &["writers"]).await, (names(&["writers"]), 1));
    assert_eq!(set(ada, &["writers", "Ops, night"]).await.1, 0, "nothing changed");
    assert_eq!(set(ada, &["zebra"]).await, (names(&["zebra"]), 1));
    assert_eq!(set(ada, &[]).await, (names(&[]), 1));
    assert_eq!(store.user(bob).await.unwrap().unwrap().groups, ["writers"]);
    assert_eq!(place.count("groups").await, 3, "groups outlive their last member");

    for bad in ["", "a\u{1f}b", "a\nb"] {
        let refused = store.set_groups(ada, &[bad], second(2)).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{bad:?}");
    }
}

on_each! {
    a_changed_profile_has_a_new_version_and_an_unverified_address,
    a_profile_that_stays_as_it_is_logs_nothing,
    a_name_set_by_a_link_proves_the_address_and_promises_a_mail,
    a_link_to_a_former_address_proves_nothing,
    a_link_activates_an_account_once,
    deactivation_cuts_off_and_activation_only_tells,
    an_operator_may_say_that_an_address_is_verified,
    flags_are_given_and_taken_one_by_one,
    groups_are_replaced_as_a_whole_and_come_sorted,
}
