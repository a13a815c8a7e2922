//! The main job from end to end: register, log in, be let through, be refused after logout.

use std::time::Duration;

use http::{Method, StatusCode};
use portcullis::config::OpaqueScope;
use serde_json::json;

use crate::subject::{Ask, PASSWORD, Subject};

#[tokio::test]
async fn an_opaque_token_lets_its_user_through_until_she_logs_out() {
    let subject = Subject::start().await;
    let id = subject.register("ada").await;
    let token = subject.opaque("ada").await;

    let seen = subject.get_as("/hello?x=1", &token).await;
    assert_eq!(seen.status, StatusCode::OK);
    let json = seen.json();
    assert_eq!(json["target"], "/hello?x=1");
    assert_eq!(json["headers"]["x-forwarded-user"], "ada");
    assert_eq!(json["headers"]["x-forwarded-user-id"], id.to_string());
    assert!(json["headers"]["authorization"].is_null());

    let out = subject.ask(Ask::new(Method::POST, "/auth/token/logout/").bearer(&token)).await;
    assert_eq!((out.status, out.body.len()), (StatusCode::NO_CONTENT, 0));
    let after = subject.get_as("/hello", &token).await;
    assert_eq!(after.status, StatusCode::UNAUTHORIZED);
    assert_eq!(after.json(), json!({"detail": "Invalid token."}));
    assert_eq!(after.header("www-authenticate"), Some("Bearer realm=\"api\""));
    assert_eq!(subject.reached(), 1);
}

#[tokio::test]
async fn a_jwt_lets_its_user_through_until_it_is_logged_out() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let (access, refresh) = subject.jwt("ada").await;
    assert_eq!(subject.get_as("/hello", &access).await.status, StatusCode::OK);

    let out = subject.ask(Ask::new(Method::POST, "/auth/token/logout/").bearer(&access)).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    let after = subject.get_as("/hello", &access).await;
    assert_eq!(after.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        after.json(),
        json!({
            "detail": "Given token not valid for any token type",
            "code": "token_not_valid",
            "messages": [{"token_class": "AccessToken", "token_type": "access",
                          "message": "Token is blacklisted"}],
        })
    );
    let renewed = subject.post("/auth/jwt/refresh/", json!({"refresh": refresh})).await;
    assert_eq!(renewed.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        renewed.json(),
        json!({"detail": "Token is blacklisted", "code": "token_not_valid"})
    );
}

#[tokio::test]
async fn ending_one_login_leaves_the_users_other_logins_alone() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let (first, second) = (subject.opaque("ada").await, subject.opaque("ada").await);
    let (access, _) = subject.jwt("ada").await;
    assert_ne!(first, second);
    subject.ask(Ask::new(Method::POST, "/auth/token/logout/").bearer(&first)).await;
    assert_eq!(subject.get_as("/", &first).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(subject.get_as("/", &second).await.status, StatusCode::OK);
    assert_eq!(subject.get_as("/", &access).await.status, StatusCode::OK);
}

#[tokio::test]
async fn with_one_token_for_each_user_a_second_login_answers_the_same() {
    let subject = Subject::with(|s| s.tokens.opaque.scope = OpaqueScope::User).await;
    subject.register("ada").await;
    let (first, second) = (subject.opaque("ada").await, subject.opaque("ada").await);
    assert_eq!(first, second);
    subject.ask(Ask::new(Method::POST, "/auth/token/logout/").bearer(&first)).await;
    let third = subject.opaque("ada").await;
    assert_ne!(first, third);
    assert_eq!(subject.get_as("/", &first).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(subject.get_as("/", &third).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_access_token_ends_with_its_lifetime() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let (access, refresh) = subject.jwt("ada").await;
    assert_eq!(subject.get_as("/", &access).await.status, StatusCode::OK);
    subject.advance(Duration::from_mins(5)).await;
    let late = subject.get_as("/", &access).await;
    assert_eq!(late.status, StatusCode::UNAUTHORIZED);
    assert_eq!(late.json()["messages"][0]["message"], "Token is expired");
    let renewed = subject.post("/auth/jwt/refresh/", json!({"refresh": refresh})).await;
    assert_eq!(renewed.status, StatusCode::OK);
    let access = renewed.json()["access"].as_str().unwrap().to_owned();
    assert_eq!(subject.get_as("/", &access).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_password_reset_ends_every_credential_of_the_user() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let (opaque, (access, refresh)) = (subject.opaque("ada").await, subject.jwt("ada").await);
    assert_eq!(subject.get_as("/", &access).await.status, StatusCode::OK);

    let asked =
        subject.post("/auth/users/reset_password/", json!({"email": "ada@example.org"})).await;
    assert_eq!(asked.status, StatusCode::NO_CONTENT);
    let (uid, token) = subject.next_link().await;
    let new = json!({"uid": uid, "token": token, "new_password": "entirely-different-9"});
    let confirmed = subject.post("/auth/users/reset_password_confirm/", new.clone()).await;
    assert_eq!(confirmed.status, StatusCode::NO_CONTENT, "{}", confirmed.json());

    assert_eq!(subject.get_as("/", &opaque).await.status, StatusCode::UNAUTHORIZED);
    let dead = subject.get_as("/", &access).await;
    assert_eq!(dead.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        dead.json(),
        json!({"detail": "The user's password has been changed.", "code": "password_changed"})
    );
    let renewed = subject.post("/auth/jwt/refresh/", json!({"refresh": refresh})).await;
    assert_eq!(renewed.status, StatusCode::UNAUTHORIZED);
    let again = subject.post("/auth/users/reset_password_confirm/", new).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    let old = json!({"username": "ada", "password": PASSWORD});
    let login = subject.post("/auth/token/login/", old).await;
    assert_eq!(login.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_upstream_learns_an_address_only_once_it_is_verified() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let before = subject.get_as("/", &subject.opaque("ada").await).await.json();
    assert!(before["headers"]["x-forwarded-email"].is_null());

    subject.post("/auth/users/reset_password/", json!({"email": "ada@example.org"})).await;
    let (uid, token) = subject.next_link().await;
    let new = json!({"uid": uid, "token": token, "new_password": PASSWORD});
    let confirmed = subject.post("/auth/users/reset_password_confirm/", new).await;
    assert_eq!(confirmed.status, StatusCode::NO_CONTENT, "{}", confirmed.json());
    let after = subject.get_as("/", &subject.opaque("ada").await).await.json();
    assert_eq!(after["headers"]["x-forwarded-email"], "ada@example.org");
}

#[tokio::test]
async fn a_changed_name_is_seen_by_the_upstream_at_once() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let (access, _) = subject.jwt("ada").await;
    assert_eq!(subject.get_as("/", &access).await.json()["headers"]["x-forwarded-user"], "ada");
    let rename = Ask::new(Method::PATCH, "/auth/users/me/")
        .bearer(&access)
        .json(&json!({"username": "lovelace"}));
    assert_eq!(subject.ask(rename).await.status, StatusCode::OK);
    assert_eq!(
        subject.get_as("/", &access).await.json()["headers"]["x-forwarded-user"],
        "lovelace"
    );
}
