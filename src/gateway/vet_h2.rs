//! Refuses every HTTP/2 head that would not be refused less as an HTTP/1.1 one, and gives it the
//! form that the gate and the upstreams read: one Host, one Cookie.
//!
//! The framing is vetted by the h2 crate, which resets streams with unknown, repeated or late
//! pseudo-headers, capital letters, control characters and connection headers. What is asked
//! of those again here costs little and does not lean on it. It must not know routes or
//! credentials.

use bytes::{BufMut, BytesMut};
use http::{HeaderName, HeaderValue, Method, header};
use pingora::http::RequestHeader;

use super::octets::is_host;
use super::vet::{Fault, Seen, VetLimits, bad, permit_method, too_many_lines};

/// They speak of one connection, and HTTP/2 has other means (RFC 9113, 8.2.2).
const OF_CONNECTIONS: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// What is known of a head that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vetted {
    /// Whether it says nothing of more than itself: a path, no body's length, no expectation. If it
    /// ended its stream, the request is nothing but this head.
    pub(super) is_plain: bool,
}

/// Vets a head as it came from the h2 crate, and completes it.
pub(super) fn vet(head: &mut RequestHeader, limits: VetLimits) -> Result<Vetted, Fault> {
    permit_method(head.method.as_str().as_bytes())?;
    scheme(head)?;
    target(head)?;
    let cookies = head.headers.get_all(header::COOKIE).iter().count();
    // Clients may send each cookie as a line of its own: they count as the one they become.
    if head.headers.len() - cookies.saturating_sub(1) > limits.lines {
        return Err(too_many_lines());
    }
    let mut seen = Seen::default();
    for (name, value) in &head.headers {
        if OF_CONNECTIONS.contains(name) {
            return Err(bad("a header of HTTP/1 connections"));
        }
        if name == header::TE && !value.as_bytes().eq_ignore_ascii_case(b"trailers") {
            return Err(bad("the only TE that HTTP/2 has is trailers"));
        }
        seen.note(name.as_str().as_bytes(), value.as_bytes().trim_ascii())?;
    }
    let host = authority(head)?;
    let set = |done: pingora::Result<()>| done.map_err(|_| bad("a header cannot be written"));
    set(head.insert_header(header::HOST, host))?;
    if cookies > 1 {
        let joined = joined(head.headers.get_all(header::COOKIE).iter());
        let joined = HeaderValue::from_maybe_shared(joined.freeze());
        set(head.insert_header(header::COOKIE, joined.map_err(|_| bad("a Cookie is malformed"))?))?;
    }
    // Nobody could answer it with a 100: clients go on after a moment.
    head.remove_header(&header::EXPECT);
    Ok(Vetted { is_plain: seen.is_plain() && head.raw_path().starts_with(b"/") })
}

fn scheme(head: &RequestHeader) -> Result<(), Fault> {
    match head.uri.scheme_str() {
        None | Some("http" | "https") => Ok(()),
        Some(_) => Err(bad("the :scheme is neither http nor https")),
    }
}

fn target(head: &RequestHeader) -> Result<(), Fault> {
    let target = head.raw_path();
    let is_rooted = target.starts_with(b"/") || (target == b"*" && head.method == Method::OPTIONS);
    // As in HTTP/1: bytes above ASCII are the gate's to refuse.
    if !is_rooted || target.iter().any(|byte| *byte <= b' ' || matches!(byte, 0x7f | b'#')) {
        return Err(bad("the :path is malformed"));
    }
    Ok(())
}

/// The authority, which stands in `:authority`, in Host, or equally in both.
fn authority(head: &RequestHeader) -> Result<HeaderValue, Fault> {
    let host = head.headers.get(header::HOST);
    let Some(authority) = head.uri.authority() else {
        return host.cloned().ok_or(bad("neither :authority nor Host"));
    };
    let text = authority.as_str();
    if text.is_empty() || !text.bytes().all(is_host) {
        return Err(bad("the :authority is malformed"));
    }
    if host.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(text.as_bytes())) {
        return Err(bad(":authority and Host differ"));
    }
    HeaderValue::from_str(text).map_err(|_| bad("the :authority is malformed"))
}

/// RFC 9113, 8.2.3.
fn joined<'a>(cookies: impl Iterator<Item = &'a HeaderValue>) -> BytesMut {
    let mut whole = BytesMut::new();
    for cookie in cookies {
        if !whole.is_empty() {
            whole.put_slice(b"; ");
        }
        whole.put_slice(cookie.as_bytes());
    }
    whole
}

#[cfg(test)]
mod tests {
    use http::{Request, Version};

    use super::*;

    const LIMITS: VetLimits = VetLimits { lines: 5 };

    fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> RequestHeader {
        let mut request = Request::builder().method(method).uri(uri).version(Version::HTTP_2);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0.into()
    }

    fn status(mut head: RequestHeader) -> Option<u16> {
        vet(&mut head, LIMITS).err().map(|fault| fault.status.as_u16())
    }

    fn get(headers: &[(&str, &str)]) -> Option<u16> {
        status(head("GET", "https://a.example/b", headers))
    }

    #[test]
    fn a_plain_head_passes_and_gets_its_host() {
        let mut plain = head("GET", "https://a.example:8443/b?c", &[("te", "trailers")]);
        vet(&mut plain, LIMITS).unwrap();
        assert_eq!(plain.headers[header::HOST], "a.example:8443");
        assert_eq!(get(&[("host", "A.example"), ("content-length", "3")]), None);
        let mut without = head("GET", "/b", &[("host", "a.example")]);
        vet(&mut without, LIMITS).unwrap();
        assert_eq!(without.headers[header::HOST], "a.example");
        assert_eq!(status(head("OPTIONS", "*", &[("host", "a")])), None);
    }

    #[test]
    fn plain_is_only_what_speaks_of_nothing_but_itself() {
        let is_plain = |method, uri, headers: &[(&str, &str)]| {
            vet(&mut head(method, uri, headers), LIMITS).unwrap().is_plain
        };
        for headers in [&[][..], &[("te", "trailers")], &[("cookie", "a=1"), ("cookie", "b=2")]] {
            assert!(is_plain("DELETE", "https://a.example/b", headers), "{headers:?}");
        }
        for headers in
            [("content-length", "0"), ("content-length", "3"), ("expect", "100-continue")]
        {
            assert!(!is_plain("POST", "https://a.example/b", &[headers]), "{headers:?}");
        }
        assert!(!is_plain("OPTIONS", "*", &[("host", "a")]));
    }

    #[test]
    fn crumbs_of_cookies_become_one_cookie() {
        let crumbs = [("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")];
        let mut crumbled = head("GET", "https://a/", &crumbs);
        vet(&mut crumbled, LIMITS).unwrap();
        let all: Vec<_> = crumbled.headers.get_all(header::COOKIE).iter().collect();
        assert_eq!(all, ["a=1; b=2; c=3"]);
    }

    #[test]
    fn heads_with_two_readings_are_refused() {
        for headers in [
            &[("connection", "x-forwarded-user")][..],
            &[("transfer-encoding", "chunked")],
            &[("upgrade", "websocket")],
            &[("keep-alive", "1")],
            &[("proxy-connection", "close")],
            &[("http2-settings", "AAA")],
            &[("te", "gzip")],
            &[("host", "b.example")],
            &[("host", "a.example"), ("host", "a.example")],
            &[("content-length", "1"), ("content-length", "1")],
            &[("content-length", "+1")],
        ] {
            assert_eq!(get(headers), Some(400), "{headers:?}");
        }
        assert_eq!(get(&[("expect", "200-ok")]), Some(417));
        assert_eq!(get(&[("x", "1"); 5]), None);
        assert_eq!(get(&[("x", "1"); 6]), Some(431));
        assert_eq!(status(head("GET", "/b", &[])), Some(400));
        assert_eq!(status(head("GET", "https://user@a.example/", &[])), Some(400));
        assert_eq!(status(head("GET", "ftp://a.example/", &[])), Some(400));
        assert_eq!(status(head("GET", "*", &[("host", "a")])), Some(400));
        for method in ["CONNECT", "TRACE", "TRACK"] {
            assert_eq!(status(head(method, "https://a/", &[])), Some(405), "{method}");
        }
    }

    #[test]
    fn an_expectation_that_nobody_meets_does_not_reach_the_upstream() {
        let mut waiting = head("POST", "https://a/", &[("expect", "100-continue")]);
        vet(&mut waiting, LIMITS).unwrap();
        assert!(!waiting.headers.contains_key(header::EXPECT));
    }
}
