//! The telemetry listener: `/livez`, `/readyz`, `/startupz`, `/metrics`.
//!
//! A listener of its own, so that probes answer while traffic is refused, and never over the
//! network that clients use. Speaks just enough HTTP/1.1 for that, by the same reader and the
//! same rules as the traffic listener. It must not know what the metrics are.

use std::fmt::Write as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::{Response, StatusCode, header};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::caps::Caps;
use super::edge::{self, Send};
use super::head::{Alarm, Head, HeadLimits, read_head};
use super::health::{CheckOutcome, Health};
use super::request_line::RequestLine;
use super::vet::{VetLimits, vet};
use crate::telemetry::Metrics;

/// Nobody but probes and scrapers comes here.
const CONNECTIONS: usize = 64;
const LINES: VetLimits = VetLimits { lines: 64 };
const HEAD: HeadLimits = HeadLimits {
    first_byte: Duration::from_secs(90), // scrapers keep their connection from one to the next
    whole: Duration::from_secs(5),
    bytes: 16 * 1024,
};
const ANSWER_TIME: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers probes until `stop`.
pub(super) async fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) {
    let caps = Arc::new(Caps::default());
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Some(permit) = caps.take(CONNECTIONS) else { continue };
        let (health, metrics, stop) = (Arc::clone(&health), Arc::clone(&metrics), stop.clone());
        tokio::spawn(async move {
            converse(socket, &health, &metrics, stop).await;
            drop(permit);
        });
    }
}

async fn converse(
    mut socket: TcpStream,
    health: &Health,
    metrics: &Metrics,
    mut stop: watch::Receiver<bool>,
) {
    let (mut buffer, mut alarm) = (BytesMut::new(), Alarm::new(Instant::now()));
    let mut stopped = pin!(async move {
        let _ = stop.wait_for(|stop| *stop).await;
    });
    while let Head::Ready(end) =
        read_head(&mut socket, &mut buffer, HEAD, &mut alarm, stopped.as_mut()).await
    {
        let head = buffer.split_to(end);
        let line = RequestLine::of(&head);
        let answer = match vet(&head, LINES) {
            Ok(_) => answer(line, health, metrics).await,
            Err(fault) => text(fault.status, fault.detail.to_owned()),
        };
        let send = if line.method == b"HEAD" { Send::HeadOnly } else { Send::Whole };
        // A request with a body, or a client that wants to close, is closed; scrapers are kept.
        if answer.status().is_client_error() || !is_plain(&head) || buffer.has_remaining() {
            return edge::answer_and_close(&mut socket, &answer, "", send).await;
        }
        let bytes = edge::serialize(&answer, "", send, "keep-alive");
        if !matches!(timeout(ANSWER_TIME, socket.write_all(&bytes)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// HTTP/1.1 without a body and without any wish about the connection.
fn is_plain(head: &[u8]) -> bool {
    let has = |name: &[u8]| {
        head.split(|byte| *byte == b'\n').any(|line| {
            line.len() > name.len()
                && line[..name.len()].eq_ignore_ascii_case(name)
                && line[name.len()] == b':'
        })
    };
    RequestLine::of(head).version == b"HTTP/1.1"
        && !has(b"connection")
        && !has(b"content-length")
        && !has(b"transfer-encoding")
}

async fn answer(line: RequestLine<'_>, health: &Health, metrics: &Metrics) -> Response<Bytes> {
    if !matches!(line.method, b"GET" | b"HEAD") {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
    }
    match line.path() {
        // That this is answered is the proof.
        b"/livez" => text(StatusCode::OK, "ok\n".to_owned()),
        b"/startupz" if health.is_started() => text(StatusCode::OK, "ok\n".to_owned()),
        b"/startupz" => text(StatusCode::SERVICE_UNAVAILABLE, "still starting\n".to_owned()),
        b"/readyz" => ready(&health.readiness().await, line.target.ends_with(b"?verbose")),
        b"/metrics" => {
            let (found, ()) = tokio::join!(health.readiness(), metrics.ask());
            metrics.is_ready(found.iter().all(|(_, outcome)| outcome.is_ok()));
            let mut answer = text(StatusCode::OK, metrics.render());
            let format = header::HeaderValue::from_static("text/plain; version=0.0.4");
            answer.headers_mut().insert(header::CONTENT_TYPE, format);
            answer
        }
        _ => text(StatusCode::NOT_FOUND, "not found\n".to_owned()),
    }
}

/// As Kubernetes writes it: failures always, what is well with `?verbose` only.
fn ready(found: &[(&'static str, CheckOutcome)], is_verbose: bool) -> Response<Bytes> {
    let mut lines = String::new();
    for (name, outcome) in found {
        // Writing to a string cannot fail.
        let _ = match outcome {
            Ok(()) if is_verbose => writeln!(lines, "[+]{name} ok"),
            Ok(()) => Ok(()),
            Err(why) => writeln!(lines, "[-]{name} failed: {why}"),
        };
    }
    if found.iter().all(|(_, outcome)| outcome.is_ok()) {
        text(StatusCode::OK, lines + "ok\n")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, lines + "not ready\n")
    }
}

fn text(status: StatusCode, body: String) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// Sends the bytes, closes the sending side, and gives all that comes back, without dates.
    async fn asked(health: &Arc<Health>, bytes: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(serve(listener, Arc::clone(health), Metrics::new(), stopped));
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(bytes.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = String::new();
        let read = socket.read_to_string(&mut answer);
        timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
        stop.send(true).unwrap();
        serving.await.unwrap();
        answer.lines().filter(|line| !line.starts_with("date")).collect::<Vec<_>>().join("|")
    }

    #[tokio::test]
    async fn each_probe_tells_its_state() {
        let health = Arc::new(Health::new());
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let plain = "content-type: text/plain; charset=utf-8";
        assert_eq!(
            asked(&health, &get("/livez")).await,
            format!("HTTP/1.1 200 OK|{plain}|content-length: 3|connection: keep-alive||ok")
        );
        assert!(asked(&health, &get("/startupz")).await.ends_with("||still starting"));
        let unready = asked(&health, &get("/readyz")).await;
        assert!(unready.starts_with("HTTP/1.1 503 "), "{unready}");
        assert!(unready.ends_with("||[-]started failed: still starting|not ready"), "{unready}");
        health.set_started();
        assert!(asked(&health, &get("/startupz")).await.ends_with("||ok"));
        let ready = asked(&health, &get("/readyz?verbose")).await;
        assert!(ready.ends_with("||[+]started ok|[+]serving ok|ok"), "{ready}");
        assert!(asked(&health, &get("/metrics")).await.contains("|portcullis_ready 1|"));
        health.check("database", async || Err("away".to_owned()));
        assert!(asked(&health, &get("/metrics")).await.contains("|portcullis_ready 0|"));
        assert!(asked(&health, &get("/other")).await.starts_with("HTTP/1.1 404 "));
    }

    #[tokio::test]
    async fn a_scraper_keeps_its_connection_and_nonsense_loses_it() {
        let health = Arc::new(Health::new());
        let one = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
        let close = "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert!(asked(&health, close).await.contains("connection: close"));
        assert!(asked(&health, one).await.contains("connection: keep-alive"));
        let post = "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
        assert!(asked(&health, post).await.starts_with("HTTP/1.1 405 "));
        assert!(asked(&health, "GET /livez HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    }
}
