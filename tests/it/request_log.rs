//! The line that a real request leaves, in each form that it can be asked for.

use http::{Method, StatusCode};
use portcullis::config::LogFormat;
use serde_json::{Value, json};

use crate::raw::Client;
use crate::subject::{Ask, PASSWORD, Subject};

async fn writing(format: LogFormat) -> Subject {
    Subject::with(|settings| settings.server.log_format = format).await
}

/// The line without its time, which stands in brackets.
fn timeless(line: &str) -> String {
    let (before, rest) = line.split_once('[').unwrap();
    let (time, after) = rest.split_once(']').unwrap();
    assert!(time.len() == 26 && time.ends_with(" +0000"), "{line}");
    format!("{before}[]{after}")
}

#[tokio::test]
async fn combined_tells_who_asked_for_what_and_forges_nothing() {
    let subject = writing(LogFormat::Combined).await;
    subject.register("ada").await;
    let token = subject.opaque("ada").await;
    assert_eq!(subject.get_as("/app/x?secret=1", &token).await.status, StatusCode::OK);
    let allowed = timeless(&subject.logged(&["/app/x"]).await);
    assert!(allowed.starts_with("127.0.0.1 - ada [] \"GET /app/x"), "{allowed}");
    assert!(allowed.contains("\" 200 ") && !allowed.contains("secret"), "{allowed}");
    assert_eq!(subject.get("/app/y").await.status, StatusCode::UNAUTHORIZED);
    let refused = timeless(&subject.logged(&["/app/y"]).await);
    assert!(refused.starts_with("127.0.0.1 - - [] \"GET /app/y"), "{refused}");
    assert!(refused.contains("\" 401 "), "{refused}");

    // Refused before anything is decided, with bytes that would end a line or a field.
    let mut client = Client::connect(subject.address).await;
    client.send("GET /\"\x1b[31m\t\\x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 400);
    let expected = r#"127.0.0.1 - - [] "GET /\x22.[31m.\x5cx HTTP/1.1" 400 - "-" "-""#;
    assert_eq!(timeless(&subject.logged(&["[31m"]).await), expected);
}

#[tokio::test]
async fn ecs_is_one_nested_document() {
    let subject = writing(LogFormat::Ecs).await;
    let id = subject.register("ada").await;
    let token = subject.opaque("ada").await;
    let asked = Ask::new(Method::GET, "/app/x?secret=1").bearer(&token);
    let asked =
        asked.header("User-Agent", "curl/8").header("Referer", "https://app.example/a/token");
    let answer = subject.ask(asked).await;
    assert_eq!(answer.status, StatusCode::OK);
    let document = document(&subject.logged(&["/app/x"]).await);
    let expected = json!({
        "ecs": {"version": "8.11.0"},
        "service": {"name": "portcullis"},
        "event": {"kind": "event", "category": ["web"], "type": ["access"],
                  "dataset": "portcullis.access", "outcome": "success", "reason": "authenticated"},
        "http": {"request": {"method": "GET", "referrer": "https://app.example"},
                 "response": {"status_code": 200, "body": {"bytes": answer.body.len()}},
                 "version": "1.1"},
        "url": {"path": "/app/x", "domain": "127.0.0.1"},
        "user_agent": {"original": "curl/8"},
        "source": {"ip": "127.0.0.1"},
        "client": {"ip": "127.0.0.1"},
        "user": {"id": id.to_string(), "name": "ada"},
        "portcullis": {"decision": "allow", "reason": "authenticated", "credential": "opaque",
                       "route": "/", "tier": "db", "upstream": "app"},
    });
    assert_eq!(document, expected);
}

/// Without what differs from run to run.
fn document(line: &str) -> Value {
    let mut value: Value = serde_json::from_str(line).unwrap();
    assert!(value.as_object_mut().unwrap().remove("@timestamp").is_some());
    assert!(value["event"].as_object_mut().unwrap().remove("duration").is_some());
    assert!(value["http"]["request"].as_object_mut().unwrap().remove("id").is_some());
    value
}

#[tokio::test]
async fn no_form_tells_a_secret() {
    for format in [LogFormat::Json, LogFormat::Ecs, LogFormat::Combined] {
        let subject = writing(format).await;
        subject.register("ada").await;
        let token = subject.opaque("ada").await;
        subject.get_as(&format!("/app/z?token={token}"), &token).await;
        subject.logged(&["/app/z"]).await;
        let all = subject.log();
        for secret in [token.as_str(), PASSWORD, "ada@example.org"] {
            assert!(!all.contains(secret), "{format:?}: {secret} in\n{all}");
        }
    }
}
