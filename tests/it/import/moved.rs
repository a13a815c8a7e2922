//! Those who were imported notice nothing: passwords, opaque tokens and JWTs go on.

use http::{Method, StatusCode};
use portcullis::config::{SecretText, TrustedIssuer};
use portcullis::identity::token_digest;
use portcullis::model::{LoginId, Timestamp, UserId};
use portcullis::store::NewOpaque;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::place::Move;
use crate::subject::{Ask, Subject};

const FACTS: &str = include_str!("../../conformance/django-import/passwords.json");

fn facts() -> Value {
    serde_json::from_str(FACTS).unwrap()
}

async fn moved(place: &Move) -> Subject {
    place.run("").await.unwrap();
    Subject::with(|settings| {
        settings.database.url = SecretText::from(&*place.to);
        settings.tokens.jwt.trusted = vec![TrustedIssuer {
            name: "django".to_owned(),
            algorithm: "HS256".to_owned(),
            secret: SecretText::from(facts()["jwt_signing_key"].as_str().unwrap()),
            ..TrustedIssuer::default()
        }];
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_account_logs_in_with_its_old_password_and_no_other() {
    let place = Move::of_sample().await;
    let subject = moved(&place).await;
    let refused = json!({"non_field_errors": ["Unable to log in with provided credentials."]});
    for account in facts()["users"].as_array().unwrap() {
        let (name, password) = (&account["username"], account["password"].as_str());
        let wrong = format!("{}!", password.unwrap_or_default());
        let body = json!({"username": name, "password": wrong});
        let answer = subject.post("/auth/token/login/", body).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::BAD_REQUEST, refused.clone()));

        let body = json!({"username": name, "password": password.unwrap_or("!")});
        let answer = subject.post("/auth/token/login/", body).await;
        if password.is_none() || account["is_active"] == json!(false) {
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}");
            assert_eq!(answer.json(), refused);
            continue;
        }
        assert_eq!(answer.status, StatusCode::OK, "{name}: {}", answer.json());
        let token = answer.json()["auth_token"].as_str().unwrap().to_owned();
        let me = subject.get_as("/auth/users/me/", &token).await;
        assert_eq!((&me.json()["id"], &me.json()["username"]), (&account["id"], name));
        let stored = place.store().await.user(UserId(account["id"].as_i64().unwrap())).await;
        let stored = stored.unwrap().unwrap().password;
        assert!(stored.expose_secret().starts_with("$argon2id$"), "{name} is rehashed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn opaque_tokens_of_before_the_move_pass_the_gate() {
    let place = Move::of_sample().await;
    let subject = moved(&place).await;
    let facts = facts();
    let token = |name: &str| facts["tokens"][name].as_str().unwrap().to_owned();
    let answer = subject
        .ask(
            Ask::new(Method::GET, "/app")
                .header("Authorization", &format!("Token {}", token("alice"))),
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["headers"]["x-forwarded-user"], "alice");
    assert_eq!(answer.json()["headers"]["x-forwarded-user-id"], "1");
    assert_eq!(subject.get_as("/app", &token("bob")).await.status, StatusCode::OK);
    let judy = subject.get_as("/app", &token("judy")).await;
    assert_eq!(judy.status, StatusCode::UNAUTHORIZED);
    let unknown = subject.get_as("/app", &"0".repeat(40)).await;
    assert_eq!(unknown.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_token_that_logged_out_stays_out() {
    let place = Move::of_sample().await;
    let subject = moved(&place).await;
    let token = facts()["tokens"]["alice"].as_str().unwrap().to_owned();
    assert_eq!(subject.get_as("/app", &token).await.status, StatusCode::OK);
    let out = Ask::new(Method::POST, "/auth/token/logout/").bearer(&token);
    assert_eq!(subject.ask(out).await.status, StatusCode::NO_CONTENT);
    assert_eq!(subject.get_as("/app", &token).await.status, StatusCode::UNAUTHORIZED);
    place.run("").await.unwrap();
    subject.advance(std::time::Duration::from_secs(61)).await;
    assert_eq!(subject.get_as("/app", &token).await.status, StatusCode::UNAUTHORIZED);
}

/// As simplejwt writes it, signed with Django's key.
fn old_token(kind: &str, user: &str, jti: &str, now: Timestamp) -> String {
    let claims = json!({"token_type": kind, "exp": now.seconds() + 200, "iat": now.seconds() - 100,
        "jti": jti, "user_id": user});
    let key = facts()["jwt_signing_key"].as_str().unwrap().to_owned();
    let key = jsonwebtoken::EncodingKey::from_secret(key.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn jwts_of_before_the_move_live_out_their_time() {
    let place = Move::of_sample().await;
    let subject = moved(&place).await;
    let now = subject.clock.now();
    let access = old_token("access", "1", "a1", now);
    let answer = subject.get_as("/app", &access).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
    assert_eq!(answer.json()["headers"]["x-forwarded-user"], "alice");
    for (user, why) in [("10", "inactive"), ("999", "unknown")] {
        let refused = subject.get_as("/app", &old_token("access", user, "a2", now)).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{why}");
    }
    let refresh = old_token("refresh", "1", "a3", now);
    assert_eq!(subject.get_as("/app", &refresh).await.status, StatusCode::UNAUTHORIZED);
    subject.advance(std::time::Duration::from_secs(201)).await;
    assert_eq!(subject.get_as("/app", &access).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_refresh_token_gives_access_tokens_of_ours_unless_it_was_blacklisted() {
    let place = Move::of_sample().await;
    // The sample's are past their day, and what has expired is forgotten.
    place
        .change("UPDATE token_blacklist_outstandingtoken SET expires_at = '2099-01-01 00:00:00'")
        .await;
    let subject = moved(&place).await;
    let now = subject.clock.now();
    let good = old_token("refresh", "1", "2d6cd120096d4798a71378976c919d74", now);
    let answer = subject.post("/auth/jwt/refresh/", json!({"refresh": good})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
    let access = answer.json()["access"].as_str().unwrap().to_owned();
    let header = jsonwebtoken::decode_header(&access).unwrap();
    assert_eq!(header.alg, jsonwebtoken::Algorithm::ES256, "signed with a key of ours");
    assert_eq!(subject.get_as("/app", &access).await.status, StatusCode::OK);

    let ended = old_token("refresh", "1", "013bee60304c404e8d7515b9129cf977", now);
    let answer = subject.post("/auth/jwt/refresh/", json!({"refresh": ended})).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let body = json!({"detail": "Token is blacklisted", "code": "token_not_valid"});
    assert_eq!(answer.json(), body);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_ours_under_another_root_secret_do_not_pass_for_imported_ones() {
    let place = Move::of_sample().await;
    let subject = moved(&place).await;
    // Whatever it was minted under, it does not have our check sum.
    let token = "0123456789abcdef0123456789abcdef01234567";
    let alice = place.store().await.user_by_username("alice").await.unwrap().unwrap();
    let new = NewOpaque {
        login: LoginId([7; 16]),
        user: alice.id,
        digest: token_digest(token),
        seed: None,
        expires: None,
    };
    let now = subject.clock.now();
    let made = place.store().await.log_in_opaque(new, alice.generation, 9, false, now).await;
    assert!(made.unwrap().is_some());
    let refused = subject.get_as("/app", token).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.json()["detail"], "Invalid token.");
}
