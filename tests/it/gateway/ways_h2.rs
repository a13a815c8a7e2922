//! Over HTTP/2, too, a request that is nothing but a head goes a way of its own: a stream that its
//! head ends, and that speaks of no body. The same questions and answers go that way and the other,
//! and what arrives at either end is compared.

use std::time::Duration;

use http::{Method, Request};
use portcullis::config::Settings;

use super::http2::with_h2c;
use super::ways::{ANSWERS, BROKEN_OFF, NO_ANSWERS, told};
use crate::raw::{Act, App, PATIENCE, Received};
use crate::secure::{END_HEADERS, END_STREAM, Ended, Frames, H2, H2Answer, HEADERS, block, frame};
use crate::subject::{Ask, Subject};

/// The way of a head alone, and that of everything else.
const WAYS: [&[(&str, &str)]; 2] = [&[], &[("content-length", "0")]];

const RST_STREAM: u8 = 3;

async fn before(app: &App, change: impl FnOnce(&mut Settings)) -> Subject {
    let address = app.address.to_string();
    Subject::with(|settings| {
        with_h2c(settings);
        settings.upstreams[0].servers = vec![address];
        change(settings);
    })
    .await
}

fn request(method: &str, path: &str, lines: &[&[(&str, &str)]]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(format!("http://localhost{path}"));
    for (name, value) in lines.iter().copied().flatten() {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// All that came back, but for what is new each time; or why the stream was reset.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Whole { status: u16, headers: Vec<(String, String)>, body: String, has_trailers: bool },
    Reset(Option<h2::Reason>),
}

impl Came {
    fn of(answer: Result<H2Answer, h2::Error>) -> Self {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Self::Reset(error.reason()),
        };
        let value = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
        let lines = answer.headers.iter().map(|(name, it)| (name.to_string(), value(it)));
        let mut headers: Vec<_> =
            lines.filter(|(name, _)| name != "date" && name != "x-request-id").collect();
        headers.sort();
        for name in ["date", "x-request-id"] {
            assert_eq!(answer.headers.get_all(name).iter().count(), 1, "{name}: {answer:?}");
        }
        Self::Whole {
            status: answer.status.as_u16(),
            headers,
            body: String::from_utf8(answer.body).unwrap(),
            has_trailers: answer.trailers.is_some(),
        }
    }

    fn status(&self) -> Option<u16> {
        match self {
            Self::Whole { status, .. } => Some(*status),
            Self::Reset(_) => None,
        }
    }
}

/// What comes back both ways, each asked over a connection of its own.
async fn both(subject: &Subject, method: &str, path: &str, lines: &[(&str, &str)]) -> [Came; 2] {
    let mut came = Vec::new();
    for way in WAYS {
        let client = H2::plain(subject.address).await;
        came.push(Came::of(client.ask(request(method, path, &[lines, way]), b"").await));
        // Whatever became of it, the connection goes on.
        let next = client.ask(request("GET", "/never/next", &[way]), b"").await.unwrap();
        assert_eq!(next.status, 403);
    }
    came.try_into().unwrap()
}

#[tokio::test]
async fn answers_come_back_the_same_both_ways() {
    for (name, answer) in ANSWERS {
        let bytes = answer.as_bytes().to_vec();
        let ends = !answer.contains("ontent-") && !answer.contains("chunked");
        let app = App::start(move |_| {
            let bytes = bytes.clone();
            if ends { Act::Last(bytes) } else { Act::Say(bytes) }
        })
        .await;
        let subject = before(&app, |_| {}).await;
        for method in ["GET", "POST", "HEAD", "OPTIONS"] {
            if method == "HEAD" && name.contains("until the end") {
                // An application that answers HEAD with a body is not waited for.
                continue;
            }
            let [one, other] = both(&subject, method, "/public/a?b=c", &[]).await;
            assert_eq!(one, other, "{method}, {name}");
            assert!(one.status().is_some_and(|status| status < 400), "{method}, {name}: {one:?}");
        }
        if !ends && !answer.contains("Connection: close") {
            // Each way keeps connections to applications for itself: two ways were taken.
            let used = |at: usize| app.received()[at].connection;
            assert_ne!(used(0), used(1), "{name}");
        }
    }
}

#[tokio::test]
async fn answers_that_are_none_are_502_both_ways() {
    for answer in NO_ANSWERS {
        let app = App::start(move |_| Act::Last(answer.as_bytes().to_vec())).await;
        let subject = before(&app, |_| {}).await;
        let [one, other] = both(&subject, "GET", "/public/a", &[]).await;
        assert_eq!(one, other, "{answer:?}");
        assert_eq!(one.status(), Some(502), "{answer:?}: {one:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_ends_its_stream_both_ways() {
    for answer in BROKEN_OFF {
        let app = App::start(move |_| Act::Last(answer.as_bytes().to_vec())).await;
        let subject = before(&app, |_| {}).await;
        for came in both(&subject, "GET", "/public/a", &[]).await {
            // What broke off before anything was passed on can still be told as what it is.
            let is_told = came.status() == Some(502);
            assert!(
                is_told || came == Came::Reset(Some(h2::Reason::CANCEL)),
                "{answer:?}: {came:?}"
            );
        }
    }
}

#[tokio::test]
async fn applications_are_told_the_same_both_ways() {
    let app = App::plain().await;
    let subject = before(&app, |_| {}).await;
    for lines in [
        &[][..],
        &[("accept", "*/*"), ("x-a", "1"), ("x-a", "2"), ("x-b", "")],
        &[("te", "trailers"), ("trailer", "x-t")],
        &[("proxy-authorization", "Basic YTpi"), ("proxy-authenticate", "Basic")],
        &[("x-forwarded-user", "root"), ("x_forwarded_user", "root"), ("x.forwarded.user", "root")],
        &[("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1"), ("x-real-ip", "::1")],
        &[("authorization", "Bearer nonsense"), ("cookie", "a=1"), ("cookie", "b=2")],
        &[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")],
        &[("host", "localhost"), ("x-e", "\u{e9}")],
    ] {
        for method in ["GET", "HEAD", "POST", "DELETE", "PATCH"] {
            let before = app.received().len();
            let [one, other] = both(&subject, method, "/public/a?c=%7e", lines).await;
            assert_eq!(one.status(), Some(200), "{method} {lines:?}: {one:?}");
            assert_eq!(one, other, "{method} {lines:?}");
            let [one, other] = [before, before + 1].map(|at| told(&app.received()[at]));
            assert_eq!(one, other, "{method} {lines:?}");
            assert!(one.0.ends_with(" /public/a?c=%7e HTTP/1.1"), "{one:?}");
        }
    }
}

/// A line of the log, but for what is new each time.
async fn line(subject: &Subject, path: &str) -> serde_json::Value {
    let text = subject.logged(&[&format!("\"url.path\":\"{path}\"")]).await;
    let mut line: serde_json::Value = serde_json::from_str(&text).unwrap();
    let fields = line.as_object_mut().unwrap();
    for varying in ["@timestamp", "http.request.id", "event.duration", "url.path"] {
        assert!(fields.remove(varying).is_some(), "{varying}");
    }
    line
}

#[tokio::test]
async fn what_is_decided_and_logged_is_the_same_both_ways() {
    let app = App::plain().await;
    let subject = before(&app, |_| {}).await;
    subject.register("ada").await;
    let token = format!("Bearer {}", subject.opaque("ada").await);
    let ada = [("authorization", &*token)];
    let forged = [("authorization", "Bearer nonsense")];
    // Known from now on.
    assert_eq!(subject.ask(Ask::new(Method::GET, "/warm").bearer(&token[7..])).await.status, 200);
    for (path, lines, status) in [
        ("/public/", &[][..], 200),
        ("/a/", &ada, 200),
        ("/a/", &[], 401),
        ("/a/", &forged, 401),
        ("/staff/", &ada, 403),
        ("/never/", &ada, 403),
        ("/a//", &ada, 400),
        ("/auth/users/me/", &ada, 200),
        ("/auth/users/me/", &[], 401),
        ("/auth/none/", &[], 404),
        ("/.well-known/jwks.json", &[], 200),
    ] {
        for method in ["GET", "HEAD", "DELETE"] {
            let is_own = path.starts_with("/auth/") || path.starts_with("/.well-known/");
            if is_own && method != "GET" {
                continue;
            }
            let mut all = Vec::new();
            for (at, way) in WAYS.iter().enumerate() {
                let client = H2::plain(subject.address).await;
                let mark = format!("{}{method}-{status}-{}-{at}", path, lines.len());
                let path = if is_own { path } else { &*mark };
                let came = Came::of(client.ask(request(method, path, &[lines, way]), b"").await);
                assert_eq!(came.status(), Some(status), "{method} {path}: {came:?}");
                all.push((came, if is_own { ().into() } else { line(&subject, path).await }));
            }
            assert_eq!(all[0], all[1], "{method} {path} {lines:?}");
        }
    }
}

#[tokio::test]
async fn a_large_answer_waits_for_its_client_and_comes_whole_beside_others() {
    let body = "0123456789abcdef".repeat(128 * 1024);
    let length = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let app = App::start(move |received| {
        let whole = if received.line.contains("chunked") { &chunked } else { &length };
        Act::Say(whole.clone().into_bytes())
    })
    .await;
    let subject = before(&app, |_| {}).await;
    for way in WAYS {
        let client = H2::plain(subject.address).await;
        let asks = (0..10).map(|at| {
            let path = if at % 2 == 0 { "/public/length" } else { "/public/chunked" };
            client.ask(request("GET", path, &[way]), b"")
        });
        for answer in futures_util::future::join_all(asks).await {
            let answer = answer.unwrap();
            assert_eq!(answer.status, 200);
            assert!(answer.body == body.as_bytes(), "{} bytes", answer.body.len());
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_loses_the_stream_and_nothing_else() {
    let body = "a".repeat(1 << 20);
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let app = App::start(move |_| Act::Say(whole.clone().into_bytes())).await;
    let limit = Duration::from_millis(300);
    let subject = before(&app, |settings| settings.limits.write_timeout.0 = limit).await;
    let client = H2::plain(subject.address).await;
    let mut taken = client.listen(request("GET", "/public/slow", &[])).await;
    let line = line(&subject, "/public/slow").await;
    assert_eq!(line["portcullis.reason"], "client_closed", "{line}");
    assert_eq!(line["http.response.status_code"], 200);
    let mut end = taken.next().await;
    while let Some(Ok(_)) = end {
        end = taken.next().await;
    }
    assert_eq!(end.unwrap().unwrap_err().reason(), Some(h2::Reason::CANCEL));
    let next = client.ask(request("GET", "/never/next", &[]), b"").await.unwrap();
    assert_eq!(next.status, 403);
}

#[tokio::test]
async fn an_application_that_says_nothing_is_504() {
    let app = App::start(|_| Act::Hang).await;
    let limit = Duration::from_millis(100);
    let subject = before(&app, |settings| settings.limits.upstream_read_timeout.0 = limit).await;
    let [one, other] = both(&subject, "GET", "/public/a", &[]).await;
    assert_eq!(one, other);
    assert_eq!(one.status(), Some(504));
}

#[tokio::test]
async fn a_stream_that_its_client_resets_takes_the_application_s_connection_with_it() {
    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok";
    let app = App::start(move |received: &Received| match &*received.line {
        line if line.contains("/hang") => Act::Hang,
        line if line.contains("/half") => Act::Say(begun.to_vec()),
        _ => Act::ok("ok"),
    })
    .await;
    let subject = before(&app, |_| {}).await;
    for (at, way) in WAYS.iter().enumerate() {
        for (path, status) in [("/public/hang", 0), ("/public/half", 200)] {
            let path = &*format!("{path}-{at}");
            let own = [
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "localhost"),
                (":path", path),
            ];
            let head = block(&[&own[..], way].concat());
            let (mut client, so_far) =
                (Frames::connect(subject.address).await, app.received().len());
            client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).await;
            if status == 200 {
                assert_eq!(client.end().await, Ended::Answered(0x88));
            } else {
                app.until_received(so_far + 1).await;
            }
            client.send(&frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())).await;
            let line = line(&subject, path).await;
            assert_eq!(line["portcullis.reason"], "client_closed", "{line}");
            assert_eq!(line["http.response.status_code"], status, "{line}");
            let used = app.received().last().unwrap().connection;
            let next = H2::plain(subject.address).await;
            let next = next.ask(request("GET", "/public/next", &[way]), b"").await.unwrap();
            assert_eq!((next.status.as_u16(), &*next.body), (200, &b"ok"[..]));
            assert_ne!(app.received().last().unwrap().connection, used, "{path}");
        }
    }
}

#[tokio::test]
async fn what_finds_a_kept_connection_dead_is_sent_again() {
    let app = App::start(|received: &Received| match &*received.line {
        // Taken, and nothing said: the connection is lost under the request.
        line if line.contains("/lost") && received.connection == 1 => Act::Last(Vec::new()),
        _ => Act::ok("ok"),
    })
    .await;
    let subject = before(&app, |_| {}).await;
    let client = H2::plain(subject.address).await;
    for path in ["/public/first", "/public/lost"] {
        let answer = client.ask(request("GET", path, &[]), b"").await.unwrap();
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"ok"[..]), "{path}");
    }
    let used: Vec<_> = app.received().iter().map(|received| received.connection).collect();
    assert_eq!(used, [1, 1, 2]);
}

#[tokio::test]
async fn many_streams_at_a_time_each_get_their_own_answer() {
    let app = App::start(|received: &Received| {
        let path = received.line.split(' ').nth(1).unwrap_or_default();
        Act::ok(path)
    })
    .await;
    let subject = before(&app, |_| {}).await;
    let client = H2::plain(subject.address).await;
    for _ in 0..5 {
        let asks = (0..60).map(|at| {
            let (path, client) = (format!("/public/{at}"), &client);
            async move { (client.ask(request("GET", &path, &[]), b"").await.unwrap(), path) }
        });
        let answers = tokio::time::timeout(PATIENCE, futures_util::future::join_all(asks)).await;
        for (answer, path) in answers.unwrap() {
            assert_eq!(String::from_utf8_lossy(&answer.body), path);
        }
    }
}
