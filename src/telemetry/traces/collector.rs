//! One collector, told of spans by OTLP over HTTP: protobuf in a POST, on a connection that is
//! kept.
//!
//! By hand rather than with the crate of OpenTelemetry for it (decision 0015): that one reads the
//! environment by itself, brings a second HTTP client with a TLS of its own, and counts no losses.
//! It must not know when to send, nor when to give up.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::trace::SpanData;
use prost::Message as _;
use tokio::time::timeout;

use crate::dial::Dialer;

/// A collector has little to say.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Longer than this nobody is waited for, whatever `Retry-After` says.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Spans as they are sent.
pub(super) struct Package {
    body: Bytes,
    pub(super) spans: usize,
}

/// Why spans were not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// Nobody is there, or nobody answers: it can be tried again.
    #[error("the connection failed")]
    Connection(#[source] std::io::Error),
    /// The other side does not speak HTTP, or stopped to: it can be tried again.
    #[error("the conversation failed")]
    Http(#[source] hyper::Error),
    /// It took too long: it can be tried again.
    #[error("no answer in time")]
    Slow,
    /// It wants to be asked again, perhaps not before some time.
    #[error("the collector is busy: {0}")]
    Busy(StatusCode, Option<Duration>),
    /// It does not want them at all.
    #[error("the collector refuses: {0}")]
    Refused(StatusCode),
}

/// Where spans go.
pub(super) struct Collector {
    uri: Uri,
    headers: HeaderMap,
    dialer: Dialer,
    timeout: Duration,
    resource: ResourceAttributesWithSchema,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Collector {
    /// `headers`: what it asks for, beside those that describe the message.
    pub(super) fn new(
        uri: Uri,
        mut headers: HeaderMap,
        dialer: Dialer,
        timeout: Duration,
        resource: ResourceAttributesWithSchema,
    ) -> Self {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if let Ok(host) = HeaderValue::from_str(authority) {
            headers.insert(header::HOST, host);
        }
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        headers.insert(header::CONTENT_TYPE, protobuf);
        let name = HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION")));
        headers.entry(header::USER_AGENT).or_insert(name);
        Self { uri, headers, dialer, timeout, resource, open: None }
    }

    /// Its host and port, for the log.
    pub(super) fn name(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    /// Spans as they are sent.
    pub(super) fn pack(&self, spans: Vec<SpanData>) -> Package {
        let count = spans.len();
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec().into();
        Package { body, spans: count }
    }

    /// Sends them once. How many of them the collector did not want after all.
    pub(super) async fn send(&mut self, package: &Package) -> Result<usize, SendError> {
        let limit = self.timeout;
        let sent = timeout(limit, self.converse(package)).await.unwrap_or(Err(SendError::Slow));
        if !matches!(sent, Ok(_) | Err(SendError::Busy(..) | SendError::Refused(_))) {
            // Half a conversation cannot be gone on with.
            self.open = None;
        }
        sent
    }

    async fn converse(&mut self, package: &Package) -> Result<usize, SendError> {
        let mut request = Request::new(Full::new(package.body.clone()));
        *request.method_mut() = http::Method::POST;
        *request.headers_mut() = self.headers.clone();
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = Uri::from_maybe_shared(Bytes::copy_from_slice(path.as_bytes()))
            .unwrap_or_else(|_| Uri::from_static("/"));
        let answer = self.connection().await?.send_request(request).await;
        let answer = answer.map_err(SendError::Http)?;
        let (status, pause) = (answer.status(), retry_after(answer.headers()));
        let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(SendError::Busy(status, pause)),
            status if status.is_success() => {
                // An answer that cannot be read takes nothing back.
                let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
                let unwanted = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
                Ok(usize::try_from(unwanted).unwrap_or(0).min(package.spans))
            }
            status => Err(SendError::Refused(status)),
        }
    }

    async fn connection(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, SendError> {
        let mut kept = self.open.take();
        if let Some(open) = &mut kept
            && open.ready().await.is_err()
        {
            kept = None;
        }
        if let Some(open) = kept {
            return Ok(self.open.insert(open));
        }
        let dialed = self.dialer.dial(&self.uri).await.map_err(SendError::Connection)?;
        let shaken = handshake(TokioIo::new(dialed.stream)).await;
        let (open, connection) = shaken.map_err(SendError::Http)?;
        // Ends with its handle, or with the other side.
        tokio::spawn(connection);
        Ok(self.open.insert(open))
    }
}

impl SendError {
    /// How long it wants to be left alone; `None`: for ever.
    pub(super) fn pause(&self) -> Option<Duration> {
        match self {
            Self::Connection(_) | Self::Http(_) | Self::Slow => Some(Duration::ZERO),
            Self::Busy(_, pause) => Some(pause.unwrap_or_default()),
            Self::Refused(_) => None,
        }
    }
}

/// Seconds only: dates are for people.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}
