//! What can be seen from outside: metrics, the request log, our own log, traces.
//!
//! Takes finished facts and never decides anything. It must not know gate, API or store:
//! whoever has something to tell brings it as plain data, without tokens, query values,
//! bodies or mail addresses.

pub mod logs;

mod audit;
mod certificates;
mod checks;
mod issuer_series;
mod lines;
mod maker;
mod metrics;
mod process;
mod pulled;
mod record;
mod request_log;
mod scrape;
mod series;
mod trace_series;
mod traces;
mod upstreams;

pub use self::audit::{AuditLog, audit_line};
pub use self::issuer_series::IssuerSeries;
pub use self::metrics::{InFlight, Metrics};
pub use self::record::{Check, Decision, RequestHead, RequestRecord, Tier};
pub use self::request_log::RequestLog;
pub use self::scrape::LogLosses;
pub use self::trace_series::TraceSeries;
pub use self::traces::{
    Arrived, Exporter, Seen, SentBy, SpanName, TRACEPARENT, TRACESTATE, Trace, Tracer, TracesError,
    traces, try_collector,
};
pub use self::upstreams::UpstreamMetrics;
