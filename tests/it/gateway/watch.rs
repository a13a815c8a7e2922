//! What lasts ends with its credential: upgraded connections, streams of events, long bodies.

use std::time::{Duration, Instant};

use super::{Gateway, get, post};
use crate::raw::{Act, App, Client};

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
