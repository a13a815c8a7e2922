//! Users: made, found, cut off, removed.

use portcullis::model::{CutReason, MailPurpose, Site, UserId};
use portcullis::store::NewUser;
use secrecy::ExposeSecret;

use super::place::{
    LAX, Place, STRICT, jwt_login, log_in, plain, register, second, sketch, user_cut, whole_log,
};

async fn a_new_user_is_stored_as_given(place: &Place) {
    let store = place.store().await;
    let new = NewUser {
        username: "Ada",
        email: "Ada@Example.org",
        password: "argon2$hash",
        is_active: false,
        is_staff: true,
        is_superuser: true,
        email_verified: true,
    };
    let made = store.create_user(new, STRICT, None, None, second(7)).await.unwrap();
    let found = store.user(made.id).await.unwrap().unwrap();
    for user in [&made, &found] {
        let flags = [false, true, true];
        assert_eq!(sketch(user), (1, "Ada", "Ada@Example.org", true, flags, 0, 0));
        assert_eq!(user.password.expose_secret(), "argon2$hash");
        assert_eq!((user.first_name.as_str(), user.last_name.as_str()), ("", ""));
        assert_eq!((user.cut_at, user.last_login, user.date_joined), (None, None, second(7)));
        assert!(user.groups.is_empty());
    }
    assert!(whole_log(&store).await.is_empty());
}

async fn a_new_user_gets_the_mail_that_was_wanted(place: &Place) {
    let store = place.store().await;
    let site = Site { scheme: "https".to_owned(), host: "example.org".to_owned() };
    let new = plain("ada", "ada@example.org");
    let mail = Some(MailPurpose::Activation);
    let user = store.create_user(new, STRICT, mail, Some(&site), second(1)).await.unwrap();
    let nobody = plain("bob", "");
    store.create_user(nobody, STRICT, mail, Some(&site), second(1)).await.unwrap();

    let mails = store.take_mail(10, std::time::Duration::from_mins(1), second(1)).await.unwrap();
    let [mail] = mails.as_slice() else { panic!("one mail, as bob has no address: {mails:?}") };
    assert_eq!((mail.purpose, mail.user), (MailPurpose::Activation, user.id));
    assert_eq!((mail.address.as_str(), &mail.site), ("ada@example.org", &Some(site)));
}

async fn users_are_found_by_exact_name(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await;
    let other = register(&store, "Ada", "").await;
    let found = async |name| store.user_by_username(name).await.unwrap().map(|user| user.id);
    assert_eq!(found("ada").await, Some(ada.id));
    assert_eq!(found("Ada").await, Some(other.id));
    assert_eq!(found("ADA").await, None);
    assert!(store.user(UserId(99)).await.unwrap().is_none());
}

async fn users_are_found_by_any_spelling_of_their_address(place: &Place) {
    let store = place.store().await;
    register(&store, "nobody", "").await;
    let new = plain("a", "Émile@Example.org");
    let first = store.create_user(new, LAX, None, None, second(0)).await.unwrap();
    let new = plain("b", "e\u{301}mile@example.ORG");
    let second = store.create_user(new, LAX, None, None, second(0)).await.unwrap();
    let found = async |email| {
        let users = store.users_by_email(email).await.unwrap();
        users.iter().map(|user| user.id).collect::<Vec<_>>()
    };
    assert_eq!(found(" ÉMILE@example.org").await, [first.id, second.id]);
    assert_eq!(found("emile@example.org").await, []);
    assert_eq!(found("").await, [], "no address is nobody's address");
}

async fn users_are_listed_by_pages_and_counted(place: &Place) {
    let store = place.store().await;
    for name in ["a", "b", "c"] {
        register(&store, name, "").await;
    }
    let page = async |after, limit| {
        let users = store.users_after(UserId(after), limit).await.unwrap();
        users.into_iter().map(|user| user.username).collect::<Vec<_>>()
    };
    assert_eq!(page(0, 2).await, ["a", "b"]);
    assert_eq!(page(2, 2).await, ["c"]);
    assert!(page(3, 2).await.is_empty());
    assert_eq!(store.user_count().await.unwrap(), 3);
}

async fn a_deleted_user_leaves_nothing_but_its_name(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "ada@example.org").await.id;
    let token = log_in(&store, ada, 1).await;
    assert!(store.log_in_jwt(&jwt_login(ada, 2), false, second(2)).await.unwrap());
    store.set_groups(ada, &["ops"], second(2)).await.unwrap();
    store.end_token("jti", Some(ada), second(90), second(2)).await.unwrap();
    let mail = portcullis::store::NewMail {
        purpose: MailPurpose::PasswordReset,
        user: ada,
        address: "ada@example.org",
        site: None,
    };
    store.enqueue_mail(&[mail], second(2)).await.unwrap();

    let entries = store.delete_user(ada, second(3)).await.unwrap().unwrap();
    assert_eq!(entries, [user_cut(ada, 1, CutReason::UserDeleted, second(3))]);
    assert_eq!(whole_log(&store).await.last(), entries.last());
    assert!(store.user(ada).await.unwrap().is_none());
    assert!(store.opaque(token.digest).await.unwrap().is_none());
    for table in ["users", "logins", "opaque_tokens", "user_groups", "outbox"] {
        assert_eq!(place.count(table).await, 0, "{table}");
    }
    assert!(store.token_ended("jti").await.unwrap(), "what had ended stays ended");

    assert!(store.delete_user(ada, second(4)).await.unwrap().is_none());
    let next = register(&store, "bob", "ada@example.org").await;
    assert_ne!(next.id, ada, "a number is never used twice");
}

async fn a_cut_ends_every_login_of_one_user(place: &Place) {
    let store = place.store().await;
    let (ada, bob) = (register(&store, "ada", "").await.id, register(&store, "bob", "").await.id);
    log_in(&store, ada, 1).await;
    store.log_in_jwt(&jwt_login(ada, 2), false, second(2)).await.unwrap();
    let kept = log_in(&store, bob, 3).await;

    let entries = store.cut_user(ada, second(4)).await.unwrap().unwrap();
    assert_eq!(entries, [user_cut(ada, 1, CutReason::LoggedOut, second(4))]);
    assert_eq!(whole_log(&store).await, entries);
    assert!(store.logins_of(ada).await.unwrap().is_empty());
    let user = store.user(ada).await.unwrap().unwrap();
    assert_eq!((user.generation, user.version, user.cut_at), (1, 1, Some(second(4))));
    assert!(store.opaque(kept.digest).await.unwrap().is_some());

    assert!(store.cut_user(UserId(99), second(5)).await.unwrap().is_none());
}

async fn the_last_login_is_noted_and_never_goes_back(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    store.set_last_login(ada, second(5)).await.unwrap();
    store.set_last_login(ada, second(4)).await.unwrap();
    store.set_last_login(UserId(99), second(4)).await.unwrap();
    let user = store.user(ada).await.unwrap().unwrap();
    assert_eq!((user.last_login, user.version), (Some(second(5)), 0));
}

on_each! {
    a_new_user_is_stored_as_given,
    a_new_user_gets_the_mail_that_was_wanted,
    users_are_found_by_exact_name,
    users_are_found_by_any_spelling_of_their_address,
    users_are_listed_by_pages_and_counted,
    a_deleted_user_leaves_nothing_but_its_name,
    a_cut_ends_every_login_of_one_user,
    the_last_login_is_noted_and_never_goes_back,
}
