//! `accounts.login_field_read_only` and `reuse_usernames`.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::djosers;
use crate::subject::{Answer, Ask, PASSWORD, Subject};

fn taken() -> Value {
    json!({"username": ["A user with that username already exists."]})
}

async fn rename(subject: &Subject, token: &str, to: &str) -> Answer {
    let ask = Ask::new(Method::PATCH, "/auth/users/me/").bearer(token);
    subject.ask(ask.json(&json!({"username": to}))).await
}

async fn sign_up(subject: &Subject, username: &str) -> Answer {
    let form = json!({"username": username, "password": PASSWORD, "re_password": PASSWORD});
    subject.post("/auth/users/", form).await
}

async fn remove(subject: &Subject, token: &str) {
    let ask = Ask::new(Method::DELETE, "/auth/users/me/").bearer(token);
    let answer = subject.ask(ask.json(&json!({"current_password": PASSWORD}))).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn ones_own_page_changes_the_username() {
    let subject = Subject::start().await;
    let id = subject.register("ada").await;
    let token = subject.opaque("ada").await;
    let answer = rename(&subject, &token, "countess").await;
    assert_eq!(answer.status, StatusCode::OK);
    let page = json!({"id": id, "username": "countess", "email": "ada@example.org"});
    assert_eq!(answer.json(), page);
    subject.opaque("countess").await;
}

#[tokio::test]
async fn djosers_page_leaves_the_username_alone_and_changes_the_rest() {
    let subject = djosers("accounts.login_field_read_only").await;
    let id = subject.register("ada").await;
    let token = subject.opaque("ada").await;
    let answer = rename(&subject, &token, "countess").await;
    assert_eq!(answer.status, StatusCode::OK);
    let page = json!({"id": id, "username": "ada", "email": "ada@example.org"});
    assert_eq!(answer.json(), page);
    let ask = Ask::new(Method::PATCH, "/auth/users/me/").bearer(&token);
    let answer = subject.ask(ask.json(&json!({"email": "new@example.org"}))).await;
    assert_eq!(answer.json()["email"], "new@example.org");
    subject.opaque("ada").await;
}

#[tokio::test]
async fn the_name_of_a_deleted_or_renamed_account_stays_taken() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    subject.register("bob").await;
    remove(&subject, &subject.opaque("ada").await).await;
    let token = subject.opaque("bob").await;
    assert_eq!(rename(&subject, &token, "robert").await.status, StatusCode::OK);
    for former in ["ada", "bob"] {
        let again = sign_up(&subject, former).await;
        assert_eq!((again.status, again.json()), (StatusCode::BAD_REQUEST, taken()));
    }
    assert_eq!(sign_up(&subject, "eve").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn djosers_names_are_free_again_at_once() {
    let subject = djosers("accounts.reuse_usernames").await;
    let first = subject.register("ada").await;
    subject.register("bob").await;
    let (access, _) = subject.jwt("ada").await;
    remove(&subject, &subject.opaque("ada").await).await;
    let token = subject.opaque("bob").await;
    assert_eq!(rename(&subject, &token, "robert").await.status, StatusCode::OK);
    for former in ["ada", "bob"] {
        assert_eq!(sign_up(&subject, former).await.status, StatusCode::CREATED);
    }
    let second = subject.get_as("/auth/users/me/", &subject.opaque("ada").await).await.json();
    assert_ne!(second["id"], first, "another account");
    let old = subject.get_as("/", &access).await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED, "who was deleted does not come back");
    let live = sign_up(&subject, "robert").await;
    assert_eq!((live.status, live.json()), (StatusCode::BAD_REQUEST, taken()));
}

/// The username that is stored for `typed`, and the answer to a login with it as typed.
async fn back_as_typed(subject: &Subject, typed: &str) -> (String, StatusCode) {
    let form = json!({"username": typed, "password": PASSWORD, "re_password": PASSWORD});
    let made = subject.post("/auth/users/", form).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let form = json!({"username": typed, "password": PASSWORD});
    let login = subject.post("/auth/token/login/", form).await;
    (made.json()["username"].as_str().unwrap().to_owned(), login.status)
}

#[tokio::test]
async fn a_name_logs_in_as_it_was_typed_at_registration() {
    let seen = back_as_typed(&Subject::start().await, "ﬁona").await;
    assert_eq!(seen, ("fiona".to_owned(), StatusCode::OK));
}

#[tokio::test]
async fn djosers_names_log_in_as_they_are_stored() {
    let seen = back_as_typed(&djosers("accounts.normalize_login").await, "ﬁona").await;
    assert_eq!(seen, ("fiona".to_owned(), StatusCode::BAD_REQUEST));
}
