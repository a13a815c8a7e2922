//! `accounts.unique_email` and `hide_unknown_uid`.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::djosers;
use crate::subject::{Answer, Ask, PASSWORD, Subject};

async fn sign_up(subject: &Subject, username: &str, email: &str) -> Answer {
    let form = json!({"username": username, "email": email,
                      "password": PASSWORD, "re_password": PASSWORD});
    subject.post("/auth/users/", form).await
}

async fn move_to(subject: &Subject, username: &str, email: &str) -> Answer {
    let token = subject.opaque(username).await;
    let ask = Ask::new(Method::PATCH, "/auth/users/me/").bearer(&token);
    subject.ask(ask.json(&json!({"email": email}))).await
}

#[tokio::test]
async fn an_address_belongs_to_one_account_in_any_case_of_letters() {
    let subject = Subject::start().await;
    assert_eq!(sign_up(&subject, "ada", "ada@example.org").await.status, StatusCode::CREATED);
    let second = sign_up(&subject, "eve", "ADA@Example.org").await;
    assert_eq!(second.status, StatusCode::BAD_REQUEST);
    assert_eq!(second.json().as_object().unwrap().keys().collect::<Vec<_>>(), ["email"]);
    assert_eq!(sign_up(&subject, "eve", "eve@example.org").await.status, StatusCode::CREATED);
    let moved = move_to(&subject, "eve", "Ada@example.org").await;
    assert_eq!(moved.status, StatusCode::BAD_REQUEST);
    // Accounts without an address have none in common.
    for username in ["bob", "carol"] {
        assert_eq!(sign_up(&subject, username, "").await.status, StatusCode::CREATED);
    }
}

#[tokio::test]
async fn djosers_accounts_may_share_an_address() {
    let subject = djosers("accounts.unique_email").await;
    for username in ["ada", "eve"] {
        let answer = sign_up(&subject, username, "ada@example.org").await;
        assert_eq!(answer.status, StatusCode::CREATED);
    }
    assert_eq!(sign_up(&subject, "bob", "bob@example.org").await.status, StatusCode::CREATED);
    assert_eq!(move_to(&subject, "bob", "ada@example.org").await.status, StatusCode::OK);
}

async fn confirm(subject: &Subject, uid: &str, token: &str) -> (StatusCode, Value) {
    let form = json!({"uid": uid, "token": token, "new_password": "entirely-different-9"});
    let answer = subject.post("/auth/users/reset_password_confirm/", form).await;
    (answer.status, answer.json())
}

/// Answers to a wrong uid with a good token, and to a wrong token with a good uid.
async fn wrong_links(subject: &Subject) -> [(StatusCode, Value); 2] {
    subject.register("ada").await;
    subject.post("/auth/users/reset_password/", json!({"email": "ada@example.org"})).await;
    let (uid, token) = subject.next_link().await;
    let wrong =
        [confirm(subject, "OTk5OTk", &token).await, confirm(subject, &uid, "c0ffee-00").await];
    assert_eq!(confirm(subject, &uid, &token).await.0, StatusCode::NO_CONTENT);
    wrong
}

#[tokio::test]
async fn a_wrong_uid_is_answered_as_a_wrong_token() {
    let [uid, token] = wrong_links(&Subject::start().await).await;
    assert_eq!(uid, token);
    let body = json!({"token": ["Invalid token for given user."]});
    assert_eq!(token, (StatusCode::BAD_REQUEST, body));
}

#[tokio::test]
async fn djoser_tells_a_wrong_uid_from_a_wrong_token() {
    let [uid, token] = wrong_links(&djosers("accounts.hide_unknown_uid").await).await;
    let body = json!({"uid": ["Invalid user id or user doesn't exist."]});
    assert_eq!(uid, (StatusCode::BAD_REQUEST, body));
    let body = json!({"token": ["Invalid token for given user."]});
    assert_eq!(token, (StatusCode::BAD_REQUEST, body));
}
