//! The client's side of an exchange: what it asks, and what is written back.
//!
//! The two ways to speak to it are [`super::over_http1`] and [`super::over_http2`]. It must not
//! know what is decided, nor which server answers.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode};
use pingora::http::RequestHeader;
use pingora::{BError, Result};

use crate::gateway::returned::Returned;

/// How a body goes to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    None,
    /// As long as the head says.
    Length,
    /// Until it is said to be over.
    Chunked,
}

/// One request's client.
pub(super) trait Client {
    /// What it asks.
    fn head(&self) -> &RequestHeader;

    /// The status of what was sent, but for what comes before an answer. Before that an answer can
    /// still become another one.
    fn status(&self) -> Option<StatusCode>;

    /// How much of a body was sent.
    fn body_bytes(&self) -> u64;

    /// Nothing is to come after this request, as far as it is for the request to say.
    fn close(&mut self);

    /// Ends when the client leaves, with an error.
    async fn gone(&mut self) -> BError;

    /// Writes a ready answer.
    async fn answer(&mut self, answer: Response<Bytes>, request_id: &str) -> Result<()>;

    /// Writes something that comes before the answer.
    async fn inform(&mut self, returned: &Returned<'_>) -> Result<()>;

    /// Writes the head of an answer; it goes out with the first piece of its body. `framing`: of
    /// what follows.
    fn begin(
        &mut self,
        returned: &Returned<'_>,
        framing: Framing,
        request_id: &HeaderValue,
    ) -> Result<()>;

    /// Writes a piece of the body.
    async fn piece(&mut self, piece: &[u8]) -> Result<()>;

    /// Writes the end of the body.
    async fn finish(&mut self) -> Result<()>;

    /// Sends what was written.
    async fn flush(&mut self) -> Result<()>;

    /// Whether only the head of the answer is wanted.
    fn is_head(&self) -> bool {
        self.head().method == Method::HEAD
    }
}
