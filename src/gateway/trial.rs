//! Tests of the edge as a whole over real sockets, with a proxy of their own in place of the
//! phases: what holds here holds whatever the gate decides.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{Response, StatusCode};
use pingora::modules::http::HttpModules;
use pingora::proxy::{HttpProxy, ProxyHttp, Session, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::accept::{Edge, Ends, Manner, Rules};
use super::arrival::Arrival;
use super::caps::Caps;
use super::local::{self, LocalLimits};
use super::raw::Client;
use super::record::Recorder;
use super::respond::{self, After};
use super::socket::Listening;
use crate::api::caller::Caller;
use crate::clock::Clock;
use crate::telemetry::{Metrics, RequestLog};

const GET: &str = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
const BODY_LIMIT: usize = 100;

/// Serves everything from a router, as `Phases` does for what the gate lets it serve.
struct Local(Router);

#[async_trait]
impl ProxyHttp for Local {
    type CTX = Option<Arc<Arrival>>;

    fn new_ctx(&self) -> Self::CTX {
        Arrival::current()
    }

    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn upstream_peer(
        &self,
        _: &mut Session,
        _: &mut Self::CTX,
    ) -> pingora::Result<Box<HttpPeer>> {
        pingora::Error::e_explain(pingora::ErrorType::InternalError, "there is no upstream")
    }

    async fn request_filter(&self, s: &mut Session, ctx: &mut Self::CTX) -> pingora::Result<bool> {
        let caller = Caller {
            address: ctx.as_ref().and_then(|arrival| arrival.peer),
            request_id: "id".to_owned(),
            scheme: "http",
            host: "a".to_owned(),
        };
        let target = s.req_header().uri.to_string();
        let limits = LocalLimits { body_bytes: BODY_LIMIT, time: Duration::from_secs(1) };
        match local::ask(s, &self.0, &target, caller, limits).await? {
            Ok(answer) => respond::stream(s, answer, "id", After::Keep).await?,
            Err(failure) => {
                let answer = error(failure.status, failure.detail, failure.code);
                respond::send(s, answer, "id", After::Keep).await?;
            }
        }
        Ok(true)
    }
}

fn error(status: StatusCode, detail: &str, code: &str) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(format!("{code}: {detail}")));
    *answer.status_mut() = status;
    answer
}

fn router() -> Router {
    Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/empty", get(|| async { StatusCode::NO_CONTENT }))
        .route("/status/{code}", get(status).post(status))
        .route("/length", post(|body: Bytes| async move { body.len().to_string() }))
        .route("/ignore", post(|| async { "ignored" }))
        .route("/panic", get(fails))
        .route("/hang", get(hangs))
        .route("/stream", get(stream))
        .route("/caller", get(caller))
}

async fn status(axum::extract::Path(code): axum::extract::Path<u16>) -> Response<Body> {
    Response::builder().status(code).body(Body::from("x")).unwrap()
}

async fn fails() -> &'static str {
    panic!("on purpose")
}

async fn hangs() {
    std::future::pending::<()>().await;
}

async fn stream() -> Body {
    let pieces = ["one", "two"].map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
    Body::from_stream(futures_util::stream::iter(pieces))
}

async fn caller(axum::Extension(caller): axum::Extension<Caller>) -> String {
    format!("{caller:?}")
}

/// A running edge.
struct Trial {
    address: std::net::SocketAddr,
    caps: Arc<Caps>,
    close: watch::Sender<bool>,
    accepting: JoinHandle<JoinSet<()>>,
}

fn rules() -> Rules {
    Rules {
        connections: 100,
        connections_per_address: 100,
        head_time: Duration::from_millis(500),
        head_bytes: 2000,
        head_lines: 20,
        idle: Duration::from_millis(500),
        write_time: Duration::from_secs(5),
        requests_per_connection: 100,
        error,
    }
}

impl Trial {
    async fn start(rules: Rules) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (close, closing) = watch::channel(false);
        let caps = Arc::new(Caps::default());
        let app: HttpProxy<Local> = http_proxy(&Arc::new(ServerConf::default()), Local(router()));
        let edge = Arc::new(Edge {
            direct: None,
            app: Arc::new(app),
            rules: Box::new(move || rules),
            is_trusted: Box::new(|_| false),
            certificates: None,
            caps: Arc::clone(&caps),
            recorder: Recorder {
                metrics: Metrics::new(),
                log: Arc::new(RequestLog::to(std::io::sink(), 16)),
                clock: Clock::system(),
                tracer: None,
            },
            ends: Ends { leaving: closing.clone(), refusing: closing.clone(), closing },
        });
        let accepting = tokio::spawn(edge.accept(Listening::Tcp(listener), Manner::default()));
        Self { address, caps, close, accepting }
    }

    async fn client(&self) -> Client {
        Client::connect(self.address).await
    }
}

/// Asks once on a connection of its own.
async fn ask(trial: &Trial, request: &str) -> (u16, String, Option<String>) {
    let answer = trial.client().await.ask(request).await;
    let connection = answer.header("connection").map(ToOwned::to_owned);
    (answer.status, answer.text(), connection)
}

#[tokio::test]
async fn local_answers_keep_the_connection_whatever_their_status() {
    let trial = Trial::start(rules()).await;
    let mut client = trial.client().await;
    for (target, status, body) in [
        ("/hello", 200, "hello"),
        ("/empty", 204, ""),
        ("/status/401", 401, "x"),
        ("/status/403", 403, "x"),
        ("/status/429", 429, "x"),
        ("/status/503", 503, "x"),
        ("/status/304", 304, ""),
        ("/nowhere", 404, ""),
        ("/panic", 500, "internal_error: An internal error occurred."),
        ("/stream", 200, "onetwo"),
        ("/hello", 200, "hello"),
    ] {
        let answer = client.ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!((answer.status, answer.text().as_str()), (status, body), "{target}");
        assert_eq!(answer.header("connection"), Some("keep-alive"), "{target}");
        assert_eq!(answer.header("x-request-id"), Some("id"), "{target}");
        assert_eq!(answer.header("server"), None, "{target}");
    }
}

#[tokio::test]
async fn head_has_the_length_of_get_and_no_body() {
    let trial = Trial::start(rules()).await;
    let mut client = trial.client().await;
    for _ in 0..2 {
        client.send("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.head().await;
        assert_eq!((answer.status, answer.header("content-length")), (200, Some("5")));
    }
    assert_eq!(client.ask(GET).await.text(), "hello");
}

#[tokio::test]
async fn a_body_is_read_by_length_by_chunks_and_after_a_100() {
    let trial = Trial::start(rules()).await;
    let mut client = trial.client().await;
    let post = "POST /length HTTP/1.1\r\nHost: a\r\n";
    let answer = client.ask(format!("{post}Content-Length: 3\r\n\r\nabc")).await;
    assert_eq!(answer.text(), "3");
    let chunks = "4\r\nabcd\r\n2\r\nef\r\n0\r\n\r\n";
    let answer = client.ask(format!("{post}Transfer-Encoding: chunked\r\n\r\n{chunks}")).await;
    assert_eq!(answer.text(), "6");
    client.send(format!("{post}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")).await;
    assert_eq!(client.head().await.status, 100);
    let answer = client.ask("abc").await;
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("3", Some("keep-alive")));
    assert_eq!(client.ask(GET).await.text(), "hello");
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_by_length_and_by_chunks() {
    let trial = Trial::start(rules()).await;
    let long = "a".repeat(BODY_LIMIT + 1);
    for request in [
        format!("Content-Length: {}\r\n\r\n{long}", long.len()),
        "Content-Length: 99999999999\r\n\r\n".to_owned(),
        "Content-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n".to_owned(),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n", long.len()),
    ] {
        let request = format!("POST /length HTTP/1.1\r\nHost: a\r\n{request}");
        let (status, text, _) = ask(&trial, &request).await;
        assert_eq!(
            (status, text.as_str()),
            (413, "body_too_large: The request body is too large.")
        );
    }
    let most = "a".repeat(BODY_LIMIT);
    let request = format!("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{most}");
    assert_eq!(ask(&trial, &request).await.1, "100");
}

#[tokio::test]
async fn a_body_that_never_comes_is_408_and_a_handler_that_hangs_503() {
    let trial = Trial::start(rules()).await;
    let request = "POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na";
    let (status, _, connection) = ask(&trial, request).await;
    assert_eq!((status, connection.as_deref()), (408, Some("close")));
    let (status, _, connection) = ask(&trial, "GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((status, connection.as_deref()), (503, Some("keep-alive")));
}

#[tokio::test]
async fn a_malformed_chunk_is_400_and_nothing_behind_it_is_a_request() {
    let trial = Trial::start(rules()).await;
    let mut client = trial.client().await;
    let request = "POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    let answer = client.ask(format!("{request}{GET}")).await;
    assert_eq!(answer.status, 400);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn handlers_learn_who_calls() {
    let trial = Trial::start(rules()).await;
    let (_, text, _) = ask(&trial, "GET /caller HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let want = Caller {
        address: Some("127.0.0.1".parse().unwrap()),
        request_id: "id".to_owned(),
        scheme: "http",
        host: "a".to_owned(),
    };
    assert_eq!(text, format!("{want:?}"));
}

#[tokio::test]
async fn malformed_heads_are_answered_and_closed() {
    let trial = Trial::start(rules()).await;
    for (request, status, code) in [
        ("GET / HTTP/1.1\n\n", 400, "bad_request"),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
        ("GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "bad_request"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400, "bad_request"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "bad_request",
        ),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "version_not_supported"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method_not_allowed"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method_not_allowed"),
        ("GET / HTTP/1.1\r\nHost: b\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ] {
        let mut client = trial.client().await;
        let answer = client.ask(request).await;
        assert_eq!(answer.status, status, "{request:?}");
        assert!(answer.text().starts_with(code), "{request:?}: {answer:?}");
        assert_eq!(answer.header("connection"), Some("close"));
        client.finish_sending().await;
        assert!(client.is_closed().await, "{request:?}");
    }
}

#[tokio::test]
async fn a_head_may_have_its_limits_and_no_more() {
    let trial = Trial::start(rules()).await;
    let head = |lines: usize, bytes: usize| {
        let lines = "X: a\r\n".repeat(lines - 2);
        let fixed = "GET /hello HTTP/1.1\r\nHost: a\r\nY: \r\n\r\n".len() + lines.len();
        let rest = "y".repeat(bytes - fixed);
        format!("GET /hello HTTP/1.1\r\nHost: a\r\n{lines}Y: {rest}\r\n\r\n")
    };
    for (lines, bytes, status) in [(20, 2000, 200), (21, 2000, 431), (20, 2001, 431)] {
        assert_eq!(ask(&trial, &head(lines, bytes)).await.0, status, "{lines} lines, {bytes}");
    }
    assert_eq!(ask(&trial, &head(3, 1_000_000)).await.0, 431);
}

#[tokio::test]
async fn a_dripped_head_is_408_on_the_first_request_and_on_the_next() {
    let trial = Trial::start(rules()).await;
    for is_second in [false, true] {
        let mut client = trial.client().await;
        if is_second {
            assert_eq!(client.ask(GET).await.status, 200);
        }
        let start = tokio::time::Instant::now();
        client.send("GET / HTTP/1.1\r\nX: ").await;
        let answer = loop {
            tokio::select! {
                answer = client.head() => break answer,
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
            client.try_send("a").await;
        };
        assert_eq!(answer.status, 408);
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn silent_and_idle_connections_are_closed_without_a_word() {
    let trial = Trial::start(rules()).await;
    let (mut silent, mut idle) = (trial.client().await, trial.client().await);
    assert_eq!(idle.ask(GET).await.status, 200);
    assert!(silent.is_closed().await);
    assert!(idle.is_closed().await);
    trial.caps.emptied().await;
}

#[tokio::test]
async fn http_1_0_and_close_end_the_connection() {
    let trial = Trial::start(rules()).await;
    for request in [
        "GET /hello HTTP/1.0\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        let mut client = trial.client().await;
        let answer = client.ask(request).await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        assert!(client.is_closed().await, "{request:?}");
    }
    let mut client = trial.client().await;
    let old = "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(client.ask(old).await.header("connection"), Some("keep-alive"));
    assert_eq!(client.ask(old).await.status, 200);
}

#[tokio::test]
async fn a_connection_ends_after_its_share_of_requests() {
    let trial = Trial::start(Rules { requests_per_connection: 2, ..rules() }).await;
    let mut client = trial.client().await;
    assert_eq!(client.ask(GET).await.header("connection"), Some("keep-alive"));
    assert_eq!(client.ask(GET).await.header("connection"), Some("close"));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn caps_hold_and_a_close_makes_room() {
    let trial = Trial::start(Rules { connections_per_address: 2, ..rules() }).await;
    let mut first = trial.client().await;
    let mut second = trial.client().await;
    assert_eq!(first.ask(GET).await.status, 200);
    assert_eq!(second.ask(GET).await.status, 200);
    assert!(trial.client().await.is_closed().await);
    assert_eq!(trial.caps.open(), 2);
    drop(first);
    while trial.caps.open() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(trial.client().await.ask(GET).await.status, 200);
    assert_eq!(second.ask(GET).await.status, 200);
}

#[tokio::test]
async fn killed_connections_leave_nothing_behind() {
    let trial = Trial::start(rules()).await;
    let unfinished = [
        "GET / HT",
        "POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na",
        "GET /hang HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    for request in unfinished.iter().cycle().take(60) {
        trial.client().await.send(request).await;
    }
    tokio::time::timeout(Duration::from_secs(10), trial.caps.emptied()).await.unwrap();
}

#[tokio::test]
async fn a_stop_closes_idle_connections_finishes_requests_and_refuses_new_ones() {
    let trial = Trial::start(Rules { idle: Duration::from_mins(1), ..rules() }).await;
    let (mut idle, mut busy) = (trial.client().await, trial.client().await);
    assert_eq!(idle.ask(GET).await.status, 200);
    let upload = "POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue";
    busy.send(format!("{upload}\r\n\r\n")).await;
    assert_eq!(busy.head().await.status, 100);
    trial.close.send_replace(true);
    let _connections = trial.accepting.await.unwrap();
    assert!(idle.is_closed().await);
    let refused = tokio::net::TcpStream::connect(trial.address).await;
    assert!(refused.is_err());
    let answer = busy.ask("abc").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "3"));
    drop(busy);
    trial.caps.emptied().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let trial = Trial::start(rules()).await;
    let mut client = trial.client().await;
    let upload = "POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    client.send(format!("{GET}{upload}{GET}")).await;
    for text in ["hello", "3", "hello"] {
        assert_eq!(client.answer().await.text(), text);
    }
    assert_eq!(client.ask(GET).await.status, 200);
}
