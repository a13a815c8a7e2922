//! Answers what is refused before Pingora: written by hand on the bare stream, then closed.
//!
//! It must not know why.

use std::io::Write as _;
use std::time::Duration;

use aws_lc_rs::rand;
use bytes::Bytes;
use http::{Response, StatusCode, header};
use pingora::protocols::http::date::get_cached_date;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::gate::X_REQUEST_ID;

/// For the client to take the answer.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// How long a refused client is still listened to.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// The same for one that was too slow: its next byte would be one more of a drip.
const SLOW_LINGER_TIME: Duration = Duration::from_millis(250);

/// What a refused client may still send while it learns of the refusal.
const LINGER_BYTES: usize = 1 << 20;

/// Most heads of our own answers fit.
const HEAD_BYTES: usize = 512;

/// A name for a request that never reached the gate: 32 hex digits.
pub(super) fn fresh_request_id() -> String {
    let mut bytes = [0; 16];
    // A name without chance in it is still a name; nothing is guarded by it.
    let _ = rand::fill(&mut bytes);
    hex::encode(bytes)
}

/// Whether the answer's body is sent: not to HEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Send {
    Whole,
    HeadOnly,
}

/// Writes an answer and closes, all within [`ANSWER_TIME`] and [`LINGER_TIME`].
pub(super) async fn answer_and_close<S>(
    io: &mut S,
    answer: &Response<Bytes>,
    request_id: &str,
    send: Send,
) where
    S: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let bytes = serialize(answer, request_id, send, "close");
    let write = async {
        io.write_all(&bytes).await?;
        io.flush().await?;
        io.shutdown().await
    };
    if matches!(timeout(ANSWER_TIME, write).await, Ok(Ok(()))) {
        // A close with unread bytes resets the connection, and the reset can overtake the
        // answer: so what comes is read for a moment.
        let is_slow = answer.status() == StatusCode::REQUEST_TIMEOUT;
        let linger = if is_slow { SLOW_LINGER_TIME } else { LINGER_TIME };
        let _ = timeout(linger, swallow(io)).await;
    }
}

/// Closes without a word.
pub(super) async fn close<S: AsyncWrite + Unpin + ?Sized>(io: &mut S) {
    let _ = timeout(ANSWER_TIME, io.shutdown()).await;
}

async fn swallow<S: AsyncRead + Unpin + ?Sized>(io: &mut S) {
    let mut bin = [0; 4096];
    let mut left = LINGER_BYTES;
    while left > 0 {
        match io.read(&mut bin).await {
            Ok(read) if read > 0 => left = left.saturating_sub(read),
            _ => return,
        }
    }
}

/// An answer as it goes over the wire; `connection` is the header's value.
pub(super) fn serialize(
    answer: &Response<Bytes>,
    request_id: &str,
    send: Send,
    connection: &str,
) -> Vec<u8> {
    let status = answer.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut bytes = Vec::with_capacity(HEAD_BYTES + answer.body().len());
    // Writing to memory cannot fail.
    let _ = write!(bytes, "HTTP/1.1 {} {reason}\r\n", status.as_u16());
    let mut line = |name: &[u8], value: &[u8]| {
        for piece in [name, b": ", value, b"\r\n"] {
            bytes.extend_from_slice(piece);
        }
    };
    for (name, value) in answer.headers() {
        if !matches!(*name, header::CONTENT_LENGTH | header::CONNECTION | header::DATE) {
            line(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    line(b"date", get_cached_date().as_bytes());
    line(b"content-length", answer.body().len().to_string().as_bytes());
    if !request_id.is_empty() {
        line(X_REQUEST_ID.as_str().as_bytes(), request_id.as_bytes());
    }
    line(b"connection", connection.as_bytes());
    bytes.extend_from_slice(b"\r\n");
    if send == Send::Whole {
        bytes.extend_from_slice(answer.body());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_one_length_and_closes() {
        let answer = Response::builder()
            .status(408)
            .header("content-type", "application/json")
            .header("content-length", "99")
            .body(Bytes::from_static(b"{}"))
            .unwrap();
        let text = String::from_utf8(serialize(&answer, "id", Send::Whole, "close")).unwrap();
        let (date, rest) = (text.find("date: ").unwrap(), text.find("content-length").unwrap());
        assert_eq!(
            format!("{}{}", &text[..date], &text[rest..]),
            "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\n\
             content-length: 2\r\nx-request-id: id\r\nconnection: close\r\n\r\n{}"
        );
        let head = String::from_utf8(serialize(&answer, "id", Send::HeadOnly, "close")).unwrap();
        assert!(head.ends_with("connection: close\r\n\r\n"));
    }
}
