//! Reads request bodies of what the gateway answers itself: bounded, and to the end where
//! that keeps the connection.
//!
//! It must not know what a body means.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Version, header};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use tokio::time::timeout;

/// An unread rest of this size is read so that the connection can go on.
const SETTLE_BYTES: usize = 64 * 1024;

/// How long that may take, before an answer and after it.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// What is still read after an answer that closes, so that no reset overtakes it.
const LINGER_BYTES: usize = 1 << 20;

/// A body that was read, or why not.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    Whole(Bytes),
    TooLarge,
}

/// What `Content-Length` promises. The head was vetted: there is one and it is a number.
pub(super) fn promised(head: &RequestHeader) -> Option<u64> {
    head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the head says that no body follows it.
pub(super) fn is_absent(head: &RequestHeader) -> bool {
    let chunked = head.headers.contains_key(header::TRANSFER_ENCODING);
    !chunked && promised(head).unwrap_or(0) == 0
}

/// Whether the client waits for our word before it sends the body.
pub(super) fn is_awaiting_continue(session: &ServerSession) -> bool {
    let head = session.req_header();
    head.version == Version::HTTP_11 && head.headers.contains_key(header::EXPECT)
}

/// Reads a body of at most `limit` bytes into memory.
pub(super) async fn read(session: &mut ServerSession, limit: usize) -> pingora::Result<Body> {
    if promised(session.req_header()).is_some_and(|length| length > limit as u64) {
        return Ok(Body::TooLarge);
    }
    if is_awaiting_continue(session) && !session.is_body_done() {
        // Pingora takes the 100 for the answer and would announce a close after it.
        session.set_close_on_response_before_downstream_finish(false);
        let written = session.write_continue_response().await;
        session.set_close_on_response_before_downstream_finish(true);
        written?;
    }
    let Some(first) = session.read_request_body().await? else {
        return Ok(Body::Whole(Bytes::new()));
    };
    let mut whole = BytesMut::from(first);
    while whole.len() <= limit {
        match session.read_request_body().await? {
            Some(piece) => whole.extend_from_slice(&piece),
            None => return Ok(Body::Whole(whole.freeze())),
        }
    }
    Ok(Body::TooLarge)
}

/// Before an answer: reads a small rest of the body, so that the connection can be kept.
pub(super) async fn settle(session: &mut ServerSession) {
    let is_small =
        promised(session.req_header()).is_none_or(|length| length <= SETTLE_BYTES as u64);
    if !session.is_body_done() && is_small && !is_awaiting_continue(session) {
        let _ = timeout(SETTLE_TIME, discard(session, SETTLE_BYTES)).await;
    }
}

/// After an answer that closes: reads on for a moment.
pub(super) async fn linger(session: &mut ServerSession) {
    if !session.is_body_done() {
        let _ = timeout(SETTLE_TIME, discard(session, LINGER_BYTES)).await;
    }
}

async fn discard(session: &mut ServerSession, mut left: usize) {
    while left > 0 {
        match session.read_request_body().await {
            Ok(Some(piece)) => left = left.saturating_sub(piece.len()),
            Ok(None) | Err(_) => return,
        }
    }
}
