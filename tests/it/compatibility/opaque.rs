//! `tokens.opaque.scope` and `tokens.opaque.idle_timeout`.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::djosers;
use crate::subject::{Answer, Ask, Subject};

const DAY: Duration = Duration::from_hours(24);

async fn log_out(subject: &Subject, token: &str) -> Answer {
    subject.ask(Ask::new(Method::POST, "/auth/token/logout/").bearer(token)).await
}

fn is_unknown(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.json(), json!({"detail": "Invalid token."}));
}

#[tokio::test]
async fn a_token_for_each_login_ends_alone() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let (first, second) = (subject.opaque("ada").await, subject.opaque("ada").await);
    assert_ne!(first, second);
    assert_eq!(log_out(&subject, &first).await.status, StatusCode::NO_CONTENT);
    is_unknown(&subject.get_as("/", &first).await);
    assert_eq!(subject.get_as("/", &second).await.status, StatusCode::OK);
}

#[tokio::test]
async fn djosers_one_token_of_a_user_ends_everywhere_and_comes_new() {
    let subject = djosers("tokens.opaque.scope").await;
    subject.register("ada").await;
    subject.register("bob").await;
    let (phone, laptop) = (subject.opaque("ada").await, subject.opaque("ada").await);
    assert_eq!(phone, laptop);
    let of_bob = subject.opaque("bob").await;
    assert_ne!(phone, of_bob);
    assert_eq!(subject.get_as("/", &phone).await.json()["headers"]["x-forwarded-user"], "ada");
    assert_eq!(log_out(&subject, &phone).await.status, StatusCode::NO_CONTENT);
    is_unknown(&subject.get_as("/", &laptop).await);
    let anew = subject.opaque("ada").await;
    assert_ne!(anew, phone);
    assert_eq!(subject.get_as("/", &anew).await.status, StatusCode::OK);
    assert_eq!(subject.get_as("/", &of_bob).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_that_was_not_used_for_thirty_days_ends() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let (used, idle) = (subject.opaque("ada").await, subject.opaque("ada").await);
    subject.advance(29 * DAY).await;
    assert_eq!(subject.get_as("/", &used).await.status, StatusCode::OK);
    until_a_use_is_written(&subject).await;
    subject.advance(2 * DAY).await;
    assert_eq!(subject.get_as("/", &used).await.status, StatusCode::OK, "used two days ago");
    is_unknown(&subject.get_as("/", &idle).await);
}

/// Uses are written beside the requests; a third login looks on.
async fn until_a_use_is_written(subject: &Subject) {
    let onlooker = subject.opaque("ada").await;
    let written = async {
        loop {
            let logins = subject.get_as("/auth/users/me/logins/", &onlooker).await.json();
            let was_used = |login: &Value| login["last_used"] != login["created"];
            if logins.as_array().unwrap().iter().any(was_used) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), written).await.expect("the use is written");
}

#[tokio::test]
async fn djosers_tokens_never_end_by_themselves() {
    let subject = djosers("tokens.opaque.idle_timeout").await;
    subject.register("ada").await;
    let idle = subject.opaque("ada").await;
    subject.advance(1000 * DAY).await;
    assert_eq!(subject.get_as("/", &idle).await.status, StatusCode::OK);
}
