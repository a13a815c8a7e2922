//! Serves the API's router in process: Pingora's request in, the router's answer out.
//!
//! Neither a second socket nor a second parser. A handler can neither hang nor take down the
//! connection's task: it has a deadline, and a panic becomes a 500. It must not know what the
//! router serves.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body as RouterBody;
use bytes::Bytes;
use http::{Request, Response, Uri};
use pingora::protocols::http::ServerSession;
use tokio::time::{Instant, timeout_at};
use tower::ServiceExt;

use super::body::{self, Body};
use super::failure::{
    BAD_REQUEST, BODY_TOO_LARGE, BODY_TOO_SLOW, Failure, INTERNAL, LOCAL_TIMEOUT,
};
use crate::api::caller::Caller;

/// What a local request may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalLimits {
    pub(super) body_bytes: usize,
    /// For the body and the handler together.
    pub(super) time: Duration,
}

/// Asks the router. `target`: the canonical path and query.
pub(super) async fn ask(
    session: &mut ServerSession,
    router: &Router,
    target: &str,
    caller: Caller,
    limits: LocalLimits,
) -> pingora::Result<Result<Response<RouterBody>, Failure>> {
    let Ok(uri) = target.parse::<Uri>() else { return Ok(Err(BAD_REQUEST)) };
    let deadline = Instant::now() + limits.time;
    let content = match timeout_at(deadline, body::read(session, limits.body_bytes)).await {
        Err(_) => return Ok(Err(BODY_TOO_SLOW)),
        Ok(Ok(Body::Whole(content))) => content,
        Ok(Ok(Body::TooLarge)) => return Ok(Err(BODY_TOO_LARGE)),
        Ok(Err(mut error)) => {
            // A body that cannot be read is the client's fault.
            error.as_down();
            return Err(error);
        }
    };
    let request = request(session, uri, content, caller);
    let Ok(answer) = timeout_at(deadline, caught(router.clone().oneshot(request))).await else {
        return Ok(Err(LOCAL_TIMEOUT));
    };
    Ok(match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(infallible)) => match infallible {},
        Err(Panicked) => Err(INTERNAL),
    })
}

fn request(
    session: &ServerSession,
    uri: Uri,
    content: Bytes,
    caller: Caller,
) -> Request<RouterBody> {
    let head = session.req_header();
    let mut request = Request::new(RouterBody::from(content));
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = head.version;
    *request.headers_mut() = head.headers.clone();
    request.extensions_mut().insert(caller);
    request
}

/// A future that panicked. The panic hook has told where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Panicked;

/// Runs a future so that its panic ends only itself.
pub(super) async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    // The future is never polled again after a panic, so nothing half-done is seen.
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_and_a_value_passes() {
        assert_eq!(caught(async { 1 }).await, Ok(1));
        assert_eq!(caught(async { panic!("a handler's fault") }).await, Err::<(), _>(Panicked));
    }
}
