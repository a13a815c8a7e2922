//! The phases as Pingora's proxy calls them, for everything that has a body, becomes a stream in
//! both directions, is the gateway's own to answer, or goes to a server that speaks HTTP/2.
//!
//! Between the hooks Pingora moves the bytes. It must not do anything but hand over.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};

use super::arrival::Arrival;
use super::failure::{OWN_TOO_LARGE, OWN_TOO_SLOW};
use super::forward;
use super::phases::{Next, Phases, options_for};
use super::request::Request;

/// An upload may be slow, but not a drip: after the grace it must have kept this pace, in
/// bytes a second. (Between two reads there is `limits.body_read_timeout`.)
const UPLOAD_GRACE: Duration = Duration::from_secs(20);
const UPLOAD_PACE: u64 = 500;

#[async_trait]
impl ProxyHttp for Phases {
    type CTX = Box<Request>;

    fn new_ctx(&self) -> Box<Request> {
        let arrival = Arrival::current().unwrap_or_else(|| {
            // Every request comes through the accept loop; without an address it is a stranger.
            Arc::new(Arrival::unseen(self.recorder.clock.now()))
        });
        // One that was judged already is not judged again.
        arrival.take_over().unwrap_or_else(|| Box::new(self.new_request(arrival)))
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(
        &self,
        session: &mut Session,
        request: &mut Box<Request>,
    ) -> Result<()> {
        self.bound(session, request)?;
        if !request.is_judged() {
            self.meet(session.req_header(), request);
        }
        Ok(())
    }

    async fn request_filter(
        &self,
        session: &mut Session,
        request: &mut Box<Request>,
    ) -> Result<bool> {
        let next = self.decide(session, request).await?;
        if next == Next::Forward {
            Self::see_off(session, request);
        }
        Ok(next == Next::Answered)
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        request: &mut Box<Request>,
    ) -> Result<Box<HttpPeer>> {
        let mut http = Box::new(Self::choose(request)?.peer().http.clone());
        options_for(session, request, &mut http);
        Ok(http)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        request: &mut Box<Request>,
        mut error: Box<Error>,
    ) -> Box<Error> {
        Self::unconnected(request, &mut error);
        error
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        request: &mut Box<Request>,
        client_reused: bool,
    ) -> Box<Error> {
        let can_repeat = session.req_header().method.is_idempotent()
            && !session.as_ref().retry_buffer_truncated();
        Self::broken_off(can_repeat, request, &mut error, client_reused);
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream_request: &mut RequestHeader,
        request: &mut Box<Request>,
    ) -> Result<()> {
        forward::drop_unanswerable(upstream_request, session.req_header().version);
        let head = self.write_head(session.req_header(), Some(upstream_request), request)?;
        *upstream_request = head.into_header();
        Ok(())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        _body: &mut Option<Bytes>,
        end_of_stream: bool,
        request: &mut Box<Request>,
    ) -> Result<()> {
        if session.was_upgraded() {
            return Ok(());
        }
        if end_of_stream && !session.is_upgrade_req() {
            request.arrival.is_heard_out();
        }
        let read = session.body_bytes_read() as u64;
        let limit = request.body_bytes();
        if limit > 0 && read > limit {
            return Err(Error::new_down(OWN_TOO_LARGE));
        }
        let taken = request.arrival.since.elapsed();
        if !end_of_stream && taken > UPLOAD_GRACE && read < UPLOAD_PACE * taken.as_secs() {
            return Err(Error::new_down(OWN_TOO_SLOW));
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Box<Request>,
    ) -> Result<()> {
        Self::take_answer(session.is_upgrade_req(), response, request)?;
        Self::clean_answer(response, request)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Box<Request>,
    ) -> Result<()> {
        self.give_answer(session, response, request)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        request: &mut Box<Request>,
    ) -> FailToProxy {
        let error_code = self.break_down(session, error, request).await;
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    async fn logging(
        &self,
        session: &mut Session,
        _error: Option<&Error>,
        request: &mut Box<Request>,
    ) {
        let status = session.response_written().map(|written| written.status);
        let bytes = session.body_bytes_sent() as u64;
        self.record(session.req_header(), status, bytes, request);
    }

    /// Our own line says more, and without the query.
    fn suppress_error_log(&self, _: &Session, _: &Box<Request>, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Box<Request>,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    fn request_summary(&self, session: &Session, request: &Box<Request>) -> String {
        let head = session.req_header();
        format!("{} {}, request {}", head.method, head.uri.path(), request.name())
    }
}
