//! What survives a restart: everything that was said to last.

use http::{Method, StatusCode};
use portcullis::config::SecretText;
use serde_json::json;

use crate::servers::PostgresDatabase;
use crate::subject::{Ask, PASSWORD, Subject};

async fn status(subject: &Subject, token: &str) -> StatusCode {
    subject.get_as("/", token).await.status
}

async fn log_out(subject: &Subject, token: &str) {
    let ask = Ask::new(Method::POST, "/auth/token/logout/").bearer(token);
    assert_eq!(subject.ask(ask).await.status, StatusCode::NO_CONTENT);
}

async fn survives(subject: Subject) {
    let id = subject.register("ada").await;
    let (live_opaque, dead_opaque) = (subject.opaque("ada").await, subject.opaque("ada").await);
    let (live, live_refresh) = subject.jwt("ada").await;
    let (dead, dead_refresh) = subject.jwt("ada").await;
    // Proved before: the cache must not be what the answers come from.
    for token in [&live_opaque, &dead_opaque, &live, &dead] {
        assert_eq!(status(&subject, token).await, StatusCode::OK);
    }
    log_out(&subject, &dead_opaque).await;
    log_out(&subject, &dead).await;
    subject.post("/auth/users/reset_password/", json!({"email": "ada@example.org"})).await;
    let (uid, link) = subject.next_link().await;
    let published = subject.get("/.well-known/jwks.json").await.json();

    let subject = subject.restart().await;
    assert_eq!(subject.get("/.well-known/jwks.json").await.json(), published, "the same key");
    for token in [&live_opaque, &live] {
        let seen = subject.get_as("/", token).await;
        assert_eq!(seen.status, StatusCode::OK);
        assert_eq!(seen.json()["headers"]["x-forwarded-user-id"], id.to_string());
    }
    for token in [&dead_opaque, &dead] {
        assert_eq!(status(&subject, token).await, StatusCode::UNAUTHORIZED);
    }
    for (refresh, expected) in
        [(live_refresh, StatusCode::OK), (dead_refresh, StatusCode::UNAUTHORIZED)]
    {
        let renewed = subject.post("/auth/jwt/refresh/", json!({"refresh": refresh})).await;
        assert_eq!(renewed.status, expected);
    }
    // The secret is the same: check sums of tokens and links that were mailed hold.
    let new = json!({"uid": uid, "token": link, "new_password": "entirely-different-9"});
    let confirmed = subject.post("/auth/users/reset_password_confirm/", new).await;
    assert_eq!(confirmed.status, StatusCode::NO_CONTENT, "{}", confirmed.json());
    for token in [&live_opaque, &live] {
        assert_eq!(status(&subject, token).await, StatusCode::UNAUTHORIZED, "the reset's cut");
    }

    let subject = subject.restart().await;
    for token in [&live_opaque, &live, &dead_opaque, &dead] {
        assert_eq!(status(&subject, token).await, StatusCode::UNAUTHORIZED);
    }
    let old = json!({"username": "ada", "password": PASSWORD});
    let old = subject.post("/auth/token/login/", old).await;
    assert_eq!(old.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_on_sqlite_revives_nothing_and_ends_nothing() {
    Box::pin(survives(Subject::start().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_on_postgresql_revives_nothing_and_ends_nothing() {
    let database = PostgresDatabase::create().await;
    let url = SecretText::from(&*database.url());
    let subject = Subject::with(|settings| {
        settings.database.url = url;
        settings.secret_key = SecretText::from("a-secret-of-at-least-32-characters");
    });
    Box::pin(survives(subject.await)).await;
    database.remove().await;
}
