//! Refusals: none of them reaches the application, most keep the connection.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Gateway, get, post};
use crate::raw::{Act, App};

#[tokio::test]
async fn refusals_of_the_gate_keep_the_connection_and_say_why() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    let mut client = gateway.client().await;
    for (target, status) in [("/api/a", 401), ("/deny/a", 403), ("/other", 404), ("/auth/no", 404)]
    {
        let answer = client.ask(get(target, "")).await;
        assert_eq!((answer.status, answer.header("connection")), (status, Some("keep-alive")));
        assert_eq!(answer.header("server"), None);
        assert_eq!(answer.header("x-request-id").map(str::len), Some(32), "{target}");
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{target}");
        if status != 404 {
            assert!(answer.json()["detail"].is_string(), "{answer:?}");
        }
    }
    assert_eq!(client.ask(get("/public/a", "")).await.text(), "ok");
    assert_eq!(app.only().line, "GET /public/a HTTP/1.1");
}

#[tokio::test]
async fn a_refused_request_with_a_small_body_keeps_the_connection() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    let mut client = gateway.client().await;
    assert_eq!(client.ask(post("/api/a", "{}")).await.status, 401);
    assert_eq!(client.ask(get("/public/a", "")).await.status, 200);
}

#[tokio::test]
async fn a_refused_request_whose_body_is_held_back_is_answered_and_closed() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    let mut client = gateway.client().await;
    let head =
        "POST /api/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    let answer = client.ask(head).await;
    assert_eq!((answer.status, answer.header("connection")), (401, Some("close")));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn malformed_requests_never_reach_the_application() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    for lines in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length: +3\r\n",
        "X-A: b\r\n c\r\n",
        "X-A: b\rX-Forwarded-User: root\r\n",
        "Host: other\r\n",
        "Connection: X-Forwarded-User\r\n",
        "Connection: Authorization\r\n",
    ] {
        let mut client = gateway.client().await;
        let answer = client.ask(get("/public/a", lines)).await;
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")), "{lines:?}");
        assert_eq!(answer.json()["code"], "bad_request", "{lines:?}");
        client.finish_sending().await;
        assert!(client.is_closed().await);
    }
    assert_eq!(app.received().len(), 0);
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_their_order() {
    let app = App::start(|received| Act::ok(&received.line)).await;
    let gateway = Gateway::before(&app).await;
    let mut client = gateway.client().await;
    let all =
        [get("/public/1", ""), post("/public/2", "{}"), get("/deny/3", ""), get("/public/4", "")];
    client.send(all.concat()).await;
    for (status, text) in
        [(200, "/public/1"), (200, "/public/2"), (403, "permission"), (200, "/public/4")]
    {
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.text().contains(text), "{answer:?}");
    }
}

#[tokio::test]
async fn a_request_that_arrives_before_the_answer_to_the_last_one_waits_for_it() {
    let with_body = |path| post(path, "{}");
    // Of one kind: those without a body have connections to the application of their own.
    for (first, second) in [
        (get("/public/1", ""), get("/public/2", "")),
        (with_body("/public/1"), with_body("/public/2")),
    ] {
        let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = Gateway::with(&[slow.local_addr().unwrap().to_string()], "").await;
        let mut client = gateway.client().await;
        client.send(first).await;
        let (mut application, _) = slow.accept().await.unwrap();
        let mut head = [0; 4096];
        assert!(application.read(&mut head).await.unwrap() > 0);
        // While the first is under way; then both sides have the time to make a mistake of it.
        client.send(second).await;
        let quiet = tokio::time::timeout(Duration::from_millis(200), client.answer()).await;
        assert!(quiet.is_err(), "{quiet:?}");
        for text in ["one", "two"] {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{text}");
            application.write_all(answer.as_bytes()).await.unwrap();
            let answer = client.answer().await;
            assert_eq!((answer.status, answer.text().as_str()), (200, text));
        }
    }
}

#[tokio::test]
async fn methods_that_no_application_gets_are_405() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    for method in ["TRACE", "TRACK", "CONNECT"] {
        let request = format!("{method} /public/a HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = gateway.client().await.ask(request).await;
        assert_eq!(answer.status, 405, "{method}");
        let taken = Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        assert_eq!(answer.header("allow"), taken, "{method}");
    }
    assert_eq!(app.received().len(), 0);
}

#[tokio::test]
async fn http_1_0_reaches_the_application_as_1_1_with_a_host() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    let mut client = gateway.client().await;
    let answer = client.ask("GET /public/a HTTP/1.0\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(client.is_closed().await);
    let received = app.only();
    assert_eq!(received.line, "GET /public/a HTTP/1.1");
    assert_eq!(received.header("host"), Some(gateway.address().to_string().as_str()));
}

#[tokio::test]
async fn probes_answer_on_a_listener_of_their_own() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    let mut client = crate::raw::Client::connect(gateway.running.telemetry.unwrap()).await;
    for path in ["/livez", "/startupz", "/readyz", "/metrics"] {
        assert_eq!(client.ask(get(path, "")).await.status, 200, "{path}");
    }
    assert_eq!(gateway.client().await.ask(get("/metrics", "")).await.status, 404);
}
