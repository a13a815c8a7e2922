//! Traces: what a request went through, told to a collector of OpenTelemetry (OTLP over HTTP).
//!
//! A request is given its place in a trace when it comes ([`Trace`]), and becomes spans when it is
//! over, of the same facts as its line in the log. It must not know Pingora, and decides nothing
//! about requests. Switched off, there is no [`Tracer`], and a request pays one look for it.

mod collector;
mod exporter;
mod spans;
mod trace;
mod tracer;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use opentelemetry::KeyValue;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource;
use tokio::sync::mpsc;

pub use self::exporter::Exporter;
pub use self::spans::Seen;
pub use self::trace::{Arrived, SpanName, TRACEPARENT, TRACESTATE, Trace};
pub use self::tracer::{SentBy, Tracer};

use self::collector::Collector;
use super::trace_series::TraceSeries;
use crate::config::{PairError, Traces};
use crate::dial::{Dialer, TrustError};

/// Requests whose spans wait for the exporter: some seconds of a busy gateway, some megabytes.
const QUEUE: usize = 4096;

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The address is none.
    #[error("traces.endpoint is not the address of a collector")]
    Endpoint,
    /// The headers or attributes are none.
    #[error("traces.headers or traces.resource_attributes: {0}")]
    Pairs(#[from] PairError),
    /// The file with authorities cannot be read.
    #[error("traces.ca_file cannot be read")]
    File(#[source] std::io::Error),
    /// Nobody could prove to be the collector.
    #[error("the collector cannot be asked by HTTPS (traces.endpoint, traces.ca_file): {0}")]
    Trust(#[from] TrustError),
    /// A package was not taken.
    #[error("spans are not taken")]
    Send(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What makes traces and what sends them, if any are wanted. `farewell`: what the last ones may
/// take at the end.
///
/// # Errors
/// They are wanted and cannot be sent.
pub fn traces(
    settings: &Traces,
    series: &Arc<TraceSeries>,
    farewell: Duration,
) -> Result<Option<(Tracer, Exporter)>, TracesError> {
    if !settings.is_on() {
        return Ok(None);
    }
    let collector = collector(settings)?;
    let (queue, queued) = mpsc::channel(QUEUE);
    let tracer = Tracer::new(settings, queue, Arc::clone(series));
    let farewell = farewell.min(*settings.timeout);
    let exporter = Exporter::new(queued, collector, Arc::clone(series), farewell);
    Ok(Some((tracer, exporter)))
}

/// Whether the collector takes what is sent: a package without spans.
///
/// # Errors
/// It does not, or cannot be reached.
pub async fn try_collector(settings: &Traces) -> Result<(), TracesError> {
    let mut collector = collector(settings)?;
    let nothing = collector.pack(Vec::new());
    collector.send(&nothing).await.map(|_| ()).map_err(|error| TracesError::Send(error.into()))
}

fn collector(settings: &Traces) -> Result<Collector, TracesError> {
    let uri = settings.collector().ok_or(TracesError::Endpoint)?;
    let dialer = if uri.scheme_str() == Some("https") {
        let authorities = settings.ca_file.as_ref().map(std::fs::read).transpose();
        Dialer::secured(authorities.map_err(TracesError::File)?.as_deref())?
    } else {
        Dialer::plain()
    };
    let headers: HeaderMap = settings.header_pairs()?.into_iter().collect();
    let resource = resource(settings)?;
    let timeout = *settings.timeout;
    Ok(Collector::new(uri, headers, dialer, timeout, resource))
}

/// What every span is said to come from. The detectors of the library would read the environment.
fn resource(settings: &Traces) -> Result<ResourceAttributesWithSchema, PairError> {
    let more = settings.attributes()?;
    // The name that is meant for it wins over one among the others, unless it is only the default.
    let is_named = settings.service_name != Traces::default().service_name;
    let more = more.into_iter().filter(|(key, _)| !(is_named && key == "service.name"));
    let own = [
        KeyValue::new("service.name", settings.service_name.clone()),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("telemetry.sdk.name", "opentelemetry"),
        KeyValue::new("telemetry.sdk.language", "rust"),
    ];
    let resource = Resource::builder_empty()
        .with_attributes(own)
        .with_attributes(more.map(|(key, value)| KeyValue::new(key, value)))
        .build();
    Ok((&resource).into())
}
