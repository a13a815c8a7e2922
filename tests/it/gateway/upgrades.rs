//! Upgraded connections pass the same rules as any request, and then any bytes.

use super::{Gateway, get};
use crate::raw::{Act, App};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

async fn echo() -> App {
    App::start(|_| {
        Act::Echo(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                .to_vec(),
        )
    })
    .await
}

#[tokio::test]
async fn an_upgrade_carries_bytes_both_ways() {
    let app = echo().await;
    let gateway = Gateway::before(&app).await;
    let mut client = gateway.client().await;
    let answer = client.ask(get("/public/ws", UPGRADE)).await;
    assert_eq!((answer.status, answer.header("upgrade")), (101, Some("websocket")));
    client.send(b"\x81\x03one").await;
    assert_eq!(client.take(5).await, b"\x81\x03one");
    client.send(vec![7; 100_000]).await;
    assert_eq!(client.take(100_000).await, vec![7; 100_000]);
    let received = app.only();
    assert_eq!(received.header("connection"), Some("Upgrade"));
    assert_eq!(received.header("upgrade"), Some("websocket"));
}

#[tokio::test]
async fn an_upgrade_without_a_credential_is_refused() {
    let app = echo().await;
    let gateway = Gateway::before(&app).await;
    assert_eq!(gateway.client().await.ask(get("/api/ws", UPGRADE)).await.status, 401);
    assert_eq!(app.received().len(), 0);
}

#[tokio::test]
async fn an_upgrade_tells_who_asks() {
    let app = echo().await;
    let gateway = Gateway::before(&app).await;
    let token = gateway.token().await;
    let lines = format!("{UPGRADE}Authorization: Bearer {token}\r\n");
    assert_eq!(gateway.client().await.ask(get("/api/ws", &lines)).await.status, 101);
    assert_eq!(app.only().header("x-forwarded-user"), Some("ada"));
}

#[tokio::test]
async fn an_idle_websocket_outlives_the_body_timeout_and_ends_after_its_own() {
    let app = echo().await;
    let more = "[limits]\nbody_read_timeout = \"100ms\"\nupstream_read_timeout = \"100ms\"\n\
                websocket_idle_timeout = \"1s\"";
    let gateway = Gateway::with(&[app.address.to_string()], more).await;
    let mut client = gateway.client().await;
    assert_eq!(client.ask(get("/public/ws", UPGRADE)).await.status, 101);
    // Longer than the timeouts of bodies: that is the point.
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    client.send(b"still here").await;
    assert_eq!(client.take(10).await, b"still here");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn bytes_behind_an_upgrade_that_is_refused_are_no_request() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    let mut client = gateway.client().await;
    let inner = get("/public/smuggled", "");
    let answer = client.ask(format!("{}{inner}", get("/public/ws", UPGRADE))).await;
    assert_eq!(answer.status, 200);
    assert!(client.is_closed().await);
    assert_eq!(app.only().line, "GET /public/ws HTTP/1.1");
}
