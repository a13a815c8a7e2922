//! What clients are told when the application is in trouble.

use std::time::Duration;

use tokio::net::TcpListener;

use super::{Gateway, get, post};
use crate::raw::{Act, App};

/// An address where nobody listens.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    listener.and_then(|listener| listener.local_addr()).map(|a| a.to_string()).unwrap_or_default()
}

#[tokio::test]
async fn an_application_that_is_away_is_502() {
    let gateway = Gateway::with(&[nowhere().await], "").await;
    let answer = gateway.client().await.ask(get("/public/a", "")).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (502, Some("upstream_failed")));
    assert_eq!(answer.header("server"), None);
    assert_eq!(answer.header("x-request-id").map(str::len), Some(32));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_502() {
    let gateway = Gateway::with(&["no-such-host.invalid:80".to_owned()], "").await;
    let answer = gateway.client().await.ask(get("/public/a", "")).await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (502, Some("upstream_unavailable"))
    );
}

#[tokio::test]
async fn a_server_that_is_away_is_passed_over_also_for_a_post() {
    let app = App::plain().await;
    let servers = [nowhere().await, app.address.to_string()];
    let gateway = Gateway::with(&servers, "").await;
    let mut client = gateway.client().await;
    for _ in 0..4 {
        assert_eq!(client.ask(post("/public/a", "{}")).await.status, 200);
    }
    assert_eq!(app.received().len(), 4);
    assert!(app.received().iter().all(|received| received.body == b"{}"));
}

#[tokio::test]
async fn servers_take_turns() {
    let (one, two) = (App::plain().await, App::plain().await);
    let servers = [one.address.to_string(), two.address.to_string()];
    let gateway = Gateway::with(&servers, "").await;
    let mut client = gateway.client().await;
    for _ in 0..4 {
        assert_eq!(client.ask(get("/public/a", "")).await.status, 200);
    }
    assert_eq!((one.received().len(), two.received().len()), (2, 2));
}

#[tokio::test]
async fn a_post_that_was_sent_is_never_sent_again() {
    let app = App::start(|_| Act::Last(Vec::new())).await;
    let gateway = Gateway::before(&app).await;
    let answer = gateway.client().await.ask(post("/public/a", "{}")).await;
    assert_eq!(answer.status, 502);
    assert_eq!(app.received().len(), 1);
}

#[tokio::test]
async fn an_application_that_says_nothing_is_504() {
    let app = App::start(|_| Act::Hang).await;
    let more = "[limits]\nupstream_read_timeout = \"200ms\"";
    let gateway = Gateway::with(&[app.address.to_string()], more).await;
    let answer = gateway.client().await.ask(get("/public/a", "")).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (504, Some("upstream_timeout")));
}

#[tokio::test]
async fn answers_that_are_no_http_are_502() {
    for bytes in [
        &b"\x16\x03\x01garbage\x00\xff\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 500\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX-Odd: a\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Odd: a\0b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n",
    ] {
        let app = App::start(move |_| Act::Last(bytes.to_vec())).await;
        let gateway = Gateway::before(&app).await;
        let answer = gateway.client().await.ask(get("/public/a", "")).await;
        assert_eq!(answer.status, 502, "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[tokio::test]
async fn endless_informational_answers_are_cut() {
    let app =
        App::start(|_| Act::Say(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(200)))
            .await;
    let gateway = Gateway::before(&app).await;
    assert_eq!(gateway.client().await.ask(get("/public/a", "")).await.status, 502);
}

#[tokio::test]
async fn what_a_broken_answer_left_behind_is_nobodys_answer() {
    let app = App::start(|received| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
        if received.line.contains("/first") {
            bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned");
        }
        Act::Say(bytes)
    })
    .await;
    let gateway = Gateway::before(&app).await;
    assert_eq!(gateway.client().await.ask(get("/public/first", "")).await.text(), "ok");
    for _ in 0..3 {
        assert_eq!(gateway.client().await.ask(get("/public/a", "")).await.text(), "ok");
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_request_to_the_application() {
    let app = App::start(|_| Act::Hang).await;
    let gateway = Gateway::before(&app).await;
    let mut client = gateway.client().await;
    client.send(get("/public/a", "")).await;
    app.until_received(1).await;
    drop(client);
    tokio::time::timeout(Duration::from_secs(10), gateway.running.stop()).await.unwrap().unwrap();
}

#[tokio::test]
async fn answers_that_have_no_body_have_no_framing_either() {
    for (answer, method, length) in [
        ("204 No Content\r\nContent-Length: 5", "GET", None),
        ("204 No Content\r\nTransfer-Encoding: chunked", "GET", None),
        ("304 Not Modified\r\nContent-Length: 5", "GET", Some("5")),
        ("304 Not Modified\r\nTransfer-Encoding: chunked", "GET", None),
        ("200 OK\r\nContent-Length: 5", "HEAD", Some("5")),
    ] {
        let whole = format!("HTTP/1.1 {answer}\r\n\r\n").into_bytes();
        let app = App::start(move |received| {
            if received.line.contains("next") { Act::ok("next") } else { Act::Say(whole.clone()) }
        })
        .await;
        let gateway = Gateway::before(&app).await;
        let mut client = gateway.client().await;
        client.send(get("/public/a", "").replacen("GET", method, 1)).await;
        let head = client.head().await;
        assert_eq!(head.status.to_string(), answer[..3], "{head:?}");
        let framing = (head.header("content-length"), head.header("transfer-encoding"));
        assert_eq!(framing, (length, None), "{answer}");
        let next = client.ask(get("/public/next", "")).await;
        assert_eq!((next.status, next.text().as_str()), (200, "next"), "{answer}");
    }
}

#[tokio::test]
async fn answers_that_could_be_read_in_two_ways_are_502() {
    for lines in [
        "X-A: b\rX-Injected: c\r\nContent-Length: 2",
        "X-A: b\0c\r\nContent-Length: 2",
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: 2\r\nContent-Length: 2",
        "Content-Length: -2",
        "Content-Length: +2",
        "Content-Length: 2, 2",
        "Content-Length:",
    ] {
        let whole = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nok");
        let app = App::start(move |_| Act::Last(whole.clone().into_bytes())).await;
        let gateway = Gateway::before(&app).await;
        let answer = gateway.client().await.ask(get("/public/a", "")).await;
        assert_eq!(answer.status, 502, "{lines:?}");
    }
    // Chunks win over a length, and only they are told (RFC 9112, 6.3).
    let whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n\
                 2\r\nok\r\n0\r\n\r\n";
    let app = App::start(move |_| Act::Last(whole.into())).await;
    let gateway = Gateway::before(&app).await;
    let answer = gateway.client().await.ask(get("/public/a", "")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(answer.header("content-length"), None);
}
