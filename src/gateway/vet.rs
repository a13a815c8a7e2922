//! Refuses every request head that two servers could read in two ways.
//!
//! Works on the raw bytes, because Pingora repairs or passes much of what is refused here
//! (both Content-Length and Transfer-Encoding, equal Content-Lengths, folded lines in its
//! answers). What passes has exactly one framing, one Host, and nothing but tokens and plain
//! values. It must not know routes or credentials.

use http::StatusCode;

use super::lines::Lines;
use super::octets::{has, is_control, is_host, is_token};
use super::request_line::{RequestLine, is_version};

/// How many header lines are allowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct VetLimits {
    /// Header lines, without the request line.
    pub(super) lines: usize,
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    pub(super) detail: &'static str,
    /// Stable, for clients, logs and metrics.
    pub(super) code: &'static str,
}

#[derive(Clone, Copy)]
enum Version {
    Http10,
    Http11,
}

/// What follows a head on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Length(usize),
    /// Chunks, or after an upgrade anything: only its reader knows where it ends.
    Open,
}

impl Rest {
    /// Where the request ends, of which `received` bytes are there and `head` are its head.
    pub(super) fn end_of(self, head: usize, received: usize) -> usize {
        match self {
            Self::Length(length) => head.saturating_add(length).min(received),
            Self::Open => received,
        }
    }
}

/// What is known of a head that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vetted {
    pub(super) rest: Rest,
    /// Whether the request is nothing but this head, and says so in the plainest way: HTTP/1.1, a
    /// path, no body, no upgrade, no expectation, nothing unusual about the connection.
    pub(super) is_bare: bool,
}

/// Vets a complete head, from the request line to the empty line.
pub(super) fn vet(head: &[u8], limits: VetLimits) -> Result<Vetted, Fault> {
    let mut lines = Lines(head);
    let line = lines.next().unwrap_or_default();
    let version = request_line(line)?;
    let mut seen = Seen::default();
    let mut count = 0;
    for line in lines {
        count += 1;
        if count > limits.lines {
            return Err(too_many_lines());
        }
        header_line(line, &mut seen)?;
    }
    let rest = seen.judge(version)?;
    let is_plain = matches!(version, Version::Http11) && RequestLine::of(line).target[0] == b'/';
    Ok(Vetted {
        rest,
        is_bare: is_plain && rest == Rest::Length(0) && seen.manner == Manner::Plain,
    })
}

fn request_line(line: &[u8]) -> Result<Version, Fault> {
    let RequestLine { method, target, version } = RequestLine::of(line);
    if !is_token(method) {
        return Err(bad("the method is not a token"));
    }
    // Bytes above ASCII are the gate's to refuse. A fragment is never sent; Pingora would drop
    // it silently, so that the rules and the client disagreed.
    if target.is_empty() || has(target, |byte| byte <= b' ' || byte == 0x7f || byte == b'#') {
        return Err(bad("the request target is malformed"));
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        other if is_version(other) => {
            return Err(Fault {
                status: StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                detail: "Only HTTP/1.0 and HTTP/1.1 are spoken here.",
                code: "version_not_supported",
            });
        }
        _ => return Err(bad("the request line is malformed")),
    };
    permit_method(method)?;
    Ok(version)
}

/// CONNECT and the tracing methods have no meaning behind a gateway; TRACE would echo
/// credentials back. Pingora answers CONNECT itself, past every log.
pub(super) fn permit_method(method: &[u8]) -> Result<(), Fault> {
    if matches!(method, b"CONNECT" | b"TRACE" | b"TRACK") {
        return Err(Fault {
            status: StatusCode::METHOD_NOT_ALLOWED,
            detail: "This method is not allowed.",
            code: "method_not_allowed",
        });
    }
    Ok(())
}

fn header_line(line: &[u8], seen: &mut Seen) -> Result<(), Fault> {
    if matches!(line[0], b' ' | b'\t') {
        return Err(bad("a header line is folded"));
    }
    let Some(colon) = memchr::memchr(b':', line) else {
        return Err(bad("a header line has no colon"));
    };
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    // White space before the colon fails here too.
    if !is_token(name) {
        return Err(bad("a header name is not a token"));
    }
    // NUL and bare CR are the dangerous ones: some servers end the value there.
    if has(&line[colon + 1..], is_control) {
        return Err(bad("a header value holds a control character"));
    }
    seen.note(name, value)
}

/// What was found of the headers that decide about framing and authority.
#[derive(Debug, Default)]
pub(super) struct Seen {
    host: bool,
    length: Option<usize>,
    transfer_encoding: bool,
    manner: Manner,
}

/// What a head wants besides its answer; the most of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Manner {
    #[default]
    Plain,
    /// An expectation, or a connection that is more than kept or closed.
    Unusual,
    Upgrade,
}

impl Seen {
    pub(super) fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        // The lengths spare most headers the comparisons.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                once(&mut self.host, "more than one Host")?;
                if value.is_empty() || !value.iter().all(|byte| is_host(*byte)) {
                    return Err(bad("the Host is malformed"));
                }
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.wants(Manner::Upgrade),
            6 if name.eq_ignore_ascii_case(b"expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Fault {
                        status: StatusCode::EXPECTATION_FAILED,
                        detail: "The only expectation that is met here is 100-continue.",
                        code: "expectation_failed",
                    });
                }
                self.wants(Manner::Unusual);
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                let is_usual = value.eq_ignore_ascii_case(b"keep-alive")
                    || value.eq_ignore_ascii_case(b"close");
                self.wants(if is_usual { Manner::Plain } else { Manner::Unusual });
            }
            // Equal repetitions are refused as well: not every server compares them.
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = length(value).ok_or(bad("the Content-Length is not a number"))?;
                if self.length.replace(length).is_some() {
                    return Err(bad("more than one Content-Length"));
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                once(&mut self.transfer_encoding, "more than one Transfer-Encoding")?;
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(bad("the only transfer coding that is taken is chunked"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether nothing but a head was told of, in the plainest way.
    pub(super) fn is_plain(&self) -> bool {
        self.manner == Manner::Plain && self.length.is_none() && !self.transfer_encoding
    }

    fn wants(&mut self, manner: Manner) {
        self.manner = self.manner.max(manner);
    }

    fn judge(&self, version: Version) -> Result<Rest, Fault> {
        if self.length.is_some() && self.transfer_encoding {
            return Err(bad("both Content-Length and Transfer-Encoding"));
        }
        match version {
            Version::Http10 if self.transfer_encoding => {
                Err(bad("Transfer-Encoding in an HTTP/1.0 request"))
            }
            Version::Http11 if !self.host => Err(bad("no Host")),
            _ if self.transfer_encoding || self.manner == Manner::Upgrade => Ok(Rest::Open),
            Version::Http10 | Version::Http11 => Ok(Rest::Length(self.length.unwrap_or(0))),
        }
    }
}

fn length(value: &[u8]) -> Option<usize> {
    let text = str::from_utf8(value).ok()?;
    if text.len() <= 18 && !text.contains('+') { text.parse().ok() } else { None }
}

fn once(seen: &mut bool, detail: &'static str) -> Result<(), Fault> {
    if std::mem::replace(seen, true) { Err(bad(detail)) } else { Ok(()) }
}

pub(super) const fn bad(detail: &'static str) -> Fault {
    Fault { status: StatusCode::BAD_REQUEST, detail, code: "bad_request" }
}

pub(super) const fn too_many_lines() -> Fault {
    Fault {
        status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        detail: "The request has too many headers.",
        code: "head_too_large",
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use futures_util::FutureExt;
    use pingora::protocols::http::v1::server::HttpSession;
    use proptest::prelude::*;

    use super::*;

    const LIMITS: VetLimits = VetLimits { lines: 10 };

    fn status(head: &[u8]) -> Option<u16> {
        vet(head, LIMITS).err().map(|fault| fault.status.as_u16())
    }

    /// A GET with these header lines besides Host.
    fn with(lines: &str) -> Option<u16> {
        status(format!("GET /a HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n\r\n").as_bytes())
    }

    #[test]
    fn plain_requests_pass() {
        assert_eq!(status(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), None);
        assert_eq!(status(b"GET / HTTP/1.0\r\n\r\n"), None);
        assert_eq!(status(b"OPTIONS * HTTP/1.1\r\nhost: [::1]:80\r\n\r\n"), None);
        assert_eq!(status(b"GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n"), None);
        assert_eq!(with("Content-Length: 12\r\nX-Empty:\r\nX-Tab: a\tb \t"), None);
        assert_eq!(with("Transfer-Encoding: Chunked"), None);
        assert_eq!(with("Expect: 100-Continue\r\nContent-Length: 0"), None);
    }

    #[test]
    fn bare_is_only_what_is_nothing_but_a_plain_head() {
        let is_bare = |start: &str, lines: &str| {
            let head = format!("{start}\r\nHost: a\r\n{lines}\r\n");
            vet(head.as_bytes(), LIMITS).unwrap().is_bare
        };
        for lines in
            ["", "Content-Length: 0\r\n", "Connection: close\r\n", "connection: Keep-Alive\r\n"]
        {
            assert!(is_bare("DELETE /a HTTP/1.1", lines), "{lines}");
        }
        for lines in [
            "Content-Length: 1\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Upgrade: websocket\r\n",
            "Expect: 100-continue\r\n",
            "Connection: X-Forwarded-User\r\n",
            "Connection: keep-alive, close\r\n",
            "Connection: close\r\nConnection: Authorization\r\n",
        ] {
            assert!(!is_bare("GET /a HTTP/1.1", lines), "{lines}");
        }
        for start in ["GET /a HTTP/1.0", "GET http://a/b HTTP/1.1", "OPTIONS * HTTP/1.1"] {
            assert!(!is_bare(start, ""), "{start}");
        }
    }

    #[test]
    fn request_lines_with_two_readings_are_refused() {
        for line in [
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            " GET / HTTP/1.1",
            "GET /a b HTTP/1.1",
            "GET\t/ HTTP/1.1",
            "GET / http/1.1",
            "GET / HTTP/1.10",
            "GET /",
            "GET",
            "G\u{e9}T / HTTP/1.1",
            "GET /a#b HTTP/1.1",
            "GET /\0 HTTP/1.1",
            "GET /\u{7f} HTTP/1.1",
        ] {
            let head = format!("{line}\r\nHost: a\r\n\r\n");
            assert_eq!(status(head.as_bytes()), Some(400), "{line:?}");
        }
    }

    #[test]
    fn other_versions_are_505_and_other_methods_405() {
        assert_eq!(status(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"), Some(505));
        for method in ["CONNECT", "TRACE", "TRACK"] {
            let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(status(head.as_bytes()), Some(405), "{method}");
        }
    }

    #[test]
    fn header_lines_with_two_readings_are_refused() {
        for line in [
            "X-A : b",
            " X-A: b",
            "X-A: b\r\n folded",
            "X-A",
            ": b",
            "X(A: b",
            "X-\u{e9}: b",
            "X-A: b\0c",
            "X-A: b\rX-B: c",
            "X-A: b\u{b}c",
            "X-A: b\u{7f}",
        ] {
            assert_eq!(with(line), Some(400), "{line:?}");
        }
        assert_eq!(with("X-A: caf\u{e9}"), None);
    }

    #[test]
    fn framing_must_be_the_only_one_and_plain() {
        for lines in [
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: 1, 1",
            "Content-Length: +1",
            "Content-Length: -1",
            "Content-Length: 0x1",
            "Content-Length: ",
            "Content-Length: 1 1",
            "Content-Length: 1234567890123456789",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: \"chunked\"",
            "Transfer-Encoding:",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 1",
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
        ] {
            assert_eq!(with(lines), Some(400), "{lines:?}");
        }
        let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(status(old), Some(400));
    }

    #[test]
    fn one_host_is_needed_and_no_more() {
        assert_eq!(status(b"GET / HTTP/1.1\r\nX: a\r\n\r\n"), Some(400));
        assert_eq!(with("Host: a.example"), Some(400));
        for host in ["", "a b", "a/b", "a@b", "a,b", "a\\b", "a\u{e9}"] {
            let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(status(head.as_bytes()), Some(400), "{host:?}");
        }
    }

    #[test]
    fn ten_lines_pass_where_ten_are_allowed_and_eleven_do_not() {
        assert_eq!(with(&["X: a"; 9].join("\r\n")), None);
        assert_eq!(with(&["X: a"; 10].join("\r\n")), Some(431));
    }

    #[test]
    fn unknown_expectations_are_417() {
        assert_eq!(with("Expect: 200-ok"), Some(417));
    }

    #[test]
    fn the_log_gets_the_path_without_the_query() {
        let line = RequestLine::of(b"GET /a?token=secret HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((line.method, line.path()), (&b"GET"[..], &b"/a"[..]));
    }

    proptest! {
        /// Pingora's parser never waits for more of a head that passed, and ends it where we do:
        /// were it otherwise, it would read on without a deadline.
        #[test]
        fn pingora_takes_a_vetted_head_as_complete(
            method in "[A-Z!#$%&'*+.^_`|~0-9a-z-]{1,8}",
            target in "[/*h]([!-~&&[^#]]|é){0,20}",
            version in "HTTP/1\\.[01]",
            lines in proptest::collection::vec(
                ("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,10}|Connection|Expect", "[ -~\t]{0,20}|close"), 0..8),
            body in "[ -~\r\n]{0,30}",
        ) {
            let lines: Vec<_> =
                lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let head =
                format!("{method} {target} {version}\r\nHost: a\r\n{}\r\n", lines.concat());
            if vet(head.as_bytes(), LIMITS).is_ok() {
                let (_client, server) = tokio::io::duplex(64);
                let mut session = HttpSession::new(Box::new(server));
                session.set_pipelined_prefix(BytesMut::from(format!("{head}{body}").as_bytes()));
                let parsed = session.read_request().now_or_never();
                match parsed {
                    None => prop_assert!(false, "Pingora waits for more of {head:?}"),
                    Some(Ok(end)) => prop_assert_eq!(end, Some(head.len()), "{:?}", head),
                    Some(Err(_)) => {} // stricter than we are; answered with 400
                }
            }
        }

        #[test]
        fn no_bytes_can_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = vet(&bytes, LIMITS);
            let _ = RequestLine::of(&bytes).path();
        }
    }
}
