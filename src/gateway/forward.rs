//! Writes the request head that goes upstream. Nothing goes there but through here.
//!
//! Runs once per attempt, after the hop-by-hop headers and what `Connection` names are gone:
//! written earlier, a client could have the identity removed again. Takes the [`Passage`], without which there is no forwarding. It
//! must not know how the passage came about.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType};

use crate::gate::{Arrival, Forwarder, Passage, Strip, X_FORWARDED_PREFIX, X_REQUEST_ID};
use crate::telemetry::{TRACEPARENT, TRACESTATE, Trace};

/// Headers that are mostly there: five of the forwarder, the request's id, four of identity, and
/// what a client sends.
const LINES: usize = 24;

/// What is written into a head that goes upstream.
pub(super) struct Written<'a, 'b> {
    pub(super) passage: &'a Passage,
    pub(super) forwarder: &'a Forwarder,
    pub(super) arrival: &'b Arrival<'b>,
    pub(super) request_id: &'a HeaderValue,
    /// In place of the client's.
    pub(super) host: Option<&'a HeaderValue>,
    /// In place of the client's, where traces are wanted.
    pub(super) trace: Option<&'a Trace>,
    /// Whether the head is as the client sent it: what is between it and us is still there.
    pub(super) is_raw: bool,
}

/// A head that goes upstream. The names go out in one spelling, not in the client's.
///
/// Nothing is copied before it is known in which form it is wanted.
pub(super) struct Head<'a> {
    method: &'a Method,
    uri: Cow<'a, Uri>,
    version: Version,
    ends_stream: Option<bool>,
    lines: Lines<'a>,
}

type Lines<'a> = Vec<(Cow<'a, HeaderName>, Cow<'a, HeaderValue>)>;

/// Makes the upstream's head of the client's. `spoofed` is told each identity header that a
/// client tried to set.
///
/// First what is ours is gathered, each name once and the last word kept; then the client's lines
/// are taken, but for those names.
pub(super) fn write<'a>(
    received: &'a RequestHeader,
    written: &Written<'a, '_>,
    mut spoofed: impl FnMut(&str),
) -> pingora::Result<Head<'a>> {
    let Written { passage, trace, is_raw, .. } = written;
    let uri = if passage.is_rewritten() {
        // Origin-form whatever the client sent: the rules and the upstream see the same path.
        Cow::Owned(passage.target().parse().map_err(|cause| {
            Error::because(ErrorType::InternalError, "the canonical target is no URI", cause)
        })?)
    } else {
        Cow::Borrowed(&received.uri)
    };
    let removed = &passage.request_changes().removed;
    let mut lines = ours(&received.headers, written);
    let count = lines.len();
    let mut goes = |name: &HeaderName, ours: &Lines<'_>| {
        let is_anothers = trace.is_some() && *name == TRACESTATE;
        if is_anothers || *is_raw && is_hop_by_hop(name) {
            return false;
        }
        if !is_framing(name)
            && let Some(strip) = passage.strip(name)
        {
            if let Strip::Identity(name) = strip {
                spoofed(name);
            }
            return false;
        }
        !removed.contains(name) && ours[..count].iter().all(|(ours, _)| **ours != *name)
    };
    let mut last: Option<(&HeaderName, bool)> = None;
    for (name, value) in &received.headers {
        // Lines of one name come one after the other, and share their fate.
        let goes = match last {
            Some((same, goes)) if std::ptr::eq(same, name) => goes,
            _ => goes(name, &lines),
        };
        last = Some((name, goes));
        if goes {
            lines.push((Cow::Borrowed(name), Cow::Borrowed(value)));
        }
    }
    Ok(Head {
        method: &received.method,
        uri,
        version: received.version,
        ends_stream: received.send_end_stream(),
        lines,
    })
}

/// Every line that we write, whatever the client sent.
fn ours<'a>(headers: &HeaderMap, written: &Written<'a, '_>) -> Lines<'a> {
    let Written { passage, forwarder, arrival, request_id, host, trace, .. } = written;
    let mut lines = Vec::with_capacity(LINES);
    let told = forwarder.headers(arrival);
    lines.extend(told.map(|(name, value)| (Cow::Owned(name), Cow::Owned(value))));
    lines.push((Cow::Owned(X_REQUEST_ID), Cow::Borrowed(*request_id)));
    if let Some(trace) = trace {
        // The attempt's span. What a route does with these headers comes after.
        lines.push((Cow::Owned(TRACEPARENT), Cow::Owned(trace.parent_for_upstream())));
        let state = trace.state_for_upstream();
        lines.extend(state.map(|state| (Cow::Owned(TRACESTATE), Cow::Owned(state))));
    }
    if let Some(prefix) = passage.prefix() {
        // What an outer proxy took off comes before it.
        let outer = headers.get(X_FORWARDED_PREFIX);
        let outer = outer.filter(|_| passage.strip(&X_FORWARDED_PREFIX).is_none());
        let whole = outer.and_then(|outer| {
            HeaderValue::from_bytes(&[outer.as_bytes(), prefix.as_bytes()].concat()).ok()
        });
        let whole = whole.map_or(Cow::Borrowed(prefix), Cow::Owned);
        lines.push((Cow::Owned(X_FORWARDED_PREFIX), whole));
    }
    let changes = passage.request_changes();
    if !changes.removed.is_empty() {
        lines.retain(|(name, _)| !changes.removed.contains(name));
    }
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

fn replace<'a>(lines: &mut Lines<'a>, name: &'a HeaderName, value: &'a HeaderValue) {
    match lines.iter_mut().find(|(there, _)| **there == *name) {
        Some((_, there)) => *there = Cow::Borrowed(value),
        None => lines.push((Cow::Borrowed(name), Cow::Borrowed(value))),
    }
}

impl Head<'_> {
    /// Its lines, in their order.
    pub(super) fn into_lines(self) -> Vec<(HeaderName, HeaderValue)> {
        let lines = self.lines.into_iter();
        lines.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }

    /// As Pingora takes it.
    pub(super) fn into_header(self) -> RequestHeader {
        let mut head = Request::new(()).into_parts().0;
        (head.method, head.version) = (self.method.clone(), self.version);
        head.uri = self.uri.into_owned();
        head.headers.reserve(self.lines.len());
        for (name, value) in self.lines {
            head.headers.append(name.into_owned(), value.into_owned());
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
        let lines = self.lines.iter();
        let lines = lines.map(|(name, value)| name.as_str().len() + value.len() + 4);
        let mut bytes = Vec::with_capacity(target.len() + 32 + lines.sum::<usize>());
        for piece in [self.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
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
