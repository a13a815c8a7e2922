//! A client that speaks HTTP/1.1: a connection of its own.
//!
//! Heads are written without being held in a map first: what is not for the client is left out on
//! the way. It must not know what is decided, nor which server answers.

use std::fmt::Write as _;
use std::io;
use std::mem::MaybeUninit;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use pingora::http::RequestHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::date::get_cached_date;
use pingora::{BError, Error, ErrorType, OrErr as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client::{Client, Framing};
use crate::gateway::edge::{self, Send};
use crate::gateway::returned::Returned;

/// Header lines that are parsed; vetting allows no more.
const MOST_LINES: usize = 256;

/// Most heads of answers fit.
const HEAD_BYTES: usize = 1024;

/// What is gathered of a body that comes in faster than it can be sent: a few large writes wake
/// the other side less often than many.
const BATCH: usize = 256 * 1024;

/// One request's client.
pub(super) struct OverHttp1<'a> {
    io: &'a mut Stream,
    head: RequestHeader,
    /// Whether the connection can take another request after this one.
    keeps: bool,
    /// Of what was sent, if anything of it was.
    status: Option<StatusCode>,
    body_bytes: u64,
    /// Written, but not sent yet; with the status that it begins with.
    pending: BytesMut,
    pending_status: Option<StatusCode>,
    framing: Framing,
}

impl<'a> OverHttp1<'a> {
    /// `None` if the head is not as plain as it looked. `has_turns`: the connection may take more.
    pub(super) fn read(io: &'a mut Stream, head: &Bytes, has_turns: bool) -> Option<Self> {
        let head = parse(head)?;
        let connection = head.headers.get(header::CONNECTION).map(HeaderValue::as_bytes);
        let closes = connection.is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
        Some(Self {
            io,
            head,
            keeps: has_turns && !closes,
            status: None,
            body_bytes: 0,
            pending: BytesMut::new(),
            pending_status: None,
            framing: Framing::None,
        })
    }

    /// Whether the connection can take another request.
    pub(super) fn keeps(&self) -> bool {
        self.keeps
    }

    async fn push(&mut self) -> Result<()> {
        if !self.pending.is_empty() {
            self.status = self.status.or(self.pending_status);
            told(self.io.write_all(&self.pending).await, ErrorType::WriteError)?;
            self.pending.clear();
        }
        Ok(())
    }

    fn connection(&self) -> &'static str {
        if self.keeps { "keep-alive" } else { "close" }
    }

    fn start_line(&mut self, returned: &Returned<'_>) -> Result<()> {
        self.pending.reserve(HEAD_BYTES);
        let Returned { status, reason, .. } = returned;
        write!(self.pending, "HTTP/1.1 {} {reason}\r\n", status.as_u16())
            .or_err(ErrorType::InternalError, "writing a head")
    }

    fn lines(&mut self, returned: &Returned<'_>) {
        returned.each(|spelled, _, value| self.line(spelled, value));
    }

    fn line(&mut self, name: &[u8], value: &[u8]) {
        let whole = name.len() + value.len() + 4;
        self.pending.reserve(whole);
        for piece in [name, b": ", value, b"\r\n"] {
            self.pending.put_slice(piece);
        }
    }
}

impl Client for OverHttp1<'_> {
    fn head(&self) -> &RequestHeader {
        &self.head
    }

    fn status(&self) -> Option<StatusCode> {
        self.status
    }

    fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    fn close(&mut self) {
        self.keeps = false;
    }

    async fn gone(&mut self) -> BError {
        let mut byte = [0; 1];
        // What it says meanwhile is kept by the wire.
        match told(self.io.read(&mut byte).await, ErrorType::ReadError) {
            Ok(_) => Error::new_down(ErrorType::ConnectionClosed),
            Err(error) => error,
        }
    }

    async fn answer(&mut self, answer: Response<Bytes>, request_id: &str) -> Result<()> {
        let send = if self.is_head() { Send::HeadOnly } else { Send::Whole };
        let bytes = edge::serialize(&answer, request_id, send, self.connection());
        self.status = Some(answer.status());
        self.body_bytes = if send == Send::Whole { answer.body().len() as u64 } else { 0 };
        let io = &mut *self.io;
        let work = async {
            io.write_all(&bytes).await?;
            io.flush().await
        };
        told(work.await, ErrorType::WriteError)
    }

    async fn inform(&mut self, returned: &Returned<'_>) -> Result<()> {
        self.start_line(returned)?;
        self.lines(returned);
        self.pending.put_slice(b"\r\n");
        self.flush().await
    }

    fn begin(
        &mut self,
        returned: &Returned<'_>,
        framing: Framing,
        request_id: &HeaderValue,
    ) -> Result<()> {
        self.start_line(returned)?;
        self.lines(returned);
        if framing == Framing::Chunked || self.is_head() && returned.is_chunked() {
            self.line(b"Transfer-Encoding", b"chunked");
        }
        self.line(b"Date", get_cached_date().as_bytes());
        self.line(b"X-Request-Id", request_id.as_bytes());
        self.line(b"Connection", self.connection().as_bytes());
        self.pending.put_slice(b"\r\n");
        (self.pending_status, self.framing) = (Some(returned.status), framing);
        Ok(())
    }

    async fn piece(&mut self, piece: &[u8]) -> Result<()> {
        // An empty one would end a chunked body.
        if piece.is_empty() || self.framing == Framing::None {
            return Ok(());
        }
        self.body_bytes += piece.len() as u64;
        if self.framing == Framing::Chunked {
            let _ = write!(self.pending, "{:x}\r\n", piece.len());
        }
        self.pending.put_slice(piece);
        if self.framing == Framing::Chunked {
            self.pending.put_slice(b"\r\n");
        }
        if self.pending.len() < BATCH { Ok(()) } else { self.push().await }
    }

    async fn finish(&mut self) -> Result<()> {
        if self.framing == Framing::Chunked {
            self.pending.put_slice(b"0\r\n\r\n");
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<()> {
        self.push().await?;
        told(self.io.flush().await, ErrorType::WriteError)
    }
}

fn told<T>(outcome: io::Result<T>, kind: ErrorType) -> Result<T> {
    outcome.or_err(kind, "the client's connection").map_err(Error::into_down)
}

/// The head as Pingora holds one, but for the spelling of names: nobody is told how a client spells.
fn parse(bytes: &Bytes) -> Option<RequestHeader> {
    let mut lines = [const { MaybeUninit::uninit() }; MOST_LINES];
    let mut parsed = httparse::Request::new(&mut []);
    let outcome = parsed.parse_with_uninit_headers(bytes, &mut lines);
    if !matches!(outcome, Ok(httparse::Status::Complete(end)) if end == bytes.len()) {
        return None;
    }
    let mut head = Request::new(()).into_parts().0;
    head.method = parsed.method?.parse().ok()?;
    head.uri = http::Uri::from_maybe_shared(bytes.slice_ref(parsed.path?.as_bytes())).ok()?;
    head.headers.reserve(parsed.headers.len());
    for line in parsed.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(line.value)).ok()?;
        head.headers.append(name, value);
    }
    Some(RequestHeader::from(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_line_by_line_and_a_broken_one_is_not_ours() {
        let read = |text: &'static str| parse(&Bytes::from_static(text.as_bytes()));
        let head = read("GET /a?b=%2f HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a:  2 \r\n\r\n").unwrap();
        assert_eq!((head.method.as_str(), head.raw_path()), ("GET", &b"/a?b=%2f"[..]));
        let values: Vec<_> = head.headers.get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        for broken in ["GET /a HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nA : b\r\n\r\n", ""] {
            assert!(read(broken).is_none(), "{broken:?}");
        }
    }
}
