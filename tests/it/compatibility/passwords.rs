//! `accounts.user_create_password_retype`, `trim_passwords`, `logout_on_password_change` and
//! `password_similarity`.

use http::StatusCode;
use serde_json::{Value, json};

use super::djosers;
use crate::subject::{Answer, PASSWORD, Subject};

async fn sign_up(subject: &Subject, form: Value) -> Answer {
    subject.post("/auth/users/", form).await
}

fn is_refused(answer: &Answer, body: &Value) {
    assert_eq!((answer.status, &answer.json()), (StatusCode::BAD_REQUEST, body));
}

#[tokio::test]
async fn a_registration_wants_the_password_twice() {
    let subject = Subject::start().await;
    let once = sign_up(&subject, json!({"username": "ada", "password": PASSWORD})).await;
    is_refused(&once, &json!({"re_password": ["This field is required."]}));
    let form = json!({"username": "ada", "password": PASSWORD, "re_password": "another-word-1"});
    let differing = sign_up(&subject, form).await;
    let body = json!({"non_field_errors": ["The two password fields didn't match."]});
    is_refused(&differing, &body);
    let form = json!({"username": "ada", "password": PASSWORD, "re_password": PASSWORD});
    assert_eq!(sign_up(&subject, form).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn djosers_registration_wants_the_password_once() {
    let subject = djosers("accounts.user_create_password_retype").await;
    let form = json!({"username": "ada", "password": PASSWORD});
    assert_eq!(sign_up(&subject, form).await.status, StatusCode::CREATED);
    let form = json!({"username": "bob", "password": PASSWORD, "re_password": "ignored"});
    assert_eq!(sign_up(&subject, form).await.status, StatusCode::CREATED);
    subject.opaque("ada").await;
}

async fn with_blanks(subject: &Subject) -> [StatusCode; 2] {
    let padded = format!("  {PASSWORD} ");
    let form = json!({"username": "ada", "password": padded, "re_password": padded});
    assert_eq!(sign_up(subject, form).await.status, StatusCode::CREATED);
    let mut seen = Vec::new();
    for password in [&*padded, PASSWORD] {
        let form = json!({"username": "ada", "password": password});
        seen.push(subject.post("/auth/token/login/", form).await.status);
    }
    [seen[0], seen[1]]
}

#[tokio::test]
async fn blanks_around_a_password_are_part_of_it() {
    let seen = with_blanks(&Subject::start().await).await;
    assert_eq!(seen, [StatusCode::OK, StatusCode::BAD_REQUEST]);
}

#[tokio::test]
async fn djosers_passwords_lose_the_blanks_around_them() {
    let seen = with_blanks(&djosers("accounts.trim_passwords").await).await;
    assert_eq!(seen, [StatusCode::OK, StatusCode::OK]);
}

/// Statuses of the user's opaque token, access token and refresh token after a reset.
async fn after_a_reset(subject: &Subject) -> [StatusCode; 3] {
    subject.register("ada").await;
    let (opaque, (access, refresh)) = (subject.opaque("ada").await, subject.jwt("ada").await);
    for token in [&opaque, &access] {
        assert_eq!(subject.get_as("/", token).await.status, StatusCode::OK);
    }
    subject.post("/auth/users/reset_password/", json!({"email": "ada@example.org"})).await;
    let (uid, token) = subject.next_link().await;
    let new = json!({"uid": uid, "token": token, "new_password": "entirely-different-9"});
    let confirmed = subject.post("/auth/users/reset_password_confirm/", new).await;
    assert_eq!(confirmed.status, StatusCode::NO_CONTENT, "{}", confirmed.json());
    [
        subject.get_as("/", &opaque).await.status,
        subject.get_as("/", &access).await.status,
        subject.post("/auth/jwt/refresh/", json!({"refresh": refresh})).await.status,
    ]
}

#[tokio::test]
async fn a_reset_password_ends_everything_that_was_issued() {
    let seen = after_a_reset(&Subject::start().await).await;
    assert_eq!(seen, [StatusCode::UNAUTHORIZED; 3]);
}

#[tokio::test]
async fn after_djosers_reset_everything_lives_on() {
    let seen = after_a_reset(&djosers("accounts.logout_on_password_change").await).await;
    assert_eq!(seen, [StatusCode::OK; 3]);
}

/// 2·7 / (9 + 10) = 0.737: between Django's limit and ours.
fn resembling() -> Value {
    json!({"username": "johnsmith", "password": "johnsmixq1", "re_password": "johnsmixq1"})
}

fn equal() -> Value {
    json!({"username": "johnsmith", "password": "johnsmith1", "re_password": "johnsmith1"})
}

#[tokio::test]
async fn a_password_somewhat_like_the_name_passes_and_one_very_like_it_does_not() {
    let subject = Subject::start().await;
    let too_similar = json!({"password": ["The password is too similar to the username."]});
    is_refused(&sign_up(&subject, equal()).await, &too_similar);
    assert_eq!(sign_up(&subject, resembling()).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn djangos_similarity_refuses_both() {
    let subject = djosers("accounts.password_similarity").await;
    let too_similar = json!({"password": ["The password is too similar to the username."]});
    is_refused(&sign_up(&subject, equal()).await, &too_similar);
    is_refused(&sign_up(&subject, resembling()).await, &too_similar);
}
