//! Requests that are nothing but a head go another way through the gateway than all others, and
//! nobody can tell: neither the application nor the client.
//!
//! The same questions and the same answers go both ways here, and what arrives is compared. It must
//! not know how the ways differ.

use super::{Gateway, get};
use crate::raw::{Act, Answer, App, Received};

/// The way of a head alone, and that of everything else.
const WAYS: [&str; 2] = ["Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n"];

/// Answers of applications, each under its name.
pub(super) const ANSWERS: [(&str, &str); 29] = [
    ("a folded line", "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok"),
    ("other letters", "HTTP/1.1 200 OK\r\nX-A: \u{e9}\r\nContent-Length: 2\r\n\r\nok"),
    ("a length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("no body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    (
        "chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n",
    ),
    ("no chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (
        "trailers",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
    ),
    ("until the end", "HTTP/1.1 200 OK\r\n\r\nall of it"),
    ("nothing until the end", "HTTP/1.1 200 OK\r\n\r\n"),
    ("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nold"),
    ("HTTP/1.0 and a length", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold"),
    ("204", "HTTP/1.1 204 No Content\r\n\r\n"),
    ("204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
    ("304", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"),
    ("304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
    (
        "both framings",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    ("a reason of its own", "HTTP/1.1 299 Well Then\r\nContent-Length: 2\r\n\r\nok"),
    (
        "names spelled oddly",
        "HTTP/1.1 200 OK\r\ncontent-LENGTH: 2\r\nX-oDD: 1\r\nx-odd: 2\r\n\r\nok",
    ),
    (
        "cookies",
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "hop by hop",
        "HTTP/1.1 200 OK\r\nConnection: X-Inner\r\nX-Inner: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n\
         TE: trailers\r\nProxy-Connection: close\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nok",
    ),
    ("who asks", "HTTP/1.1 200 OK\r\nX-Forwarded-User: root\r\nContent-Length: 2\r\n\r\nok"),
    (
        "early hints",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    ("closing", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
    ("no reason", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"),
    ("nor a space", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
    ("more than promised", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay"),
    (
        "a length that is named",
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, Content-Length\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "kept and named",
        "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: X-B\r\nX-B: 1\r\nContent-Length: 2\r\n\r\nok",
    ),
    ("spaces", "HTTP/1.1 200 OK\r\nX-A: \t b  \r\nX-B:\r\nContent-Length:  2 \r\n\r\nok"),
];

/// What is no answer.
pub(super) const NO_ANSWERS: [&str; 7] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "HTTP/1.1 2x0 OK\r\n\r\n",
    "200 OK\r\n\r\n",
    "\r\n\r\n\r\n\r\n",
];

/// What breaks off before its end.
pub(super) const BROKEN_OFF: [&str; 3] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n",
];

async fn ask(gateway: &Gateway, method: &str, way: &str, lines: &str) -> (Answer, bool) {
    let mut client = gateway.client().await;
    let end = if way.starts_with("Transfer") { "0\r\n\r\n" } else { "" };
    let head =
        format!("{method} /public/a?b=c HTTP/1.1\r\nHost: a.example\r\n{lines}{way}\r\n{end}");
    client.send(head).await;
    let mut answer = if method == "HEAD" { client.head().await } else { client.answer().await };
    if answer.status == 103 {
        answer = client.head().await;
    }
    // Whether the connection stands: what it says of itself is held against it.
    let is_kept = answer.header("connection") == Some("keep-alive");
    if is_kept {
        let next = client.ask(get("/public/next", "")).await;
        assert_eq!(next.header("connection"), Some("keep-alive"), "{next:?}");
    } else {
        assert!(client.is_closed().await, "{answer:?}");
    }
    answer.headers.retain(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id"));
    answer.headers.sort();
    (answer, is_kept)
}

#[tokio::test]
async fn answers_come_back_the_same_both_ways() {
    for (name, answer) in ANSWERS {
        let bytes = answer.as_bytes().to_vec();
        let ends = !answer.contains("ontent-") && !answer.contains("chunked");
        let app = App::start(move |received| match received.line.contains("/next") {
            true => Act::ok("next"),
            false if ends => Act::Last(bytes.clone()),
            false => Act::Say(bytes.clone()),
        })
        .await;
        let gateway = Gateway::before(&app).await;
        for method in ["GET", "POST", "HEAD", "OPTIONS"] {
            if method == "HEAD" && name.contains("until the end") {
                // An application that answers HEAD with a body is not waited for.
                continue;
            }
            let one = ask(&gateway, method, WAYS[0], "").await;
            let other = ask(&gateway, method, WAYS[1], "").await;
            assert_eq!(one, other, "{method}, {name}");
        }
    }
}

#[tokio::test]
async fn answers_that_are_none_are_502_both_ways() {
    for answer in NO_ANSWERS {
        let app = App::start(move |_| Act::Last(answer.as_bytes().to_vec())).await;
        let gateway = Gateway::before(&app).await;
        let one = ask(&gateway, "GET", WAYS[0], "").await;
        let other = ask(&gateway, "GET", WAYS[1], "").await;
        assert_eq!(one, other, "{answer:?}");
        assert_eq!(one.0.status, 502, "{answer:?}: {one:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_ends_the_connection_both_ways() {
    for answer in BROKEN_OFF {
        let app = App::start(move |_| Act::Last(answer.as_bytes().to_vec())).await;
        let gateway = Gateway::before(&app).await;
        for way in WAYS {
            let end = if way.starts_with("Transfer") { "0\r\n\r\n" } else { "" };
            let mut client = gateway.client().await;
            client.send(format!("GET /public/a HTTP/1.1\r\nHost: a\r\n{way}\r\n{end}")).await;
            let rest = String::from_utf8(client.rest().await).unwrap();
            // What broke off before anything was passed on can still be told as what it is.
            let (head, body) = rest.split_once("\r\n\r\n").unwrap_or_default();
            let is_whole = body.ends_with("0\r\n\r\n") || body.len() == 9;
            let is_cut = head.starts_with("HTTP/1.1 200 ") && !is_whole;
            let is_told = head.starts_with("HTTP/1.1 502 ");
            assert!(rest.is_empty() || is_cut || is_told, "{answer:?}, {way}: {rest:?}");
        }
    }
}

/// What an application is told, but for the framing and what is new each time.
pub(super) fn told(received: &Received) -> (String, Vec<(String, String)>, Vec<u8>) {
    let mut headers = received.headers.clone();
    headers.retain(|(name, _)| {
        !matches!(name.as_str(), "content-length" | "transfer-encoding" | "x-request-id")
    });
    headers.sort();
    (received.line.clone(), headers, received.body.clone())
}

#[tokio::test]
async fn applications_are_told_the_same_both_ways() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    for lines in [
        "",
        "Accept: */*\r\nX-A: 1\r\nX-A: 2\r\nx-b:\r\n",
        "Connection: keep-alive\r\nKeep-Alive: timeout=9\r\n",
        "Connection: close\r\n",
        "TE: trailers\r\nTrailer: X-T\r\nProxy-Connection: keep-alive\r\nHTTP2-Settings: AAAA\r\n",
        "Proxy-Authorization: Basic YTpi\r\nProxy-Authenticate: Basic\r\n",
        "X-Forwarded-User: root\r\nX_Forwarded_User: root\r\nx.forwarded.user: root\r\nX_A: 1\r\n",
        "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\nX-Real-Ip: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n",
        "Authorization: Bearer nonsense\r\nCookie: a=b\r\n",
        "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
    ] {
        for method in ["GET", "POST", "DELETE", "PATCH"] {
            let before = app.received().len();
            let mut told_both = Vec::new();
            for (at, way) in WAYS.iter().enumerate() {
                let mut client = gateway.client().await;
                let end = if way.starts_with("Transfer") { "0\r\n\r\n" } else { "" };
                let head = format!(
                    "{method} /public/a?c=%7e HTTP/1.1\r\nHost: a.example\r\n{lines}{way}\r\n{end}"
                );
                let answer = client.ask(head).await;
                assert_eq!(answer.status, 200, "{method} {lines:?}: {answer:?}");
                told_both.push(told(&app.received()[before + at]));
            }
            assert_eq!(told_both[0], told_both[1], "{method} {lines:?}");
        }
    }
}
