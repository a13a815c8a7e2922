//! One line in the request log and one count in the metrics for each request, also for those
//! that never got as far as the phases.
//!
//! It must not know how lines and counts are kept.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderMap;

use super::arrival::Arrival;
use super::request_line::RequestLine;
use crate::clock::Clock;
use crate::telemetry::{
    Arrived, Decision, Metrics, RequestHead, RequestLog, RequestRecord, Seen, SentBy, Tracer,
};

/// Methods and paths of refused requests are anybody's bytes: the log gets this much of them.
const LOGGED_BYTES: usize = 1024;

/// Writes records.
#[derive(Clone)]
pub(super) struct Recorder {
    pub(super) metrics: Arc<Metrics>,
    pub(super) log: Arc<RequestLog>,
    pub(super) clock: Clock,
    /// Makes traces, if any are wanted.
    pub(super) tracer: Option<Arc<Tracer>>,
}

impl Recorder {
    /// A request that the phases have seen.
    pub(super) fn write<'a>(
        &self,
        record: &RequestRecord<'_>,
        head: impl FnOnce() -> RequestHead<'a>,
    ) {
        self.metrics.request(record);
        self.log.write_with(record, head);
    }

    /// A request that was refused before the phases. `first_line`: as far as it was read.
    pub(super) fn refused_early(
        &self,
        arrival: &Arrival,
        first_line: &[u8],
        status: u16,
        reason: &'static str,
        request_id: &str,
    ) {
        self.metrics.refused_by_server(reason);
        let line = RequestLine::of(first_line);
        let (method, path) = (printable(line.method), printable(line.path()));
        let trace = self.tracer.as_ref().map(|tracer| {
            let arrived = Arrived { at: arrival.at, since: arrival.since };
            (tracer, tracer.begin(&HeaderMap::new(), SentBy::Stranger, arrived))
        });
        let record = RequestRecord {
            at: arrival.at,
            method: &method,
            path: &path,
            status,
            duration: arrival.since.elapsed(),
            peer: peer(arrival),
            client: peer(arrival),
            request_id,
            route: None,
            decision: Decision::Deny,
            reason,
            is_observed: false,
            credential: "none",
            check: None,
            user_id: None,
            user_name: None,
            asked_by: None,
            upstream: None,
            span: trace.as_ref().map(|(_, trace)| trace.name()),
        };
        let version = match line.version {
            b"HTTP/1.0" => Some("1.0"),
            b"HTTP/1.1" => Some("1.1"),
            b"HTTP/2.0" => Some("2"),
            _ => None,
        };
        let head = RequestHead { version, ..RequestHead::default() };
        self.log.write_with(&record, || head);
        if let Some((tracer, trace)) = &trace {
            tracer.end(trace, &record, &Seen { head, scheme: arrival.scheme, ..Seen::default() });
        }
    }

    /// A connection that was not taken. Counted only: a flood must not fill the log.
    pub(super) fn connection_refused(&self, peer: Option<SocketAddr>, reason: &'static str) {
        self.metrics.refused_by_server(reason);
        let ip = peer.map(|peer| peer.ip().to_string()).unwrap_or_default();
        tracing::debug!(source.ip = ip, reason, "connection refused");
    }
}

fn peer(arrival: &Arrival) -> Option<&str> {
    arrival.peer_text.as_ref()?.to_str().ok()
}

/// Visible ASCII; anything else becomes a dot, so that no line of the log can be forged.
fn printable(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take(LOGGED_BYTES)
        .map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_could_forge_a_log_line_become_dots() {
        assert_eq!(printable(b"/a\r\nb\x1b\xff"), "/a..b..");
        assert_eq!(printable(&[b'a'; 5000]).len(), LOGGED_BYTES);
    }
}
