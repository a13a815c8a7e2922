//! Cleans the response head that comes back from an upstream.
//!
//! Pingora strips nothing on the way to an HTTP/1 client. What is between the upstream and us
//! stays there: hop-by-hop headers and the names in which we tell it who asks. It must not
//! know what the response is about.

use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora::http::ResponseHeader;

use crate::gate::HeaderChanges;

/// RFC 9110, 7.6.1, and those of old proxies. `Transfer-Encoding` is not among them: Pingora
/// has read the body by it and writes its own framing by it.
const HOP_BY_HOP: [HeaderName; 5] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::UPGRADE,
];

/// Removes what is not for the client. `is_ours`: the names that the gateway writes upstream.
pub(super) fn clean(response: &mut ResponseHeader, is_ours: impl Fn(&HeaderName) -> bool) {
    let upgraded = response.status == StatusCode::SWITCHING_PROTOCOLS;
    // Collected first, because hardly any answer has one of them.
    let mut gone: Vec<HeaderName> =
        response.headers.get_all(header::CONNECTION).iter().flat_map(nominated).collect();
    let is_gone = |name: &&HeaderName| HOP_BY_HOP.contains(*name) || is_ours(name);
    gone.extend(response.headers.keys().filter(is_gone).cloned());
    for name in gone {
        // The upgrade is what the client asked for.
        if !(upgraded && name == header::UPGRADE) {
            response.remove_header(&name);
        }
    }
    // Pingora writes its own, but for an upgrade.
    if !upgraded {
        response.remove_header(&header::CONNECTION);
    }
    let is_bodiless = matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if is_bodiless {
        response.remove_header(&header::TRANSFER_ENCODING);
    }
    // Of a 304 it is the length of what was not modified (RFC 9110, 8.6).
    if response.status == StatusCode::NO_CONTENT
        || response.headers.contains_key(header::TRANSFER_ENCODING)
    {
        response.remove_header(&header::CONTENT_LENGTH);
    }
}

/// Changes what the route changes; informational answers stay as they are.
pub(super) fn change(
    response: &mut ResponseHeader,
    changes: &HeaderChanges,
) -> pingora::Result<()> {
    if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    for name in &changes.removed {
        response.remove_header(name);
    }
    for (name, value) in &changes.set {
        response.insert_header(name.clone(), value.clone())?;
    }
    Ok(())
}

/// Whether the length is told once and as a number, if at all. `2, 2` is read in three ways, and
/// what a client makes of it must not differ from what we read.
pub(super) fn has_one_length(response: &ResponseHeader) -> bool {
    let mut lengths = response.headers.get_all(header::CONTENT_LENGTH).iter();
    let is_number = |value: &http::HeaderValue| {
        let digits = value.as_bytes();
        (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
    };
    lengths.next().is_none_or(is_number) && lengths.next().is_none()
}

/// What a `Connection` header names, but for what is never passed on or cannot be taken away.
fn nominated(connection: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    let names = match connection.as_bytes() {
        b"keep-alive" | b"close" => b"",
        names => names,
    };
    names
        .split(|byte| *byte == b',')
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !is_framing(name))
}

/// An upstream that nominates these would make its own body unreadable.
fn is_framing(name: &HeaderName) -> bool {
    matches!(*name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::CONNECTION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(status: u16, lines: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut response = ResponseHeader::build(status, None).unwrap();
        for (name, value) in lines {
            response.append_header(*name, *value).unwrap();
        }
        clean(&mut response, |name| name.as_str().starts_with("x-forwarded-"));
        let mut left: Vec<_> = response.headers.keys().map(ToString::to_string).collect();
        left.sort();
        left
    }

    #[test]
    fn hop_by_hop_and_nominated_headers_stay_behind() {
        let left = cleaned(
            200,
            &[
                ("connection", "keep-alive, X-Inner"),
                ("keep-alive", "timeout=5"),
                ("x-inner", "a"),
                ("proxy-authenticate", "Basic"),
                ("upgrade", "h2c"),
                ("content-length", "3"),
                ("x-app", "b"),
            ],
        );
        assert_eq!(left, ["content-length", "x-app"]);
    }

    #[test]
    fn identity_never_comes_back() {
        let left = cleaned(200, &[("x-forwarded-user", "alice"), ("set-cookie", "a=b")]);
        assert_eq!(left, ["set-cookie"]);
    }

    #[test]
    fn framing_cannot_be_nominated_away() {
        let left = cleaned(200, &[("connection", "content-length"), ("content-length", "3")]);
        assert_eq!(left, ["content-length"]);
    }

    #[test]
    fn an_upgrade_keeps_its_headers() {
        let left = cleaned(101, &[("connection", "Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(left, ["connection", "upgrade"]);
    }
}
