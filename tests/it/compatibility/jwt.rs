//! `tokens.jwt.algorithm`, `extra_claims` and `strict_revocation`.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::djosers;
use crate::subject::{Answer, Ask, PASSWORD, Subject};

/// One of the three parts of a token, read.
fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The claims' names, sorted.
fn claims(token: &str) -> Vec<String> {
    let mut names: Vec<_> = part(token, 1).as_object().unwrap().keys().cloned().collect();
    names.sort();
    names
}

async fn verify(subject: &Subject, token: &str) -> Answer {
    subject.post("/auth/jwt/verify/", json!({"token": token})).await
}

async fn log_out(subject: &Subject, token: &str) {
    let ask = Ask::new(Method::POST, "/auth/token/logout/").bearer(token);
    assert_eq!(subject.ask(ask).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn own_tokens_are_signed_with_a_key_that_is_named_and_published() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let (access, refresh) = subject.jwt("ada").await;
    let published = subject.get("/.well-known/jwks.json").await.json();
    let kid = &published["keys"][0]["kid"];
    assert!(kid.is_string());
    for token in [&access, &refresh] {
        assert_eq!(part(token, 0), json!({"alg": "ES256", "typ": "JWT", "kid": kid}));
    }
    assert_eq!(subject.get_as("/", &access).await.status, StatusCode::OK);
    let (_, rest) = access.split_once('.').unwrap();
    let other = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let forged = subject.get_as("/", &format!("{other}.{rest}")).await;
    assert_eq!(forged.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn djosers_tokens_are_signed_with_the_shared_secret_and_name_no_key() {
    let subject = djosers("tokens.jwt.algorithm").await;
    subject.register("ada").await;
    let (access, refresh) = subject.jwt("ada").await;
    for token in [&access, &refresh] {
        assert_eq!(part(token, 0), json!({"alg": "HS256", "typ": "JWT"}));
    }
    assert_eq!(subject.get("/.well-known/jwks.json").await.json(), json!({"keys": []}));
    assert_eq!(subject.get_as("/", &access).await.status, StatusCode::OK);
    let (_, rest) = access.split_once('.').unwrap();
    let other = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","typ":"JWT"}"#);
    let forged = subject.get_as("/", &format!("{other}.{rest}")).await;
    assert_eq!(forged.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn tokens_name_their_login_and_generation() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let (access, refresh) = subject.jwt("ada").await;
    let named: Vec<_> =
        ["exp", "gen", "iat", "jti", "sid", "token_type", "user_id"].map(String::from).into();
    assert_eq!((claims(&access), claims(&refresh)), (named.clone(), named));
    assert_eq!(part(&access, 1)["sid"], part(&refresh, 1)["sid"], "one login");
    let (other, _) = subject.jwt("ada").await;
    assert_ne!(part(&access, 1)["sid"], part(&other, 1)["sid"], "another login");
    // So an access token's logout ends the refresh token too.
    log_out(&subject, &access).await;
    let renewed = subject.post("/auth/jwt/refresh/", json!({"refresh": refresh})).await;
    assert_eq!(renewed.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn djosers_tokens_have_simplejwts_claims_and_a_logout_ends_the_one_token() {
    let subject = djosers("tokens.jwt.extra_claims").await;
    subject.register("ada").await;
    let (access, refresh) = subject.jwt("ada").await;
    let named: Vec<_> = ["exp", "iat", "jti", "token_type", "user_id"].map(String::from).into();
    assert_eq!((claims(&access), claims(&refresh)), (named.clone(), named));
    assert_eq!(subject.get_as("/", &access).await.status, StatusCode::OK);
    log_out(&subject, &access).await;
    assert_eq!(subject.get_as("/", &access).await.status, StatusCode::UNAUTHORIZED);
    let renewed = subject.post("/auth/jwt/refresh/", json!({"refresh": refresh})).await;
    assert_eq!(renewed.status, StatusCode::OK, "nothing ties the two");
}

#[tokio::test]
async fn a_logout_with_a_jwt_is_final_at_the_gate_and_at_verify() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let (access, refresh) = subject.jwt("ada").await;
    let opaque = subject.opaque("ada").await;
    for token in [&access, &refresh] {
        let good = verify(&subject, token).await;
        assert_eq!((good.status, good.json()), (StatusCode::OK, json!({})));
    }
    log_out(&subject, &access).await;
    // The serializer refuses it, as simplejwt has it: 400.
    let dead = json!({"non_field_errors": ["Token is blacklisted"]});
    for token in [&access, &refresh] {
        let answer = verify(&subject, token).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::BAD_REQUEST, dead.clone()));
    }
    assert_eq!(subject.get_as("/", &access).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(subject.get_as("/", &opaque).await.status, StatusCode::OK, "another login");
}

#[tokio::test]
async fn djosers_logout_with_a_jwt_ends_the_opaque_tokens_and_leaves_the_jwt_alive() {
    let subject = djosers("tokens.jwt.strict_revocation").await;
    subject.register("ada").await;
    let (access, refresh) = subject.jwt("ada").await;
    let opaque = subject.opaque("ada").await;
    log_out(&subject, &access).await;
    for token in [&access, &refresh] {
        assert_eq!(verify(&subject, token).await.status, StatusCode::OK);
    }
    assert_eq!(subject.get_as("/", &access).await.status, StatusCode::OK);
    assert_eq!(subject.get_as("/", &opaque).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn with_djosers_logout_too_the_tokens_of_a_deleted_user_end_at_the_gate() {
    let subject = djosers("tokens.jwt.strict_revocation").await;
    subject.register("ada").await;
    let (access, _) = subject.jwt("ada").await;
    assert_eq!(subject.get_as("/", &access).await.status, StatusCode::OK);
    let remove = Ask::new(Method::DELETE, "/auth/users/me/")
        .bearer(&access)
        .json(&json!({"current_password": PASSWORD}));
    assert_eq!(subject.ask(remove).await.status, StatusCode::NO_CONTENT);
    let after = subject.get_as("/", &access).await;
    assert_eq!(after.status, StatusCode::UNAUTHORIZED);
    assert_eq!(after.json(), json!({"detail": "User not found", "code": "user_not_found"}));
    // jwt/verify looks at no user, as simplejwt's.
    assert_eq!(verify(&subject, &access).await.status, StatusCode::OK);
}
