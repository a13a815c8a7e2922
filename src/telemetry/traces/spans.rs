//! The spans of a finished request: its own, the gate's check, each attempt at the upstream.
//!
//! Names are those of OpenTelemetry's semantic conventions for HTTP, and `portcullis.…` as in the
//! request log. It must not know where spans go, and no token, query value, body or address of a
//! mail is ever handed to it.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tokio::time::Instant;

use super::trace::{Attempt, Trace};
use crate::telemetry::lines::{MAX_TEXT, cut, domain, path};
use crate::telemetry::record::{Decision, RequestHead, RequestRecord};
use crate::telemetry::series::method_label;

/// What spans tell beyond the record.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen<'a> {
    /// What is known of the head.
    pub head: RequestHead<'a>,
    /// `http` or `https`, as our listener speaks it.
    pub scheme: &'static str,
    /// How long the gate took; `None` where it had nothing to check.
    pub judging: Option<Duration>,
    /// Where our own API is served.
    pub auth_prefix: &'a str,
}

/// How many spans there will be.
pub(super) fn count(trace: &Trace, seen: &Seen<'_>) -> usize {
    1 + usize::from(seen.judging.is_some()) + trace.attempts.len()
}

/// All of them, the request's own first.
pub(super) fn of(
    trace: &Trace,
    record: &RequestRecord<'_>,
    seen: &Seen<'_>,
    tells_user: bool,
) -> Vec<SpanData> {
    let end = trace.arrived.since + record.duration;
    let mut spans = Vec::with_capacity(count(trace, seen));
    spans.push(server(trace, record, seen, tells_user, end));
    if let Some(took) = seen.judging {
        spans.push(check(trace, record, took));
    }
    for (number, attempt) in trace.attempts.iter().enumerate() {
        spans.push(client(trace, record, attempt, number, end));
    }
    spans
}

fn server(
    trace: &Trace,
    record: &RequestRecord<'_>,
    seen: &Seen<'_>,
    tells_user: bool,
    end: Instant,
) -> SpanData {
    let Seen { head, scheme, auth_prefix, .. } = *seen;
    let method = method_label(record.method);
    let own = trace.endpoint.map(|endpoint| format!("{auth_prefix}{endpoint}"));
    // A label has methods, hosts and the path: the request has its own method, the rest is its name.
    let label = record.route.map(|label| label.rsplit_once(' ').map_or(label, |(_, name)| name));
    let route = own.as_deref().or(label);
    let template = route.and_then(|route| route.get(route.find('/')?..));
    let mut told = Told::new(24);
    told.word("http.request.method", method);
    if method == "_OTHER" {
        told.text("http.request.method_original", Some(cut(record.method, MAX_TEXT)));
    }
    told.word("url.scheme", scheme);
    told.text("url.path", Some(path(record.path)));
    told.text("http.route", template);
    told.text("server.address", head.host.map(domain));
    told.number("server.port", head.host.and_then(port));
    told.status(record.status);
    told.text("network.protocol.version", head.version);
    told.text("client.address", record.client);
    told.text("network.peer.address", record.peer);
    told.text("user_agent.original", head.user_agent.map(|agent| cut(agent, MAX_TEXT)));
    told.text("user.id", record.user_id.filter(|_| tells_user));
    told.text("http.request.id", Some(record.request_id));
    told.text("portcullis.route", record.route);
    told.word("portcullis.decision", record.decision.as_str());
    told.word("portcullis.reason", record.reason);
    told.some_word("portcullis.asked_by", record.asked_by);
    told.text("portcullis.upstream", record.upstream);
    let status = match failure(record) {
        Some(error) => {
            told.text("error.type", Some(&error));
            // A client that went away, or is told of its own fault, is none of ours.
            if record.status >= 500 { Status::error("") } else { Status::Unset }
        }
        None => Status::Unset,
    };
    let name = if method == "_OTHER" { "HTTP" } else { method };
    let name = match route {
        Some(route) => Cow::Owned(format!("{name} {route}")),
        None => Cow::Borrowed(name),
    };
    let mut span = span(trace, trace.server, name, SpanKind::Server, told.0);
    span.parent_span_id = trace.parent.unwrap_or(SpanId::INVALID);
    span.parent_span_is_remote = trace.parent.is_some();
    span.start_time = moment(trace, trace.arrived.since);
    span.end_time = moment(trace, end);
    span.status = status;
    span.links.links.extend(trace.link.clone().map(Link::with_context));
    span
}

fn check(trace: &Trace, record: &RequestRecord<'_>, took: Duration) -> SpanData {
    let mut told = Told::new(6);
    told.word("portcullis.credential", record.credential);
    told.some_word("portcullis.tier", record.check.map(|check| check.tier.as_str()));
    told.word("portcullis.decision", record.decision.as_str());
    told.word("portcullis.reason", record.reason);
    told.some_word("portcullis.mode", record.is_observed.then_some("observe"));
    let mut span = span(
        trace,
        super::trace::fresh_span(),
        "portcullis.auth".into(),
        SpanKind::Internal,
        told.0,
    );
    span.parent_span_id = trace.server;
    span.start_time = moment(trace, trace.begun);
    span.end_time = moment(trace, trace.begun + took);
    span
}

fn client(
    trace: &Trace,
    record: &RequestRecord<'_>,
    attempt: &Attempt,
    number: usize,
    end: Instant,
) -> SpanData {
    let method = method_label(record.method);
    let (address, port) = match attempt.server.rsplit_once(':') {
        // The path of a unix socket may have colons.
        Some((host, port)) if !attempt.server.starts_with("unix:") => {
            (host.trim_start_matches('[').trim_end_matches(']'), port.parse::<u16>().ok())
        }
        _ => (attempt.server.strip_prefix("unix:").unwrap_or(&attempt.server), None),
    };
    let mut told = Told::new(8);
    told.word("http.request.method", method);
    told.text("server.address", Some(address));
    told.number("server.port", port.map(i64::from));
    told.number("http.request.resend_count", i64::try_from(number).ok().filter(|n| *n > 0));
    told.text("portcullis.upstream", record.upstream);
    // What was refused or went wrong after all was answered by ourselves.
    let is_theirs = record.decision == Decision::Allow || record.is_observed;
    let error = match &attempt.failed {
        Some((_, error)) => Some(Cow::Borrowed(error.as_str())),
        None if is_theirs => {
            told.status(record.status);
            let is_bad = record.status >= 400;
            failure(record).or_else(|| is_bad.then(|| Cow::Owned(record.status.to_string())))
        }
        None => failure(record),
    };
    told.text("error.type", error.as_deref());
    let name = if method == "_OTHER" { "HTTP" } else { method };
    let mut span = span(trace, attempt.span, name.into(), SpanKind::Client, told.0);
    span.parent_span_id = trace.server;
    span.start_time = moment(trace, attempt.began);
    span.end_time = moment(trace, attempt.failed.as_ref().map_or(end, |(at, _)| *at));
    if error.is_some() {
        span.status = Status::error("");
    }
    span
}

/// What went wrong, in a word of a closed list, or the status.
fn failure(record: &RequestRecord<'_>) -> Option<Cow<'static, str>> {
    let is_gone = matches!(record.reason, "client_closed" | "credential_ended");
    if record.decision == Decision::Error || is_gone {
        return Some(Cow::Borrowed(record.reason));
    }
    (record.status >= 500).then(|| Cow::Owned(record.status.to_string()))
}

fn span(
    trace: &Trace,
    id: SpanId,
    name: Cow<'static, str>,
    kind: SpanKind,
    attributes: Vec<KeyValue>,
) -> SpanData {
    let state = trace.state.clone();
    let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"));
    SpanData {
        span_context: SpanContext::new(trace.id, id, TraceFlags::SAMPLED, false, state),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: kind,
        name,
        start_time: UNIX_EPOCH,
        end_time: UNIX_EPOCH,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope.with_version(env!("CARGO_PKG_VERSION")).build(),
    }
}

/// When that was by the clock.
fn moment(trace: &Trace, instant: Instant) -> SystemTime {
    let arrived = u64::try_from(trace.arrived.at.micros()).unwrap_or(0);
    let since = instant.saturating_duration_since(trace.arrived.since);
    UNIX_EPOCH.checked_add(Duration::from_micros(arrived) + since).unwrap_or(UNIX_EPOCH)
}

fn port(host: &str) -> Option<i64> {
    host.rsplit_once(':')?.1.parse::<u16>().ok().map(i64::from)
}

/// The attributes of a span; what is not known is left out.
struct Told(Vec<KeyValue>);

impl Told {
    fn new(most: usize) -> Self {
        Self(Vec::with_capacity(most))
    }

    fn word(&mut self, key: &'static str, word: &'static str) {
        self.0.push(KeyValue::new(key, word));
    }

    fn some_word(&mut self, key: &'static str, word: Option<&'static str>) {
        if let Some(word) = word {
            self.word(key, word);
        }
    }

    fn text(&mut self, key: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.0.push(KeyValue::new(key, text.to_owned()));
        }
    }

    fn number(&mut self, key: &'static str, number: Option<i64>) {
        if let Some(number) = number {
            self.0.push(KeyValue::new(key, number));
        }
    }

    /// Not the 0 of a client that went away before.
    fn status(&mut self, status: u16) {
        self.number("http.response.status_code", Some(i64::from(status)).filter(|s| *s > 0));
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use tokio::sync::mpsc;

    use super::*;
    use crate::config::Traces;
    use crate::telemetry::Metrics;
    use crate::telemetry::record::{sample, sample_head};
    use crate::telemetry::traces::{Arrived, SentBy, Tracer};

    fn trace() -> Trace {
        let (queue, _) = mpsc::channel(1);
        let tracer = Tracer::new(&Traces::default(), queue, Metrics::new().traces().clone());
        let arrived = Arrived { at: sample().at, since: Instant::now() };
        tracer.begin(&HeaderMap::new(), SentBy::Stranger, arrived)
    }

    fn told(span: &SpanData, key: &str) -> String {
        let found = span.attributes.iter().find(|told| told.key.as_str() == key);
        found.map(|told| told.value.to_string()).unwrap_or_default()
    }

    fn own(record: &RequestRecord<'_>) -> SpanData {
        let seen = Seen { head: sample_head(), scheme: "https", ..Seen::default() };
        of(&trace(), record, &seen, false).remove(0)
    }

    #[test]
    fn a_span_lasts_as_long_as_its_request() {
        let span = own(&sample());
        let start = UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_042);
        assert_eq!(span.start_time, start);
        assert_eq!(span.end_time, start + sample().duration);
        assert_eq!(told(&span, "server.port"), "8443");
        assert_eq!(told(&span, "user.id"), "");
    }

    #[test]
    fn a_route_names_the_span_without_its_methods() {
        for (label, name, template) in [
            ("/app/", "GET /app/", "/app/"),
            ("GET,HEAD /app/", "GET /app/", "/app/"),
            ("GET a.example,b.example/app/", "GET a.example,b.example/app/", "/app/"),
        ] {
            let span = own(&RequestRecord { route: Some(label), ..sample() });
            assert_eq!((&*span.name, told(&span, "http.route")), (name, template.to_owned()));
            assert_eq!(told(&span, "portcullis.route"), label);
        }
        assert_eq!(own(&RequestRecord { route: None, ..sample() }).name, "GET");
    }

    #[test]
    fn only_our_own_trouble_is_an_error_of_the_request() {
        for (status, decision, reason, error, is_error) in [
            (200, Decision::Allow, "authenticated", "", false),
            (404, Decision::Allow, "authenticated", "", false),
            (500, Decision::Allow, "authenticated", "500", true),
            (401, Decision::Deny, "expired", "", false),
            (503, Decision::Error, "unavailable", "unavailable", true),
            (0, Decision::Allow, "client_closed", "client_closed", false),
        ] {
            let span = own(&RequestRecord { status, decision, reason, ..sample() });
            assert_eq!(told(&span, "error.type"), error, "{reason} {status}");
            assert_eq!(span.status != Status::Unset, is_error, "{reason} {status}");
            let code = if status == 0 { String::new() } else { status.to_string() };
            assert_eq!(told(&span, "http.response.status_code"), code);
        }
    }

    #[test]
    fn a_server_is_told_by_address_and_port_or_by_its_socket() {
        for (server, address, port) in [
            ("192.0.2.1:3000", "192.0.2.1", "3000"),
            ("[2001:db8::1]:3000", "2001:db8::1", "3000"),
            ("unix:/run/a:1.sock", "/run/a:1.sock", ""),
        ] {
            let mut trace = trace();
            trace.goes_to(server);
            let span = of(&trace, &sample(), &Seen::default(), false).remove(1);
            let seen = (told(&span, "server.address"), told(&span, "server.port"));
            assert_eq!(seen, (address.to_owned(), port.to_owned()));
        }
    }

    #[test]
    fn the_status_of_an_attempt_is_the_upstreams_own() {
        let mut trace = trace();
        trace.goes_to("192.0.2.1:1");
        for (status, decision, reason, code, error) in [
            (200, Decision::Allow, "authenticated", "200", ""),
            (404, Decision::Allow, "authenticated", "404", "404"),
            (503, Decision::Allow, "authenticated", "503", "503"),
            (504, Decision::Error, "upstream_timeout", "", "upstream_timeout"),
            (413, Decision::Deny, "body_too_large", "", ""),
        ] {
            let record = RequestRecord { status, decision, reason, ..sample() };
            let span = of(&trace, &record, &Seen::default(), false).remove(1);
            assert_eq!(told(&span, "http.response.status_code"), code, "{reason}");
            assert_eq!(told(&span, "error.type"), error, "{reason}");
            assert_eq!(span.status != Status::Unset, !error.is_empty(), "{reason}");
        }
    }

    #[test]
    fn an_attempt_that_nobody_spoke_of_again_is_lost() {
        let mut trace = trace();
        trace.goes_to("192.0.2.1:1");
        trace.goes_to("192.0.2.1:1");
        trace.attempt_failed("ReadTimedout");
        trace.attempt_failed("told twice");
        trace.goes_to("192.0.2.1:2");
        let spans = of(&trace, &sample(), &Seen::default(), false);
        let errors: Vec<_> = spans.iter().map(|span| told(span, "error.type")).collect();
        assert_eq!(errors, ["", "ConnectionClosed", "ReadTimedout", ""]);
        let resent: Vec<_> =
            spans[1..].iter().map(|s| told(s, "http.request.resend_count")).collect();
        assert_eq!(resent, ["", "1", "2"]);
    }

    #[test]
    fn the_token_of_a_mailed_link_is_left_out() {
        let path = "/auth/pages/password/MQ/diqrgt-0123/?a=b";
        assert_eq!(
            told(&own(&RequestRecord { path, ..sample() }), "url.path"),
            "/auth/pages/password/"
        );
    }
}
