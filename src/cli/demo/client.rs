//! The demo's client: one request, one answer, over a connection of its own.
//!
//! Real HTTP over a real socket, so that the demo shows what any client would see. It must
//! not know the gateway.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What to ask.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) json: Option<serde_json::Value>,
}

impl Ask {
    pub(super) fn get(path: &'static str) -> Self {
        Self { method: Method::GET, path, headers: Vec::new(), json: None }
    }

    pub(super) fn post(path: &'static str, json: serde_json::Value) -> Self {
        Self { method: Method::POST, path, headers: Vec::new(), json: Some(json) }
    }

    /// `POST` without a body.
    pub(super) fn act(path: &'static str) -> Self {
        Self { method: Method::POST, path, headers: Vec::new(), json: None }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// The same request for a shell.
    pub(super) fn curl(&self, gateway: SocketAddr) -> String {
        let mut words = vec!["curl".to_owned()];
        if self.method != Method::GET && self.json.is_none() {
            words.push(format!("-X {}", self.method));
        }
        words.push(format!("http://{gateway}{}", self.path));
        let headers = self.headers.iter().map(|(name, value)| format!("-H '{name}: {value}'"));
        let body = self.json.iter().map(|json| format!("--json '{json}'"));
        let first = words.join(" ");
        std::iter::once(first).chain(headers).chain(body).collect::<Vec<_>>().join(" \\\n    ")
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// The body as JSON; `Null` if it is none.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Sends the request and reads the whole answer, within ten seconds.
pub(super) async fn exchange(gateway: SocketAddr, ask: &Ask) -> anyhow::Result<Answer> {
    tokio::time::timeout(Duration::from_secs(10), converse(gateway, ask))
        .await
        .context("no answer within ten seconds")?
}

async fn converse(gateway: SocketAddr, ask: &Ask) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect(gateway).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(&ask.method)
        .uri(ask.path)
        .header("Host", gateway.to_string())
        .header("User-Agent", "portcullis-demo");
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    let body = match &ask.json {
        Some(json) => {
            request = request.header("Content-Type", "application/json");
            Bytes::from(json.to_string())
        }
        None => Bytes::new(),
    };
    let answer = sender.send_request(request.body(Full::new(body))?).await?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: parts.status, headers: parts.headers, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_shown_as_the_curl_line_that_repeats_it() {
        let gateway = SocketAddr::from(([127, 0, 0, 1], 8000));
        let ask = Ask::post("/auth/token/login/", serde_json::json!({"username": "ada"}));
        assert_eq!(
            ask.curl(gateway),
            "curl http://127.0.0.1:8000/auth/token/login/ \\\n    --json '{\"username\":\"ada\"}'"
        );
        assert_eq!(
            Ask::act("/auth/token/logout/").bearer("t").curl(gateway),
            "curl -X POST http://127.0.0.1:8000/auth/token/logout/ \\\n    -H 'Authorization: Bearer t'"
        );
    }
}
