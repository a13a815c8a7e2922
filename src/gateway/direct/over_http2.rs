//! A client that speaks HTTP/2: a stream of a connection that others share.
//!
//! Pingora's session writes to it: it knows what HTTP/2 has no place for, and waits for the client
//! to take what is sent. It must not know what is decided, nor which server answers.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::v2::server::HttpSession;
use pingora::{BError, Error, ErrorType, Result};

use super::client::{Client, Framing};
use crate::gate::X_REQUEST_ID;
use crate::gateway::http2::SEND_BUFFER;
use crate::gateway::respond;
use crate::gateway::returned::Returned;

/// Headers that come to those of an answer: the date, the request's name.
const ADDED: usize = 2;

/// One request's client.
pub(super) struct OverHttp2 {
    session: Box<HttpSession>,
    /// Written, but not sent yet.
    pending_head: Option<Box<ResponseHeader>>,
    pending: BytesMut,
    has_body: bool,
}

impl OverHttp2 {
    /// `write_time`: how long the client may take nothing of what is sent.
    pub(super) fn new(mut session: Box<HttpSession>, write_time: Duration) -> Self {
        session.set_write_timeout(Some(write_time));
        Self { session, pending_head: None, pending: BytesMut::new(), has_body: false }
    }

    /// For somebody else to answer.
    pub(super) fn into_session(self) -> Box<HttpSession> {
        self.session
    }

    /// Sends what was written; `is_all`: nothing comes after it.
    async fn push(&mut self, is_all: bool) -> Result<()> {
        if let Some(head) = self.pending_head.take() {
            let is_empty = is_all && self.pending.is_empty();
            self.session.write_response_header(head, is_empty).map_err(Error::into_down)?;
            if is_empty {
                return Ok(());
            }
        }
        if self.pending.is_empty() && !is_all {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.pending).freeze();
        self.session.write_body(piece, is_all).await.map_err(Error::into_down)
    }
}

impl Client for OverHttp2 {
    fn head(&self) -> &RequestHeader {
        self.session.req_header()
    }

    fn status(&self) -> Option<StatusCode> {
        self.session.response_written().map(|written| written.status)
    }

    fn body_bytes(&self) -> u64 {
        self.session.body_bytes_sent() as u64
    }

    /// The other streams go on.
    fn close(&mut self) {}

    async fn gone(&mut self) -> BError {
        match self.session.idle().await {
            Ok(_) => Error::new_down(ErrorType::ConnectionClosed),
            Err(error) => error.into_down(),
        }
    }

    async fn answer(&mut self, answer: Response<Bytes>, request_id: &str) -> Result<()> {
        let (parts, content) = answer.into_parts();
        let head = respond::head_of(&parts, content.len(), request_id)?;
        let has_content = !self.is_head() && !respond::has_no_content(parts.status);
        self.pending_head = Some(Box::new(head));
        self.pending = if has_content { BytesMut::from(content) } else { BytesMut::new() };
        self.push(true).await
    }

    /// Neither Pingora nor the h2 crate can send one.
    async fn inform(&mut self, _returned: &Returned<'_>) -> Result<()> {
        Ok(())
    }

    fn begin(
        &mut self,
        returned: &Returned<'_>,
        framing: Framing,
        request_id: &HeaderValue,
    ) -> Result<()> {
        let mut head = Response::new(()).into_parts().0;
        head.status = returned.status;
        head.headers.reserve(returned.count() + ADDED);
        returned.each(|_, name, value| {
            // What was read as a value is one.
            if let Ok(value) = HeaderValue::from_bytes(value) {
                head.headers.append(name.clone(), value);
            }
        });
        head.headers.insert(X_REQUEST_ID, request_id.clone());
        self.pending_head = Some(Box::new(ResponseHeader::from(head)));
        self.has_body = framing != Framing::None;
        Ok(())
    }

    async fn piece(&mut self, piece: &[u8]) -> Result<()> {
        if self.has_body {
            self.pending.extend_from_slice(piece);
        }
        if self.pending.len() < SEND_BUFFER { Ok(()) } else { self.push(false).await }
    }

    async fn finish(&mut self) -> Result<()> {
        self.push(true).await
    }

    async fn flush(&mut self) -> Result<()> {
        self.push(false).await
    }
}
