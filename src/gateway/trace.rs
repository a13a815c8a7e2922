//! Where a request's trace is told of its way: its place when it comes, each attempt at the
//! upstream, and its end.
//!
//! Where no traces are wanted each of these is one look. It must not know what spans are, nor
//! where they go.

use http::{HeaderMap, StatusCode};
use pingora::Error;
use pingora::http::RequestHeader;

use super::record::Recorder;
use super::request::{Request, head_of};
use super::upstreams::Picked;
use crate::telemetry::{Arrived, Seen, SentBy, SpanName, Trace};

impl Recorder {
    /// Gives a request its place in a trace.
    pub(super) fn begin_trace(&self, request: &mut Request, headers: &HeaderMap) {
        let Some(tracer) = &self.tracer else { return };
        let is_trusted = request.live.gate.forwarder().trusts(request.arrival.peer);
        let sent_by = if is_trusted { SentBy::TrustedProxy } else { SentBy::Stranger };
        let arrived = Arrived { at: request.arrival.at, since: request.arrival.since };
        request.trace = Some(Box::new(tracer.begin(headers, sent_by, arrived)));
    }

    /// Writes down a request that the phases have seen.
    pub(super) fn finished(
        &self,
        head: &RequestHeader,
        status: Option<StatusCode>,
        bytes: u64,
        request: &Request,
    ) {
        let record = request.record(head, status);
        self.write(&record, || head_of(head, bytes));
        if let (Some(tracer), Some(trace)) = (&self.tracer, &request.trace) {
            // Without a route nobody's credential was looked at.
            let is_checked = record.route.is_some();
            let seen = Seen {
                head: head_of(head, bytes),
                scheme: request.arrival.scheme,
                judging: is_checked.then_some(request.judging),
                auth_prefix: &request.live.settings.server.auth_prefix,
            };
            tracer.end(trace, &record, &seen);
        }
    }
}

impl Request {
    /// It goes to this server.
    pub(super) fn goes_to(&mut self, picked: Picked) -> &Picked {
        if let Some(trace) = &mut self.trace {
            trace.goes_to(&picked.peer().label);
        }
        self.peer.insert(picked)
    }

    /// The server that it went to gave no answer.
    pub(super) fn peer_failed(&mut self, error: &Error) {
        if let Some(trace) = &mut self.trace {
            trace.attempt_failed(error.etype().as_str());
        }
        self.leave_peer();
    }

    /// The names of its span, for its line in the log.
    pub(super) fn span_name(&self) -> Option<SpanName> {
        self.trace.as_deref().map(Trace::name)
    }
}
