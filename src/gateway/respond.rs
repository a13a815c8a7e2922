//! Writes the gateway's own answers so that the connection survives them.
//!
//! Pingora's `respond_error` closes the connection and names Pingora; a refusal is too common
//! for either. It must not know what is answered.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType};
use tokio::time::timeout;

use super::body;
use crate::gate::X_REQUEST_ID;

/// How long the router may take from one piece of an answer to the next.
const PIECE_TIME: Duration = Duration::from_secs(30);

/// What becomes of the connection after an answer, as far as we decide it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Kept, if the client and the body allow it.
    Keep,
    Close,
}

/// Writes a ready answer.
pub(super) async fn send(
    session: &mut ServerSession,
    answer: Response<Bytes>,
    request_id: &str,
    after: After,
) -> pingora::Result<()> {
    prepare(session, after).await;
    let (parts, content) = answer.into_parts();
    let head = head_of(&parts, content.len(), request_id)?;
    let is_empty = content.is_empty() || is_headless(session, head.status);
    session.write_response_header(Box::new(head)).await?;
    // The body's end also flushes; the writer itself keeps back the body of a HEAD.
    let content = if is_empty { Bytes::new() } else { content };
    session.write_response_body(content, true).await?;
    body::linger(session).await;
    Ok(())
}

/// Writes what the router answered, piece by piece.
pub(super) async fn stream(
    session: &mut ServerSession,
    answer: Response<Body>,
    request_id: &str,
    after: After,
) -> pingora::Result<()> {
    prepare(session, after).await;
    let (parts, mut content) = answer.into_parts();
    let exact = http_body::size(&content);
    let mut head = begun(&parts, request_id)?;
    let is_head = session.req_header().method == Method::HEAD;
    if has_no_content(head.status) {
        head.remove_header(&header::CONTENT_LENGTH);
    } else if !head.headers.contains_key(header::CONTENT_LENGTH) {
        // A length that is there stays: on HEAD it is GET's.
        match exact {
            Some(length) if !is_head => head.insert_header(header::CONTENT_LENGTH, length)?,
            None if session.req_header().version == Version::HTTP_11 => {
                head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
            }
            _ => {}
        }
    }
    let is_empty = exact == Some(0) || is_headless(session, head.status);
    session.write_response_header(Box::new(head)).await?;
    if !is_empty {
        loop {
            let Ok(frame) = timeout(PIECE_TIME, content.frame()).await else {
                return Error::e_explain(ErrorType::InternalError, "the local answer has stalled");
            };
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|cause| {
                Error::because(ErrorType::InternalError, "the local answer broke off", cause)
            })?;
            if let Ok(piece) = frame.into_data() {
                session.write_response_body(piece, false).await?;
            }
        }
    }
    session.write_response_body(Bytes::new(), true).await?;
    body::linger(session).await;
    Ok(())
}

async fn prepare(session: &mut ServerSession, after: After) {
    body::settle(session).await;
    if after == After::Close {
        session.set_keepalive(None);
    }
}

/// The head of an answer whose content is so long.
pub(super) fn head_of(
    parts: &Parts,
    length: usize,
    request_id: &str,
) -> pingora::Result<ResponseHeader> {
    let mut head = begun(parts, request_id)?;
    if has_no_content(head.status) {
        head.remove_header(&header::CONTENT_LENGTH);
    } else {
        head.insert_header(header::CONTENT_LENGTH, length)?;
    }
    Ok(head)
}

/// A head without what its content adds.
fn begun(parts: &Parts, request_id: &str) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build_no_case(parts.status, Some(parts.headers.len() + 4))?;
    for (name, value) in &parts.headers {
        // The connection is Pingora's; a framing that is not ours to choose would contradict it.
        if !matches!(*name, header::CONNECTION | header::TRANSFER_ENCODING | header::UPGRADE) {
            head.append_header(name, value.clone())?;
        }
    }
    if let Ok(mut request_id) = HeaderValue::from_str(request_id) {
        // As in `Phases::meet`.
        request_id.set_sensitive(true);
        head.insert_header(X_REQUEST_ID, request_id)?;
    }
    Ok(head)
}

fn is_headless(session: &ServerSession, status: StatusCode) -> bool {
    session.req_header().method == Method::HEAD || has_no_content(status)
}

/// These carry neither a body nor a length (RFC 9110, 8.6).
pub(super) fn has_no_content(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) || status.is_informational()
}

/// A body's length, where it is known. `http-body` is reached through axum's body type only.
mod http_body {
    use axum::body::HttpBody;

    pub(super) fn size(body: &axum::body::Body) -> Option<u64> {
        body.size_hint().exact()
    }
}

/// Adds what scripts of other origins need; a `Vary` that is there stays.
pub(super) fn share(
    to: &mut HeaderMap,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
) {
    for (name, value) in headers {
        if name == header::VARY {
            to.append(name, value);
        } else {
            to.insert(name, value);
        }
    }
}
