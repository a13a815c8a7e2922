//! A collector for tests: takes OTLP over HTTP and keeps the spans, decoded by the official types.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::IntoResponse;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// A collector that listens.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    spans: Mutex<Vec<Span>>,
    resources: Mutex<Vec<Value>>,
    headers: Mutex<Vec<HeaderMap>>,
    /// What is answered first, before all is taken.
    answers: Mutex<Vec<Reply>>,
    came: Notify,
}

/// What the collector says to a package.
#[derive(Clone, Copy)]
pub(crate) enum Reply {
    Status(u16),
    /// It does not want so many of them.
    Partial(i64),
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self::answering(&[]).await
    }

    /// The last of `answers` is given first.
    pub(crate) async fn answering(answers: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (receiver, app) = Self::with(address, answers);
        tokio::spawn(async move { axum::serve(listener, app).await });
        receiver
    }

    /// One that somebody else lets listen.
    pub(crate) fn with(address: SocketAddr, answers: &[Reply]) -> (Self, axum::Router) {
        let seen = Arc::new(Seen { answers: Mutex::new(answers.to_vec()), ..Seen::default() });
        let take = axum::routing::post(take);
        let app = axum::Router::new().route("/v1/traces", take).with_state(Arc::clone(&seen));
        (Self { address, seen }, app)
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The headers of every package so far.
    pub(crate) fn headers(&self) -> Vec<HeaderMap> {
        self.seen.headers.lock().unwrap().clone()
    }

    pub(crate) fn resource(&self) -> Value {
        self.seen.resources.lock().unwrap()[0].clone()
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.seen.spans.lock().unwrap().clone()
    }

    /// The spans of the first trace with a span of this name, at least so many.
    pub(crate) async fn trace(&self, name: &str, count: usize) -> Vec<Span> {
        let found = async {
            loop {
                let came = self.seen.came.notified();
                let spans = self.spans();
                if let Some(wanted) = spans.iter().find(|span| span.name == name) {
                    let same = |span: &&Span| span.trace_id == wanted.trace_id;
                    let trace: Vec<_> = spans.iter().filter(same).cloned().collect();
                    if trace.len() >= count {
                        return trace;
                    }
                }
                came.await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(10), found).await;
        found.unwrap_or_else(|_| panic!("{count} spans with {name} in {:#?}", self.spans()))
    }
}

async fn take(State(seen): State<Arc<Seen>>, request: Request) -> axum::response::Response {
    let (head, body) = request.into_parts();
    assert_eq!(head.headers[header::CONTENT_TYPE], "application/x-protobuf");
    let body = body.collect().await.unwrap().to_bytes();
    seen.headers.lock().unwrap().push(head.headers);
    let mut answer = ExportTraceServiceResponse::default();
    match seen.answers.lock().unwrap().pop() {
        Some(Reply::Status(status)) => {
            return StatusCode::from_u16(status).unwrap().into_response();
        }
        Some(Reply::Partial(rejected_spans)) => {
            let error_message = "not these".to_owned();
            answer.partial_success =
                Some(ExportTracePartialSuccess { rejected_spans, error_message });
        }
        None => {}
    }
    for resource in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
        let attributes = resource.resource.unwrap_or_default().attributes;
        seen.resources.lock().unwrap().push(told(&attributes));
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        seen.spans.lock().unwrap().extend(spans);
    }
    seen.came.notify_waiters();
    answer.encode_to_vec().into_response()
}

/// Attributes as an object.
pub(crate) fn told(attributes: &[KeyValue]) -> Value {
    let read = |pair: &KeyValue| {
        let value = match pair.value.clone().and_then(|value| value.value) {
            Some(any_value::Value::StringValue(text)) => json!(text),
            Some(any_value::Value::IntValue(number)) => json!(number),
            other => panic!("{}: {other:?}", pair.key),
        };
        (pair.key.clone(), value)
    };
    Value::Object(attributes.iter().map(read).collect::<Map<_, _>>())
}
