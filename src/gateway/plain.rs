//! Reads the heads of answers as most applications give them: HTTP/1.1, whole, one told length.
//!
//! What is less plain is nobody's fault and is left to Pingora's session: chunks, what ends with the
//! connection, informational answers, folded lines, HTTP/1.0, and everything that is broken. It
//! must not know what the answer is about.

use std::mem::MaybeUninit;

use http::{HeaderName, StatusCode, header};

use super::returned::{Line, is_bodiless, length};

/// Heads with more lines are not plain.
const MOST_LINES: usize = 96;

/// The head of a plain answer.
pub(super) struct Plain<'a> {
    pub(super) status: StatusCode,
    pub(super) reason: &'a str,
    pub(super) lines: Vec<Line<'a>>,
    /// Where its body begins, and how long that is.
    pub(super) end: usize,
    pub(super) length: usize,
    /// Whether the connection can take another request.
    pub(super) is_kept: bool,
}

impl<'a> Plain<'a> {
    /// `None`: it is not plain, or not all there.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut lines = [const { MaybeUninit::uninit() }; MOST_LINES];
        let mut parsed = httparse::Response::new(&mut []);
        let outcome = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut parsed,
            bytes,
            &mut lines,
        );
        let Ok(httparse::Status::Complete(end)) = outcome else { return None };
        let status = StatusCode::from_u16(parsed.code?).ok()?;
        if parsed.version != Some(1) || status.is_informational() {
            return None;
        }
        let (mut told, mut is_kept) = (None, true);
        let mut lines = Vec::with_capacity(parsed.headers.len());
        for line in parsed.headers.iter() {
            let (spelled, value) = (line.name.as_bytes(), line.value);
            let name = HeaderName::from_bytes(spelled).ok()?;
            if name == header::CONTENT_LENGTH {
                if told.replace(length(value)?).is_some() {
                    return None;
                }
            } else if name == header::CONNECTION {
                let closes = value.eq_ignore_ascii_case(b"close");
                if !closes && !value.eq_ignore_ascii_case(b"keep-alive") {
                    return None;
                }
                is_kept &= !closes;
            } else if name == header::TRANSFER_ENCODING {
                return None;
            }
            lines.push(Line { spelled, name, value });
        }
        let length = if is_bodiless(status) { 0 } else { told? };
        Some(Self { status, reason: parsed.reason?, lines, end, length, is_kept })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(u16, String, usize, usize, bool)> {
        let Plain { status, reason, end, length, is_kept, .. } = Plain::read(text.as_bytes())?;
        Some((status.as_u16(), reason.to_owned(), end, length, is_kept))
    }

    #[test]
    fn a_plain_answer_has_one_length_and_is_all_there() {
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\n";
        assert_eq!(read(ok), Some((200, "OK".to_owned(), ok.len(), 2, true)));
        assert_eq!(read(&format!("{ok}ok")), read(ok));
        for cut in 1..ok.len() {
            assert_eq!(read(&ok[..cut]), None, "{cut}");
        }
        let lines = Plain::read(ok.as_bytes()).unwrap().lines;
        let lines: Vec<_> = lines.iter().map(|line| (line.spelled, line.value)).collect();
        assert_eq!(lines, [(&b"Content-Length"[..], &b"2"[..]), (b"X-A", b"b")]);
    }

    #[test]
    fn what_has_no_body_needs_no_length() {
        for status in ["204 No Content", "304 Not Modified"] {
            for lines in ["", "Content-Length: 7\r\n"] {
                let found = read(&format!("HTTP/1.1 {status}\r\n{lines}\r\n")).unwrap();
                assert_eq!((found.3, found.4), (0, true), "{status} {lines}");
            }
        }
        assert_eq!(read("HTTP/1.1 200 OK\r\n\r\n"), None);
    }

    #[test]
    fn the_server_says_whether_the_connection_stays() {
        let is_kept = |lines: &str| {
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{lines}\r\n");
            read(&text).map(|found| found.4)
        };
        assert_eq!(is_kept("Connection: Keep-Alive\r\n"), Some(true));
        assert_eq!(is_kept("Connection: Close\r\n"), Some(false));
        assert_eq!(is_kept("Connection: close\r\nConnection: keep-alive\r\n"), Some(false));
        assert_eq!(is_kept("Connection: X-Inner\r\n"), None);
        assert_eq!(is_kept("Connection: close, X-Inner\r\n"), None);
        assert_eq!(is_kept("Connection: close\r\nConnection: X-Inner\r\n"), None);
    }

    #[test]
    fn whatever_is_less_plain_or_broken_is_left_to_others() {
        for text in [
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000000\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 2x0 OK\r\nContent-Length: 2\r\n\r\nok",
            "",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
