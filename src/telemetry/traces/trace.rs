//! One request's place in a trace: continued from a trusted proxy, or begun here.
//!
//! Trace context as the W3C has it (`traceparent`, `tracestate`). What is malformed is as good as
//! absent. It must not know what spans tell.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use tokio::time::Instant;

use crate::model::Timestamp;

/// `traceparent`.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// `tracestate`.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What of a `tracestate` is carried on; the W3C asks for no more.
const LONGEST_STATE: usize = 512;

/// When a request came.
#[derive(Debug, Clone, Copy)]
pub struct Arrived {
    /// By the clock.
    pub at: Timestamp,
    /// The same moment, to measure from.
    pub since: Instant,
}

/// The names of a span, for the line of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanName {
    /// The trace's.
    pub trace: [u8; 16],
    /// The span's.
    pub span: [u8; 8],
}

/// One request's place in a trace.
#[derive(Debug)]
pub struct Trace {
    pub(super) id: TraceId,
    /// The request's own span.
    pub(super) server: SpanId,
    /// The span of the trusted proxy that sent it.
    pub(super) parent: Option<SpanId>,
    pub(super) is_sampled: bool,
    pub(super) state: TraceState,
    /// What a stranger named.
    pub(super) link: Option<SpanContext>,
    pub(super) arrived: Arrived,
    /// When its phases began.
    pub(super) begun: Instant,
    /// The end point of our own API that it was for, below its prefix.
    pub(super) endpoint: Option<&'static str>,
    pub(super) attempts: Vec<Attempt>,
}

/// One attempt at the upstream.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) span: SpanId,
    /// The server's address.
    pub(super) server: String,
    pub(super) began: Instant,
    /// When it failed, and how; `None` for the one that was answered, or is under way.
    pub(super) failed: Option<(Instant, String)>,
}

impl Trace {
    /// What the line of the request tells.
    #[must_use]
    pub fn name(&self) -> SpanName {
        SpanName { trace: self.id.to_bytes(), span: self.server.to_bytes() }
    }

    /// It is for an end point of our own API.
    pub fn is_for(&mut self, endpoint: &'static str) {
        self.endpoint = Some(endpoint);
    }

    /// It goes to this server. An attempt before that nobody spoke of again is lost.
    pub fn goes_to(&mut self, server: &str) {
        self.attempt_failed("ConnectionClosed");
        let span = fresh_span();
        // Nobody reads it where nothing is recorded.
        let server = if self.is_sampled { server.to_owned() } else { String::new() };
        self.attempts.push(Attempt { span, server, began: Instant::now(), failed: None });
    }

    /// The attempt under way came to nothing.
    pub fn attempt_failed(&mut self, error: &str) {
        if let Some(attempt) = self.attempts.last_mut().filter(|last| last.failed.is_none()) {
            let error = if self.is_sampled { error.to_owned() } else { String::new() };
            attempt.failed = Some((Instant::now(), error));
        }
    }

    /// What the upstream is told: the attempt's span, or the request's where there is none.
    #[must_use]
    pub fn parent_for_upstream(&self) -> HeaderValue {
        let span = self.attempts.last().map_or(self.server, |attempt| attempt.span);
        let flags = if self.is_sampled { "01" } else { "00" };
        let text = format!("00-{:032x}-{:016x}-{flags}", self.id, span);
        HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
            .unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// What goes with it; `None`: nothing, not even what the client sent.
    #[must_use]
    pub fn state_for_upstream(&self) -> Option<HeaderValue> {
        let text = self.state.header();
        if text.is_empty() { None } else { text.parse().ok() }
    }
}

/// The span that the headers name, if they name exactly one.
pub(super) fn named(headers: &HeaderMap) -> Option<SpanContext> {
    let mut lines = headers.get_all(TRACEPARENT).iter();
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    let (id, span, flags) = parse(line.as_bytes())?;
    Some(SpanContext::new(id, span, flags, true, state(headers)))
}

/// `00-<32 hex>-<16 hex>-<2 hex>`, in lower case; later versions may have more behind it.
fn parse(text: &[u8]) -> Option<(TraceId, SpanId, TraceFlags)> {
    let is_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let (known, rest) = text.split_at_checked(55)?;
    let parts = [&known[..2], &known[3..35], &known[36..52], &known[53..]];
    let has_dashes = [2, 35, 52].iter().all(|at| known[*at] == b'-');
    let [version, id, span, flags] = parts;
    let has_more = version != b"00" && rest.first() == Some(&b'-');
    if !has_dashes || !parts.into_iter().all(is_hex) || version == b"ff" {
        return None;
    }
    if !rest.is_empty() && !has_more {
        return None;
    }
    let mut bytes = ([0; 16], [0; 8], [0; 1]);
    hex::decode_to_slice(id, &mut bytes.0).ok()?;
    hex::decode_to_slice(span, &mut bytes.1).ok()?;
    hex::decode_to_slice(flags, &mut bytes.2).ok()?;
    let (id, span) = (TraceId::from_bytes(bytes.0), SpanId::from_bytes(bytes.1));
    let is_good = id != TraceId::INVALID && span != SpanId::INVALID;
    is_good.then(|| (id, span, TraceFlags::new(bytes.2[0]) & TraceFlags::SAMPLED))
}

/// All lines of `tracestate` together; empty if they are malformed or too long.
fn state(headers: &HeaderMap) -> TraceState {
    let lines = headers.get_all(TRACESTATE);
    let lines: Option<Vec<&str>> = lines.iter().map(|line| line.to_str().ok()).collect();
    let text = lines.unwrap_or_default().join(",");
    if text.len() > LONGEST_STATE { TraceState::NONE } else { text.parse().unwrap_or_default() }
}

/// A name for a span; never the one that stands for none.
pub(super) fn fresh_span() -> SpanId {
    use opentelemetry_sdk::trace::IdGenerator as _;
    opentelemetry_sdk::trace::RandomIdGenerator::default().new_span_id()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_well_formed_traceparent_names_a_span() {
        let named = named(&headers(&[("traceparent", GOOD), ("tracestate", "a=1,b@c=2")])).unwrap();
        assert_eq!(format!("{:032x}", named.trace_id()), &GOOD[3..35]);
        assert_eq!(format!("{:016x}", named.span_id()), &GOOD[36..52]);
        assert!(named.is_sampled() && named.is_remote());
        assert_eq!(named.trace_state().header(), "a=1,b@c=2");
    }

    #[test]
    fn later_versions_may_say_more_and_unknown_flags_are_dropped() {
        for text in [
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().2, TraceFlags::SAMPLED, "{text}");
        }
        let unsampled = GOOD.replace("-01", "-02");
        assert_eq!(parse(unsampled.as_bytes()).unwrap().2, TraceFlags::NOT_SAMPLED);
    }

    #[test]
    fn what_is_malformed_names_nothing() {
        for text in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "+0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(named(&headers(&[("traceparent", text)])), None, "{text}");
        }
        assert_eq!(named(&headers(&[("traceparent", GOOD), ("traceparent", GOOD)])), None);
        assert_eq!(named(&headers(&[("tracestate", "a=1")])), None);
    }

    #[test]
    fn a_malformed_state_is_dropped_and_the_trace_goes_on() {
        for state in ["no pair", "A=1", &format!("a={}", "x".repeat(600))] {
            let named = named(&headers(&[("traceparent", GOOD), ("tracestate", state)])).unwrap();
            assert_eq!(named.trace_state().header(), "", "{state}");
        }
        let lines = [("traceparent", GOOD), ("tracestate", "a=1"), ("tracestate", "b=2")];
        assert_eq!(named(&headers(&lines)).unwrap().trace_state().header(), "a=1,b=2");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_can_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            let _ = parse(&bytes);
        }
    }
}
