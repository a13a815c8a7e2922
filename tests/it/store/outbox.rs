//! The outbox: promised mails are taken by one, and by another if that one dies.

use std::time::Duration;

use portcullis::model::{MailPurpose, Site, UserId};
use portcullis::store::{Mail, NewMail, StoreError};

use super::place::{Place, register, second};

const LEASE: Duration = Duration::from_mins(1);

fn mail(user: UserId, address: &str) -> NewMail<'_> {
    NewMail { purpose: MailPurpose::PasswordReset, user, address, site: None }
}

fn addresses(mails: &[Mail]) -> Vec<&str> {
    mails.iter().map(|mail| mail.address.as_str()).collect()
}

async fn every_purpose_is_read_as_it_was_written(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    let site = Site { scheme: "https".to_owned(), host: "example.org:8443".to_owned() };
    let purposes = [
        MailPurpose::PasswordReset,
        MailPurpose::UsernameReset,
        MailPurpose::Activation,
        MailPurpose::Confirmation,
        MailPurpose::PasswordChanged,
        MailPurpose::UsernameChanged,
    ];
    let new = |purpose| NewMail { purpose, user: ada, address: "a@b.c", site: Some(&site) };
    let mails: Vec<_> = purposes.iter().map(|purpose| new(*purpose)).collect();
    store.enqueue_mail(&mails, second(1)).await.unwrap();
    let taken = store.take_mail(9, LEASE, second(2)).await.unwrap();
    assert_eq!(taken.iter().map(|mail| mail.purpose).collect::<Vec<_>>(), purposes);
    let id = taken[0].id;
    let expected = Mail {
        id,
        purpose: MailPurpose::PasswordReset,
        user: ada,
        address: "a@b.c".to_owned(),
        site: Some(site.clone()),
        created: second(1),
        attempts: 1,
    };
    assert_eq!(taken[0], expected);
}

async fn a_taken_mail_is_hidden_until_its_lease_ends(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    store.enqueue_mail(&[mail(ada, "a"), mail(ada, ""), mail(ada, "b")], second(1)).await.unwrap();
    assert!(store.take_mail(9, LEASE, second(0)).await.unwrap().is_empty(), "not due");
    assert_eq!(addresses(&store.take_mail(1, LEASE, second(1)).await.unwrap()), ["a"]);
    assert_eq!(addresses(&store.take_mail(9, LEASE, second(1)).await.unwrap()), ["b"]);
    assert!(store.take_mail(9, LEASE, second(60)).await.unwrap().is_empty());
    let again = store.take_mail(9, LEASE, second(61)).await.unwrap();
    assert_eq!(addresses(&again), ["a", "b"]);
    assert_eq!((again[0].attempts, again[0].created), (2, second(1)));
}

async fn a_sent_mail_is_gone_and_a_failed_one_comes_back_when_due(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    store.enqueue_mail(&[mail(ada, "sent"), mail(ada, "failed")], second(1)).await.unwrap();
    let taken = store.take_mail(9, LEASE, second(1)).await.unwrap();
    store.mail_done(taken[0].id).await.unwrap();
    store.mail_done(taken[0].id).await.unwrap();
    store.mail_retry(taken[1].id, second(500)).await.unwrap();
    assert!(store.take_mail(9, LEASE, second(499)).await.unwrap().is_empty());
    let again = store.take_mail(9, LEASE, second(500)).await.unwrap();
    assert_eq!(addresses(&again), ["failed"]);
}

async fn two_that_take_at_once_take_different_mails(place: &Place) {
    let (one, other) = (place.store().await, place.store().await);
    let ada = register(&one, "ada", "").await.id;
    for round in 0..10 {
        let at = second(1_000 * round);
        let mails = [mail(ada, "a"), mail(ada, "b"), mail(ada, "c"), mail(ada, "d")];
        one.enqueue_mail(&mails, at).await.unwrap();
        let (first, next) =
            tokio::join!(one.take_mail(2, LEASE, at), other.take_mail(2, LEASE, at));
        let (first, next) = (first.unwrap(), next.unwrap());
        assert!(first.len() <= 2 && next.len() <= 2);
        assert!(first.iter().all(|mail| !next.contains(mail)));
        for mail in first.iter().chain(&next) {
            one.mail_done(mail.id).await.unwrap();
        }
        // Whoever came second may have passed over mails that were being taken.
        for mail in one.take_mail(9, LEASE, at).await.unwrap() {
            assert_eq!(mail.attempts, 1);
            one.mail_done(mail.id).await.unwrap();
        }
        assert_eq!(place.count("outbox").await, 0);
    }
}

async fn mails_are_promised_all_or_none(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    let refused = store.enqueue_mail(&[mail(ada, "a"), mail(ada, "b\0")], second(1)).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))));
    assert_eq!(place.count("outbox").await, 0);
}

async fn a_user_that_is_gone_gets_no_mail(place: &Place) {
    let (one, other) = (place.store().await, place.store().await);
    one.enqueue_mail(&[mail(UserId(99), "a")], second(1)).await.unwrap();
    for round in 0..10 {
        let ada = register(&one, &format!("ada{round}"), "").await.id;
        let mails = [mail(ada, "a")];
        let (promised, deleted) =
            tokio::join!(one.enqueue_mail(&mails, second(1)), other.delete_user(ada, second(1)));
        promised.unwrap();
        deleted.unwrap().unwrap();
    }
    assert_eq!(place.count("outbox").await, 0);
}

on_each! {
    every_purpose_is_read_as_it_was_written,
    a_taken_mail_is_hidden_until_its_lease_ends,
    a_sent_mail_is_gone_and_a_failed_one_comes_back_when_due,
    two_that_take_at_once_take_different_mails,
    mails_are_promised_all_or_none,
    a_user_that_is_gone_gets_no_mail,
}
