//! Writes the request head that goes upstream. Nothing goes there but through here.
//!
//! Runs once per attempt on a fresh copy of the client's head, after Pingora has removed the
//! hop-by-hop headers and what `Connection` names: written earlier, a client could have the
//! identity removed again. Takes the [`Passage`], without which there is no forwarding. It
//! must not know how the passage came about.

use http::{HeaderName, HeaderValue, Version, header};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType};

use crate::gate::{Arrival, Forwarder, Passage, Strip, X_REQUEST_ID};

/// Turns the client's head into the upstream's. `spoofed` is told each identity header that a
/// client tried to set.
pub(super) fn write(
    request: &mut RequestHeader,
    passage: &Passage,
    forwarder: &Forwarder,
    arrival: &Arrival<'_>,
    request_id: &HeaderValue,
    mut spoofed: impl FnMut(&str),
) -> pingora::Result<()> {
    if passage.is_rewritten() {
        // Origin-form whatever the client sent: the rules and the upstream see the same path.
        let target = passage.target().parse().map_err(|cause| {
            Error::because(ErrorType::InternalError, "the canonical target is no URI", cause)
        })?;
        request.set_uri(target);
    }

    let mut stripped: Vec<HeaderName> = Vec::new();
    for name in request.headers.keys().filter(|name| !is_framing(name)) {
        if let Some(strip) = passage.strip(name) {
            if let Strip::Identity(name) = strip {
                spoofed(name);
            }
            stripped.push(name.clone());
        }
    }
    for name in &stripped {
        request.remove_header(name);
    }

    for (name, value) in forwarder.headers(arrival) {
        request.insert_header(name, value)?;
    }
    request.insert_header(X_REQUEST_ID, request_id.clone())?;

    // Last, and replacing: no other header can stand beside them under the same name.
    for (name, value) in passage.identity_headers() {
        request.insert_header(name.clone(), value.clone())?;
    }
    Ok(())
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
