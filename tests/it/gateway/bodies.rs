//! Request and response bodies pass whole, framed once, and within their limits.

use super::{Gateway, get};
use crate::raw::{Act, App};

const PUT: &str = "PUT /public/a HTTP/1.1\r\nHost: a\r\n";

#[tokio::test]
async fn bodies_arrive_whole_by_length_and_by_chunks() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    let mut client = gateway.client().await;
    let long = "x".repeat(300_000);
    let length = long.len();
    assert_eq!(
        client.ask(format!("{PUT}Content-Length: {length}\r\n\r\n{long}")).await.status,
        200
    );
    let chunks = format!("3;ext=1\r\nabc\r\n{length:x}\r\n{long}\r\n0\r\nX-Trailer: a\r\n\r\n");
    assert_eq!(
        client.ask(format!("{PUT}Transfer-Encoding: chunked\r\n\r\n{chunks}")).await.status,
        200
    );
    let received = app.received();
    assert_eq!(received[0].body, long.as_bytes());
    assert_eq!(received[0].header("content-length"), Some("300000"));
    assert_eq!(received[0].header("transfer-encoding"), None);
    assert_eq!(received[1].body, format!("abc{long}").as_bytes());
    assert_eq!(received[1].header("content-length"), None);
    assert_eq!(received[1].header("transfer-encoding"), Some("chunked"));
}

#[tokio::test]
async fn a_100_of_the_application_reaches_the_client_and_the_connection_is_kept() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    let mut client = gateway.client().await;
    client.send(format!("{PUT}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")).await;
    assert_eq!(client.head().await.status, 100);
    let answer = client.ask("abc").await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")));
    assert_eq!(app.only().body, b"abc");
    assert_eq!(client.ask(get("/public/b", "")).await.status, 200);
}

#[tokio::test]
async fn bodies_over_the_limit_are_413() {
    let app = App::plain().await;
    let more = "[limits]\nbody_bytes = 1000";
    let gateway = Gateway::with(&[app.address.to_string()], more).await;
    let long = "x".repeat(1001);
    for body in [
        format!("Content-Length: 1001\r\n\r\n{long}"),
        "Content-Length: 99999999999\r\n\r\n".to_owned(),
        format!("Transfer-Encoding: chunked\r\n\r\n3e9\r\n{long}\r\n0\r\n\r\n"),
    ] {
        let answer = gateway.client().await.ask(format!("{PUT}{body}")).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("body_too_large")));
    }
    let most = &long[1..];
    let answer =
        gateway.client().await.ask(format!("{PUT}Content-Length: 1000\r\n\r\n{most}")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(app.only().body.len(), 1000);
}

#[tokio::test]
async fn malformed_chunks_are_400_and_nothing_behind_them_is_a_request() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    for chunks in ["zz\r\n", "-1\r\n", "10000000000000000\r\n", "3\nabc\n0\n\n"] {
        let mut client = gateway.client().await;
        let inner = get("/public/smuggled", "");
        client.send(format!("{PUT}Transfer-Encoding: chunked\r\n\r\n{chunks}{inner}")).await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status, answer.header("connection")),
            (400, Some("close")),
            "{chunks:?}"
        );
        client.finish_sending().await;
        assert!(client.is_closed().await);
    }
    assert!(!app.received().iter().any(|received| received.line.contains("smuggled")));
}

#[tokio::test]
async fn answers_pass_whole_whatever_their_framing() {
    let app = App::start(|received| match received.line.split(' ').nth(1) {
        Some("/public/chunked") => Act::Say(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec(),
        ),
        Some("/public/close") => Act::Last(b"HTTP/1.1 200 OK\r\n\r\nabc".to_vec()),
        Some("/public/none") => Act::Say(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        _ if received.line.starts_with("HEAD") => {
            Act::Say(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n".to_vec())
        }
        _ => Act::ok("abc"),
    })
    .await;
    let gateway = Gateway::before(&app).await;
    let mut client = gateway.client().await;
    for target in ["/public/chunked", "/public/close", "/public/length"] {
        assert_eq!(client.ask(get(target, "")).await.text(), "abc", "{target}");
    }
    assert_eq!(client.ask(get("/public/none", "")).await.status, 204);
    client.send("HEAD /public/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await.header("content-length"), Some("1234"));
    assert_eq!(client.ask(get("/public/length", "")).await.text(), "abc");
}
