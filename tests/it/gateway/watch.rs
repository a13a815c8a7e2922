//! What lasts ends with its credential: upgraded connections, streams of events, long bodies.

use std::time::{Duration, Instant};

use portcullis::config::Settings;

use super::http2::with_h2c;
use super::{Gateway, get, post};
use crate::raw::{Act, App, Client};
use crate::secure::H2;
use crate::subject::{Ask, Subject};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Twice what is promised: the machine may be busy.
const BOUND: Duration = Duration::from_secs(2);

/// Answers `/api/ws` with an echo, and everything else with an answer that never ends.
async fn endless() -> App {
    App::start(|request| {
        if request.line.contains("/ws") {
            return Act::Echo(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                    .to_vec(),
            );
        }
        Act::Say(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\
              \r\n7\r\ndata: 1\r\n"
                .to_vec(),
        )
    })
    .await
}

async fn websocket(gateway: &Gateway, target: &str, token: &str) -> Client {
    let mut client = gateway.client().await;
    let lines = format!("{UPGRADE}Authorization: Bearer {token}\r\n");
    assert_eq!(client.ask(get(target, &lines)).await.status, 101);
    client.send("hello").await;
    assert_eq!(client.take(5).await, b"hello");
    client
}

/// Ends the login that a JWT belongs to.
async fn log_out(gateway: &Gateway, token: &str) {
    let request = format!(
        "POST /auth/token/logout/ HTTP/1.1\r\nHost: gate.example\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 0\r\n\r\n"
    );
    assert_eq!(gateway.client().await.ask(request).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_ends_with_its_login_and_another_s_goes_on() {
    let app = endless().await;
    let gateway = Gateway::before(&app).await;
    let token = gateway.token().await;
    let login = serde_json::json!({"username": "ada", "password": "Lantern-Orbit-7-Quill"});
    let answer = gateway.client().await.ask(post("/auth/jwt/create/", &login.to_string())).await;
    let other = answer.json()["access"].as_str().unwrap().to_owned();
    let mut ended = websocket(&gateway, "/api/ws", &token).await;
    let mut kept = websocket(&gateway, "/api/ws", &other).await;
    let mut open = websocket(&gateway, "/public/ws", &token).await;

    log_out(&gateway, &token).await;
    let since = Instant::now();
    assert!(ended.is_closed().await, "without a byte more");
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
    for client in [&mut kept, &mut open] {
        client.send("still here").await;
        assert_eq!(client.take(10).await, b"still here");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_ends_with_its_login() {
    let app = endless().await;
    let gateway = Gateway::before(&app).await;
    let token = gateway.token().await;
    let mut client = gateway.client().await;
    client.send(get("/api/events", &format!("Authorization: Bearer {token}\r\n"))).await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.take(12).await, b"7\r\ndata: 1\r\n");
    log_out(&gateway, &token).await;
    let since = Instant::now();
    assert!(client.is_closed().await);
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_upload_ends_with_its_login_and_is_not_finished() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    let token = gateway.token().await;
    let mut client = gateway.client().await;
    client
        .send(format!(
            "PUT /api/file HTTP/1.1\r\nHost: gate.example\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: 1000000\r\n\r\nfirst"
        ))
        .await;
    log_out(&gateway, &token).await;
    let since = Instant::now();
    assert!(client.is_closed().await);
    // After ten seconds it counts as a stream.
    assert!(since.elapsed() < Duration::from_secs(10) + BOUND, "{:?}", since.elapsed());
    assert_eq!(app.received().len(), 0, "no whole request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_is_not_lost_to_a_token_that_runs_out_meanwhile() {
    let app = App::start(|_| Act::Hang).await;
    // Times in tokens are whole seconds: it is good for two of them at least.
    let more = "[tokens.jwt]\naccess_lifetime = \"3s\"\n[limits]\nupstream_read_timeout = \"4s\"";
    let gateway = Gateway::with(&[app.address.to_string()], more).await;
    let token = gateway.token().await;
    let mut client = gateway.client().await;
    // The application takes longer than the token lasts; here it never answers, and the client
    // hears of that, not of its token.
    let answer = client.ask(get("/api/slow", &format!("Authorization: Bearer {token}\r\n"))).await;
    assert_eq!(answer.status, 504);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_ends_when_its_token_runs_out() {
    let app = endless().await;
    let more = "[tokens.jwt]\naccess_lifetime = \"2s\"";
    let gateway = Gateway::with(&[app.address.to_string()], more).await;
    let token = gateway.token().await;
    let since = Instant::now();
    let mut client = websocket(&gateway, "/api/ws", &token).await;
    assert!(client.is_closed().await);
    // Times in tokens are whole seconds.
    assert!(since.elapsed() < Duration::from_secs(2) + BOUND, "{:?}", since.elapsed());
}

/// A gateway that keeps its log, in front of answers that never end.
async fn logging(change: impl FnOnce(&mut Settings)) -> (Subject, App) {
    let app = endless().await;
    let address = app.address.to_string();
    let subject = Subject::with(|settings| {
        settings.upstreams[0].servers = vec![address];
        change(settings);
    })
    .await;
    subject.register("ada").await;
    (subject, app)
}

/// What the log says of a stream that was ended.
async fn told(subject: &Subject) -> serde_json::Value {
    let line = subject.logged(&["\"url.path\":\"/events\""]).await;
    assert_eq!(subject.log().matches("\"url.path\":\"/events\"").count(), 1, "once");
    let mut told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let fields = told.as_object_mut().unwrap();
    for varying in ["@timestamp", "http.request.id", "event.duration"] {
        assert!(fields.remove(varying).is_some(), "{varying}");
    }
    told
}

fn expected() -> serde_json::Value {
    serde_json::json!({
        "http.request.method": "GET", "http.response.status_code": 200, "url.path": "/events",
        "source.ip": "127.0.0.1", "client.ip": "127.0.0.1", "user.id": "1", "user.name": "ada",
        "portcullis.route": "/", "portcullis.decision": "allow",
        "portcullis.reason": "credential_ended", "portcullis.credential": "opaque",
        "portcullis.tier": "db", "portcullis.upstream": "app",
    })
}

async fn log_out_opaque(subject: &Subject, token: &str) {
    let logout = Ask::new(http::Method::POST, "/auth/token/logout/").bearer(token);
    assert_eq!(subject.ask(logout).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_ended_leaves_a_line_in_the_log() {
    let (subject, _app) = logging(|_| {}).await;
    let token = subject.opaque("ada").await;
    let mut client = Client::connect(subject.address).await;
    client.send(get("/events?secret=1", &format!("Authorization: Bearer {token}\r\n"))).await;
    assert_eq!(client.head().await.status, 200);
    log_out_opaque(&subject, &token).await;
    assert_eq!(told(&subject).await, expected());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_only_the_stream_of_an_ended_login_ends_and_is_told_of() {
    let (subject, _app) = logging(with_h2c).await;
    let (token, other) = (subject.opaque("ada").await, subject.opaque("ada").await);
    let client = H2::plain(subject.address).await;
    let get = |path: &str, token: &str| {
        http::Request::get(format!("http://localhost{path}"))
            .header("authorization", format!("Bearer {token}"))
            .body(())
            .unwrap()
    };
    let mut ended = client.listen(get("/events?secret=1", &token)).await;
    let mut kept = client.listen(get("/others", &other)).await;
    for stream in [&mut ended, &mut kept] {
        assert_eq!(stream.next().await.unwrap().unwrap(), "data: 1");
    }
    log_out_opaque(&subject, &token).await;
    let since = Instant::now();
    let end = ended.next().await.expect("no end as if all had been said").unwrap_err();
    assert_eq!(end.reason(), Some(h2::Reason::CANCEL));
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
    assert_eq!(told(&subject).await, expected());
    let waiting = tokio::time::timeout(Duration::from_millis(600), kept.next()).await;
    assert!(waiting.is_err(), "the other is looked at as well, and goes on: {waiting:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_a_long_upload_ends_with_its_login() {
    let (subject, _app) = logging(with_h2c).await;
    let token = subject.opaque("ada").await;
    let client = H2::plain(subject.address).await;
    let request = http::Request::put("http://localhost/events")
        .header("authorization", format!("Bearer {token}"))
        .body(())
        .unwrap();
    let _upload = client.open(request).await;
    log_out_opaque(&subject, &token).await;
    // After ten seconds it counts as a stream.
    let line = subject.logged_within(Duration::from_secs(20), &["credential_ended"]).await;
    assert!(line.contains("\"http.request.method\":\"PUT\""), "{line}");
}
