//! Writes the request head that goes upstream. Nothing goes there but through here.
//!
//! Runs once per attempt, after the hop-by-hop headers and what `Connection` names are gone:
//! written earlier, a client could have the identity removed again. Takes the [`Passage`], without which there is no forwarding. It
//! must not know how the passage came about.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType};

use crate::gate::{Arrival, Forwarder, Passage, Strip, X_FORWARDED_PREFIX, X_REQUEST_ID};
use crate::telemetry::{TRACEPARENT, TRACESTATE, Trace};

/// Headers that are mostly there: five of the forwarder, the request's id, four of identity, and
/// what a client sends.
const LINES: usize = 24;

/// What is written into a head that goes upstream.
pub(super) struct Written<'a> {
    pub(super) passage: &'a Passage,
    pub(super) forwarder: &'a Forwarder,
    pub(super) arrival: &'a Arrival<'a>,
    pub(super) request_id: &'a HeaderValue,
    /// In place of the client's.
    pub(super) host: Option<&'a HeaderValue>,
    /// In place of the client's, where traces are wanted.
    pub(super) trace: Option<&'a Trace>,
    /// Whether the head is as the client sent it: what is between it and us is still there.
    pub(super) is_raw: bool,
}

/// A head that goes upstream. The names go out in one spelling, not in the client's.
pub(super) struct Head {
    method: Method,
    uri: Uri,
    version: Version,
    ends_stream: Option<bool>,
    lines: Vec<(HeaderName, HeaderValue)>,
}

/// Makes the upstream's head of the client's. `spoofed` is told each identity header that a
/// client tried to set.
///
/// First what is ours is gathered, each name once and the last word kept; then the client's lines
/// are taken, but for those names.
pub(super) fn write(
    received: &RequestHeader,
    written: &Written<'_>,
    mut spoofed: impl FnMut(&str),
) -> pingora::Result<Head> {
    let Written { passage, trace, is_raw, .. } = written;
    let uri = if passage.is_rewritten() {
        // Origin-form whatever the client sent: the rules and the upstream see the same path.
        passage.target().parse().map_err(|cause| {
            Error::because(ErrorType::InternalError, "the canonical target is no URI", cause)
        })?
    } else {
        received.uri.clone()
    };
    let removed = &passage.request_changes().removed;
    let mut lines = ours(&received.headers, written);
    let count = lines.len();
    for name in received.headers.keys() {
        let is_anothers = trace.is_some() && *name == TRACESTATE;
        if is_anothers || *is_raw && is_hop_by_hop(name) {
            continue;
        }
        if !is_framing(name)
            && let Some(strip) = passage.strip(name)
        {
            if let Strip::Identity(name) = strip {
                spoofed(name);
            }
            continue;
        }
        if !removed.contains(name) && lines[..count].iter().all(|(ours, _)| ours != name) {
            let values = received.headers.get_all(name);
            lines.extend(values.iter().map(|value| (name.clone(), value.clone())));
        }
    }
    Ok(Head {
        method: received.method.clone(),
        uri,
        version: received.version,
        ends_stream: received.send_end_stream(),
        lines,
    })
}

/// Every line that we write, whatever the client sent.
fn ours(headers: &HeaderMap, written: &Written<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let Written { passage, forwarder, arrival, request_id, host, trace, .. } = written;
    let mut lines = Vec::with_capacity(LINES);
    lines.extend(forwarder.headers(arrival));
    lines.push((X_REQUEST_ID, (*request_id).clone()));
    if let Some(trace) = trace {
        // The attempt's span. What a route does with these headers comes after.
        lines.push((TRACEPARENT, trace.parent_for_upstream()));
        lines.extend(trace.state_for_upstream().map(|state| (TRACESTATE, state)));
    }
    if let Some(prefix) = passage.prefix() {
        // What an outer proxy took off comes before it.
        let outer = headers.get(X_FORWARDED_PREFIX);
        let outer = outer.filter(|_| passage.strip(&X_FORWARDED_PREFIX).is_none());
        let whole = match outer {
            Some(outer) => HeaderValue::from_bytes(&[outer.as_bytes(), prefix.as_bytes()].concat()),
            None => Ok(prefix.clone()),
        };
        lines.push((X_FORWARDED_PREFIX, whole.unwrap_or_else(|_| prefix.clone())));
    }
    let changes = passage.request_changes();
    lines.retain(|(name, _)| !changes.removed.contains(name));
    for (name, value) in &changes.set {
        replace(&mut lines, name, value);
    }
    if let Some(host) = host {
        replace(&mut lines, &header::HOST, host);
    }
    // Last, and replacing: no other header can stand beside them under the same name.
    for (name, value) in passage.identity_headers() {
        replace(&mut lines, name, value);
    }
    lines
}

fn replace(lines: &mut Vec<(HeaderName, HeaderValue)>, name: &HeaderName, value: &HeaderValue) {
    match lines.iter_mut().find(|(there, _)| there == name) {
        Some((_, there)) => there.clone_from(value),
        None => lines.push((name.clone(), value.clone())),
    }
}

impl Head {
    /// Its lines, in their order.
    pub(super) fn into_lines(self) -> Vec<(HeaderName, HeaderValue)> {
        self.lines
    }

    /// As Pingora takes it.
    pub(super) fn into_header(self) -> RequestHeader {
        let mut head = Request::new(()).into_parts().0;
        (head.method, head.uri, head.version) = (self.method, self.uri, self.version);
        head.headers.reserve(self.lines.len());
        for (name, value) in self.lines {
            head.headers.append(name, value);
        }
        let mut header = RequestHeader::from(head);
        if let Some(ends_stream) = self.ends_stream {
            header.set_send_end_stream(ends_stream);
        }
        header
    }

    /// As HTTP/1.1 has it.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let target = self.uri.path_and_query().map_or("/", |target| target.as_str());
        let start = [self.method.as_str(), " ", target, " HTTP/1.1\r\n"];
        let line =
            |(name, value): &(HeaderName, HeaderValue)| name.as_str().len() + value.len() + 4;
        let length = target.len() + 32 + self.lines.iter().map(line).sum::<usize>();
        let mut bytes = Vec::with_capacity(length);
        for piece in start {
            bytes.extend_from_slice(piece.as_bytes());
        }
        for (name, value) in &self.lines {
            let begin = bytes.len();
            bytes.extend_from_slice(name.as_str().as_bytes());
            capitalize(&mut bytes[begin..]);
            for piece in [b": ", value.as_bytes(), b"\r\n"] {
                bytes.extend_from_slice(piece);
            }
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

/// Names as most people write them, for applications that read too closely.
fn capitalize(name: &mut [u8]) {
    let mut begins = true;
    for byte in name {
        if begins {
            byte.make_ascii_uppercase();
        }
        begins = *byte == b'-';
    }
}

/// An `Expect` that cannot be met: clients of HTTP/1.0 cannot read the 100 (RFC 9110, 10.1.1).
pub(super) fn drop_unanswerable(request: &mut RequestHeader, spoken: Version) {
    if spoken == Version::HTTP_10 {
        request.remove_header(&header::EXPECT);
    }
}

/// RFC 9110, 7.6.1, and those of old proxies.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION
            | header::PROXY_AUTHENTICATE
            | header::PROXY_AUTHORIZATION
            | header::TE
            | header::TRAILER
            | header::TRANSFER_ENCODING
            | header::UPGRADE
    ) || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}

/// Written by Pingora on its copy: how long the body is and whether it is an upgrade.
fn is_framing(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::HOST
            | header::CONTENT_LENGTH
            | header::TRANSFER_ENCODING
            | header::CONNECTION
            | header::UPGRADE
    )
}
