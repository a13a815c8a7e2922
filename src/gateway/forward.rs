//! Writes the request head that goes upstream. Nothing goes there but through here.
//!
//! Runs once per attempt, after the hop-by-hop headers and what `Connection` names are gone:
//! written earlier, a client could have the identity removed again. Takes the [`Passage`], without which there is no forwarding. It
//! must not know how the passage came about.

use http::{HeaderName, HeaderValue, Request, Version, header};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType};

use crate::gate::{Arrival, Forwarder, Passage, Strip, X_FORWARDED_PREFIX, X_REQUEST_ID};

/// Headers that are mostly written: five of the forwarder, the request's id, four of identity.
const WRITTEN: usize = 10;

/// What is written into a head that goes upstream.
pub(super) struct Written<'a> {
    pub(super) passage: &'a Passage,
    pub(super) forwarder: &'a Forwarder,
    pub(super) arrival: &'a Arrival<'a>,
    pub(super) request_id: &'a HeaderValue,
    /// In place of the client's.
    pub(super) host: Option<&'a HeaderValue>,
    /// Whether the head is as the client sent it: what is between it and us is still there.
    pub(super) is_raw: bool,
}

/// Makes the upstream's head of the client's. `spoofed` is told each identity header that a
/// client tried to set.
///
/// A new one instead of a changed copy: what is removed is not copied first. The names go out in
/// one spelling, not in the client's: Pingora would keep a second map for that, and allocate
/// twice for each header that is written.
pub(super) fn write(
    received: &RequestHeader,
    written: &Written<'_>,
    mut spoofed: impl FnMut(&str),
) -> pingora::Result<RequestHeader> {
    let Written { passage, forwarder, arrival, request_id, host, is_raw } = written;
    let mut head = Request::new(()).into_parts().0;
    head.method = received.method.clone();
    head.version = received.version;
    head.uri = if passage.is_rewritten() {
        // Origin-form whatever the client sent: the rules and the upstream see the same path.
        passage.target().parse().map_err(|cause| {
            Error::because(ErrorType::InternalError, "the canonical target is no URI", cause)
        })?
    } else {
        received.uri.clone()
    };

    let headers = &mut head.headers;
    headers.reserve(received.headers.keys_len() + WRITTEN);
    for name in received.headers.keys() {
        if *is_raw && is_hop_by_hop(name) {
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
        for value in received.headers.get_all(name) {
            headers.append(name.clone(), value.clone());
        }
    }

    for (name, value) in forwarder.headers(arrival) {
        headers.insert(name, value);
    }
    headers.insert(X_REQUEST_ID, (*request_id).clone());
    if let Some(prefix) = passage.prefix() {
        // What an outer proxy took off comes before it.
        let whole = match headers.get(X_FORWARDED_PREFIX) {
            Some(outer) => HeaderValue::from_bytes(&[outer.as_bytes(), prefix.as_bytes()].concat()),
            None => Ok(prefix.clone()),
        };
        headers.insert(X_FORWARDED_PREFIX, whole.unwrap_or_else(|_| prefix.clone()));
    }
    let changes = passage.request_changes();
    for name in &changes.removed {
        headers.remove(name);
    }
    for (name, value) in &changes.set {
        headers.insert(name.clone(), value.clone());
    }
    if let Some(host) = host {
        headers.insert(header::HOST, (*host).clone());
    }

    // Last, and replacing: no other header can stand beside them under the same name.
    for (name, value) in passage.identity_headers() {
        headers.insert(name.clone(), value.clone());
    }
    let mut head = RequestHeader::from(head);
    if let Some(ends_stream) = received.send_end_stream() {
        head.set_send_end_stream(ends_stream);
    }
    Ok(head)
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
