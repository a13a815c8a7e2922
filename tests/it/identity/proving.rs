//! Who is proved by what, and what the identity says.

use std::sync::Arc;
use std::time::Duration;

use portcullis::config::{SecretText, Settings, TrustedIssuer, TrustedUsers};
use portcullis::identity::{Credential, JwtFault, Rejection, Subject};
use portcullis::model::UserId;
use secrecy::{ExposeSecret, SecretString};

use super::replica::{Replica, START, django, rejection};

#[tokio::test]
async fn a_jwt_proves_its_user_and_the_record_says_who_that_is() {
    for settings in [Settings::default(), django()] {
        let replica = Replica::alone(&settings).await;
        let user = replica.user("zoë").await;
        let (pair, _) = replica.log_in_jwt(&user).await;
        let identity = replica.jwt(&pair.access).await.unwrap();
        assert_eq!(identity.subject, Subject::Local(user.id));
        assert_eq!((identity.username.as_str(), identity.is_staff), ("zoë", true));
        assert_eq!(identity.values.user, "zo%C3%AB");
        assert_eq!(identity.values.email, None, "unverified");
        assert_eq!(identity.expires, Some(START.plus(Duration::from_mins(5))));
        let known = replica.jwt(&pair.access).await.unwrap();
        assert!(Arc::ptr_eq(&identity, &known));
    }
}

#[tokio::test]
async fn a_refresh_token_is_no_access_token_and_a_jwt_no_opaque_token() {
    let replica = Replica::alone(&Settings::default()).await;
    let user = replica.user("ada").await;
    let (pair, _) = replica.log_in_jwt(&user).await;
    let wrong = Rejection::Jwt(JwtFault::WrongType);
    assert_eq!(rejection(replica.jwt(&pair.refresh).await), wrong);
    replica.jwt(&pair.access).await.unwrap();
    assert_eq!(rejection(replica.opaque(&pair.access).await), Rejection::UnknownToken);
}

#[tokio::test]
async fn tokens_that_nobody_has_are_unknown() {
    let replica = Replica::alone(&Settings::default()).await;
    let (never_stored, _) = replica.opaque.mint();
    let zeros = "0".repeat(40);
    let long = "a".repeat(20_000);
    for token in [never_stored.expose_secret(), &zeros, "", "%", "' OR '1'='1", &long, "ü"] {
        assert_eq!(rejection(replica.opaque(token).await), Rejection::UnknownToken, "{token}");
        assert_eq!(rejection(replica.opaque(token).await), Rejection::UnknownToken, "{token}");
    }
    for token in ["", "..", "a.b.c", "e30.e30.e30", &long] {
        let invalid = Rejection::Jwt(JwtFault::Invalid);
        assert_eq!(rejection(replica.jwt(token).await), invalid, "{token}");
    }
}

#[tokio::test]
async fn a_changed_record_is_seen_with_the_next_request() {
    let replica = Replica::alone(&Settings::default()).await;
    let user = replica.user("ada").await;
    let (pair, _) = replica.log_in_jwt(&user).await;
    let (token, _) = replica.log_in_opaque(&user).await;
    assert_eq!(replica.jwt(&pair.access).await.unwrap().values.email, None);
    assert_eq!(replica.opaque(&token).await.unwrap().values.email, None);
    let now = replica.clock.now();
    let done = replica.store.set_email_verified(user.id, true, now).await.unwrap();
    replica.announcer.announce(&done.unwrap().1);
    for identity in [replica.jwt(&pair.access).await, replica.opaque(&token).await] {
        assert_eq!(identity.unwrap().values.email.as_ref().unwrap(), "ada@example.org");
    }
    let known = replica.jwt(&pair.access).await.unwrap();
    assert!(Arc::ptr_eq(&known, &replica.jwt(&pair.access).await.unwrap()), "and cached again");
}

#[tokio::test]
async fn many_requests_with_one_unseen_token_are_all_proved() {
    let replica = Replica::alone(&Settings::default()).await;
    let user = replica.user("ada").await;
    let (token, _) = replica.log_in_opaque(&user).await;
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (authenticator, token) = (Arc::clone(&replica.authenticator), token.clone());
        requests.spawn(async move { authenticator.identify(Credential::Opaque(&token)).await });
    }
    for result in requests.join_all().await {
        assert_eq!(result.unwrap().subject, Subject::Local(user.id));
    }
}

#[tokio::test]
async fn trusted_tokens_lead_to_our_users_by_number_or_name_and_to_their_own_by_claims() {
    let issuer = |name: &str, users, claim: &str| TrustedIssuer {
        name: name.to_owned(),
        algorithm: "HS256".to_owned(),
        secret: SecretText(SecretString::from("y".repeat(40))),
        issuer: name.to_owned(),
        user_claim: claim.to_owned(),
        users,
        ..TrustedIssuer::default()
    };
    let mut settings = Settings::default();
    settings.tokens.jwt.trusted = vec![
        issuer("numbers", TrustedUsers::Local, "user_id"),
        issuer("names", TrustedUsers::Local, "preferred_username"),
        issuer("claims", TrustedUsers::Claims, "sub"),
    ];
    let replica = Replica::alone(&settings).await;
    let user = replica.user("1").await;
    let other = replica.user("ada").await;
    assert_eq!((user.id, other.id), (UserId(1), UserId(2)));
    let token = |iss: &str, claim: &str, value: &str| {
        let now = START.seconds();
        let claims = serde_json::json!({"token_type": "access", "iss": iss, "jti": "x",
            "iat": now, "exp": now + 300, claim: value});
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        let key = jsonwebtoken::EncodingKey::from_secret("y".repeat(40).as_bytes());
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    };
    let local = |id| Subject::Local(UserId(id));
    let subject = async |token: &str| replica.jwt(token).await.map(|found| found.subject.clone());
    assert_eq!(subject(&token("numbers", "user_id", "2")).await, Ok(local(2)));
    assert_eq!(subject(&token("names", "preferred_username", "ada")).await, Ok(local(2)));
    let by_name = token("names", "preferred_username", "1");
    assert_eq!(subject(&by_name).await, Ok(local(1)), "the user of that name");
    let nobody = token("names", "preferred_username", "2");
    assert_eq!(rejection(replica.jwt(&nobody).await), Rejection::UserNotFound, "not that number");
    let foreign = Subject::Foreign("claims:ada".to_owned());
    assert_eq!(subject(&token("claims", "sub", "ada")).await, Ok(foreign));
    let unnamed = token("claims", "user_id", "2");
    assert_eq!(rejection(replica.jwt(&unnamed).await), Rejection::NoUserClaim);

    replica.delete(&user).await;
    assert_eq!(rejection(replica.jwt(&by_name).await), Rejection::UserNotFound);
}
