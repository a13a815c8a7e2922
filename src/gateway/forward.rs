//! Writes the request head that goes upstream. Nothing goes there but through here.
//!
//! Runs once per attempt on a fresh copy of the client's head, after Pingora has removed the
//! hop-by-hop headers and what `Connection` names: written earlier, a client could have the
//! identity removed again. Takes the [`Passage`], without which there is no forwarding. It
//! must not know how the passage came about.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Version, header};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType};

use crate::gate::{Arrival, Forwarder, Passage, Strip, X_FORWARDED_PREFIX, X_REQUEST_ID};

/// Headers that are mostly written: five of the forwarder, the request's id, four of identity.
const WRITTEN: usize = 10;

/// Turns the client's head into the upstream's. `host`: in place of the client's. `spoofed` is
/// told each identity header that a client tried to set.
///
/// The names go out in one spelling, not in the client's: Pingora would keep a second map for
/// that, and allocate twice for each header that is written.
pub(super) fn write(
    request: &mut RequestHeader,
    passage: &Passage,
    forwarder: &Forwarder,
    arrival: &Arrival<'_>,
    request_id: &HeaderValue,
    host: Option<&HeaderValue>,
    mut spoofed: impl FnMut(&str),
) -> pingora::Result<()> {
    let ends_stream = request.send_end_stream();
    let mut head = Parts::from(std::mem::replace(request, blank()));
    if passage.is_rewritten() {
        // Origin-form whatever the client sent: the rules and the upstream see the same path.
        head.uri = passage.target().parse().map_err(|cause| {
            Error::because(ErrorType::InternalError, "the canonical target is no URI", cause)
        })?;
    }

    let headers = &mut head.headers;
    let mut stripped: Vec<HeaderName> = Vec::new();
    for name in headers.keys().filter(|name| !is_framing(name)) {
        if let Some(strip) = passage.strip(name) {
            if let Strip::Identity(name) = strip {
                spoofed(name);
            }
            stripped.push(name.clone());
        }
    }
    for name in &stripped {
        headers.remove(name);
    }

    headers.reserve(WRITTEN);
    for (name, value) in forwarder.headers(arrival) {
        headers.insert(name, value);
    }
    headers.insert(X_REQUEST_ID, request_id.clone());
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
        headers.insert(header::HOST, host.clone());
    }

    // Last, and replacing: no other header can stand beside them under the same name.
    for (name, value) in passage.identity_headers() {
        headers.insert(name.clone(), value.clone());
    }
    *request = RequestHeader::from(head);
    if let Some(ends_stream) = ends_stream {
        request.set_send_end_stream(ends_stream);
    }
    Ok(())
}

/// Stands in while the head is worked on.
fn blank() -> RequestHeader {
    Request::new(()).into_parts().0.into()
}

/// An `Expect` that cannot be met: clients of HTTP/1.0 cannot read the 100 (RFC 9110, 10.1.1).
pub(super) fn drop_unanswerable(request: &mut RequestHeader, spoken: Version) {
    if spoken == Version::HTTP_10 {
        request.remove_header(&header::EXPECT);
    }
}

/// Written by Pingora on this copy: how long the body is and whether it is an upgrade.
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
