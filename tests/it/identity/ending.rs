//! What ends a credential, with which answer, and where.

use std::time::Duration;

use portcullis::config::{Lifetime, Settings};
use portcullis::identity::{JwtFault, Rejection, Subject};

use super::replica::{MINUTE, Replica, START, blacklisted, django, rejection};

#[tokio::test]
async fn a_jwt_ends_by_itself_and_is_told_so_each_time() {
    let replica = Replica::alone(&Settings::default()).await;
    let user = replica.user("ada").await;
    let (pair, _) = replica.log_in_jwt(&user).await;
    replica.jwt(&pair.access).await.unwrap();
    replica.pass(Duration::from_mins(5));
    for _ in 0..2 {
        assert_eq!(rejection(replica.jwt(&pair.access).await), Rejection::Jwt(JwtFault::Expired));
    }
}

#[tokio::test]
async fn an_opaque_token_works_until_its_logout_is_acknowledged() {
    let replica = Replica::alone(&Settings::default()).await;
    let user = replica.user("ada").await;
    let (token, login) = replica.log_in_opaque(&user).await;
    let identity = replica.opaque(&token).await.unwrap();
    assert_eq!((identity.subject.clone(), identity.login), (Subject::Local(user.id), Some(login)));
    let (other, _) = replica.log_in_opaque(&user).await;
    replica.opaque(&other).await.unwrap();
    replica.end_login(login).await;
    assert_eq!(rejection(replica.opaque(&token).await), Rejection::UnknownToken);
    assert_eq!(rejection(replica.opaque(&token).await), Rejection::UnknownToken);
    replica.opaque(&other).await.unwrap();
}

#[tokio::test]
async fn a_changed_password_ends_what_was_issued_before_and_nothing_after() {
    let replica = Replica::alone(&Settings::default()).await;
    let user = replica.user("ada").await;
    let (pair, _) = replica.log_in_jwt(&user).await;
    let (unseen, _) = replica.log_in_jwt(&user).await;
    let (token, _) = replica.log_in_opaque(&user).await;
    replica.jwt(&pair.access).await.unwrap();
    replica.opaque(&token).await.unwrap();

    replica.change_password(&user).await;
    for access in [&pair.access, &unseen.access] {
        assert_eq!(rejection(replica.jwt(access).await), Rejection::PasswordChanged);
    }
    assert_eq!(rejection(replica.opaque(&token).await), Rejection::UnknownToken);
    let refused = replica.authenticator.refresh_token(&pair.refresh).await;
    assert_eq!(rejection(refused), Rejection::PasswordChanged);

    let user = replica.again(&user).await;
    let (pair, _) = replica.log_in_jwt(&user).await;
    replica.jwt(&pair.access).await.unwrap();
    replica.authenticator.refresh_token(&pair.refresh).await.unwrap();
}

#[tokio::test]
async fn tokens_without_a_generation_die_up_to_the_second_of_the_cut() {
    let replica = Replica::alone(&django()).await;
    let user = replica.user("ada").await;
    let before = replica.issuer.pair(&user, None, replica.clock.now());
    replica.jwt(&before.access).await.unwrap();
    replica.change_password(&user).await;
    assert_eq!(rejection(replica.jwt(&before.access).await), Rejection::PasswordChanged);
    replica.pass(Duration::from_secs(1));
    let after = replica.issuer.pair(&user, None, replica.clock.now());
    replica.jwt(&after.access).await.unwrap();
    // What the log has forgotten the record still knows.
    replica.revocations.prune(replica.clock.now().plus(MINUTE));
    let unseen = replica.issuer.pair(&user, None, START);
    assert_eq!(rejection(replica.jwt(&unseen.access).await), blacklisted());
}

#[tokio::test]
async fn tokens_without_a_generation_stay_dead_when_a_second_cut_comes_by_a_slower_clock() {
    let replica = Replica::alone(&django()).await;
    let user = replica.user("ada").await;
    let token = replica.issuer.pair(&user, None, replica.clock.now()).access;
    replica.set_active(&user, false).await;
    replica.clock.set(START.minus(Duration::from_secs(1)));
    replica.set_active(&user, true).await;
    replica.set_active(&user, false).await;
    assert_eq!(rejection(replica.jwt(&token).await), Rejection::UserInactive);
    replica.set_active(&user, true).await;
    assert_eq!(rejection(replica.jwt(&token).await), blacklisted());
}

#[tokio::test]
async fn tokens_without_a_generation_end_with_a_user_that_a_slower_clock_deletes() {
    let replica = Replica::alone(&django()).await;
    let user = replica.user("ada").await;
    let token = replica.issuer.pair(&user, None, replica.clock.now()).access;
    replica.jwt(&token).await.unwrap();
    replica.clock.set(START.minus(Duration::from_secs(7)));
    replica.delete(&user).await;
    for _ in 0..2 {
        assert_eq!(rejection(replica.jwt(&token).await), Rejection::UserNotFound);
    }
}

#[tokio::test]
async fn inactive_and_deleted_users_are_named_as_djoser_names_them() {
    for settings in [Settings::default(), django()] {
        let replica = Replica::alone(&settings).await;
        let user = replica.user("ada").await;
        let (pair, _) = replica.log_in_jwt(&user).await;
        let (token, _) = replica.log_in_opaque(&user).await;
        replica.jwt(&pair.access).await.unwrap();
        replica.opaque(&token).await.unwrap();

        replica.set_active(&user, false).await;
        for _ in 0..2 {
            assert_eq!(rejection(replica.jwt(&pair.access).await), Rejection::UserInactive);
            assert_eq!(rejection(replica.opaque(&token).await), Rejection::InactiveOwner);
        }
        let refused = replica.authenticator.refresh_token(&pair.refresh).await;
        assert_eq!(rejection(refused), Rejection::UserInactive);

        replica.set_active(&user, true).await;
        assert_eq!(rejection(replica.jwt(&pair.access).await), blacklisted(), "for good");

        replica.pass(Duration::from_secs(1));
        let user = replica.again(&user).await;
        let (pair, _) = replica.log_in_jwt(&user).await;
        let (token, _) = replica.log_in_opaque(&user).await;
        replica.jwt(&pair.access).await.unwrap();
        replica.opaque(&token).await.unwrap();
        replica.delete(&user).await;
        for _ in 0..2 {
            assert_eq!(rejection(replica.jwt(&pair.access).await), Rejection::UserNotFound);
            assert_eq!(rejection(replica.opaque(&token).await), Rejection::UnknownToken);
        }
        let refused = replica.authenticator.refresh_token(&pair.refresh).await;
        assert_eq!(rejection(refused), Rejection::UserNotFound);
    }
}

#[tokio::test]
async fn what_ends_on_one_replica_ends_on_the_other_with_the_log() {
    let settings = Settings::default();
    let one = Replica::alone(&settings).await;
    let mut other = Replica::start(&settings, &one.store, &one.clock).await;
    let user = one.user("ada").await;
    let (pair, login) = one.log_in_jwt(&user).await;
    let (token, opaque_login) = one.log_in_opaque(&user).await;
    other.jwt(&pair.access).await.unwrap();
    other.opaque(&token).await.unwrap();
    one.end_login(login).await;
    one.end_login(opaque_login).await;
    other.follower.catch_up().await.unwrap();
    assert_eq!(rejection(other.jwt(&pair.access).await), blacklisted());
    assert_eq!(rejection(other.opaque(&token).await), Rejection::UnknownToken);
    other.follower.catch_up().await.unwrap();
    let mut third = Replica::start(&settings, &one.store, &one.clock).await;
    assert_eq!(rejection(third.jwt(&pair.access).await), blacklisted(), "and after a restart");
    third.follower.catch_up().await.unwrap();
}

#[tokio::test]
async fn a_token_of_a_new_generation_passes_before_the_log_arrives() {
    let settings = Settings::default();
    let one = Replica::alone(&settings).await;
    let other = Replica::start(&settings, &one.store, &one.clock).await;
    let user = one.user("ada").await;
    let (pair, _) = one.log_in_jwt(&user).await;
    other.jwt(&pair.access).await.unwrap();
    one.change_password(&user).await;
    let (pair, _) = one.log_in_jwt(&one.again(&user).await).await;
    other.jwt(&pair.access).await.unwrap();
}

#[tokio::test]
async fn opaque_tokens_end_by_idleness() {
    let mut settings = Settings::default();
    settings.tokens.opaque.idle_timeout = Lifetime::For(Duration::from_hours(48));
    let replica = Replica::alone(&settings).await;
    let user = replica.user("ada").await;
    let (token, _) = replica.log_in_opaque(&user).await;
    replica.pass(Duration::from_hours(47));
    replica.opaque(&token).await.unwrap();
    replica.pass(Duration::from_hours(1));
    assert_eq!(rejection(replica.opaque(&token).await), Rejection::UnknownToken);
}
