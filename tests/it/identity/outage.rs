//! What still passes with the database or the log away.

use std::sync::Arc;
use std::time::Duration;

use portcullis::config::Settings;
use portcullis::identity::{
    Authenticator, Credential, IdentifyError, JwtFault, Keys, Rejection, Revocations,
};
use portcullis::secret::RootKey;

use super::replica::{MINUTE, Replica, START, django, rejection};

#[tokio::test]
async fn known_credentials_pass_without_the_database_as_long_as_the_log_was_read() {
    let replica = Replica::alone(&Settings::default()).await;
    let user = replica.user("ada").await;
    let (pair, _) = replica.log_in_jwt(&user).await;
    let (token, _) = replica.log_in_opaque(&user).await;
    let (unseen, _) = replica.log_in_opaque(&user).await;
    replica.jwt(&pair.access).await.unwrap();
    replica.opaque(&token).await.unwrap();
    replica.store.close().await;

    replica.clock.set(START.plus(MINUTE));
    assert!(replica.jwt(&pair.access).await.is_ok(), "due to be confirmed, which fails");
    assert!(replica.opaque(&token).await.is_ok());
    assert_eq!(replica.opaque(&unseen).await.err(), Some(IdentifyError::Unavailable));
    let forged = format!("{}AAAA", pair.access);
    assert_eq!(rejection(replica.jwt(&forged).await), Rejection::Jwt(JwtFault::Invalid));

    replica.clock.set(START.plus(MINUTE + Duration::from_micros(1)));
    for result in [replica.jwt(&pair.access).await, replica.opaque(&token).await] {
        assert_eq!(result.err(), Some(IdentifyError::Unavailable), "too long without the log");
    }
}

#[tokio::test]
async fn nothing_is_vouched_for_before_the_log_was_read() {
    let replica = Replica::alone(&Settings::default()).await;
    let (authenticator, _) = Authenticator::new(
        &Settings::default(),
        replica.store.clone(),
        replica.clock.clone(),
        Arc::new(
            Keys::load(&django(), &replica.store, &RootKey::new("x"), &replica.clock)
                .await
                .unwrap(),
        ),
        Arc::clone(&replica.opaque),
        Arc::new(Revocations::new(MINUTE)),
    );
    let result = authenticator.identify(Credential::Jwt("a.b.c")).await;
    assert_eq!(result.err(), Some(IdentifyError::Unavailable));
}

#[tokio::test]
async fn a_changed_record_that_cannot_be_read_is_not_guessed() {
    let replica = Replica::alone(&Settings::default()).await;
    let user = replica.user("ada").await;
    let (pair, _) = replica.log_in_jwt(&user).await;
    replica.jwt(&pair.access).await.unwrap();
    let now = replica.clock.now();
    let done = replica.store.set_email_verified(user.id, true, now).await.unwrap();
    replica.announcer.announce(&done.unwrap().1);
    replica.store.close().await;
    assert_eq!(replica.jwt(&pair.access).await.err(), Some(IdentifyError::Unavailable));
}
