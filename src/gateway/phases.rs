//! What happens to a request between Pingora's hooks: ask the gate, then serve, refuse or
//! forward.
//!
//! Each hook is short and hands its work to a module of its own. The order that counts: the
//! decision falls in `request_filter`, before anything is sent; the identity is written in
//! `upstream_request_filter`, after everything a client could have it removed by. It must not
//! decide anything itself.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use tokio::sync::watch;
use tokio::time::Instant;

use super::arrival::Arrival;
use super::body;
use super::decision::{self, Outcome};
use super::failure::{
    BODY_TOO_LARGE, Failure, INTERNAL, NO_UPGRADE, NO_UPSTREAM, OWN_NO_UPSTREAM, OWN_TOO_LARGE,
    OWN_TOO_SLOW, UPSTREAM_FULL, failure_of, is_lost,
};
use super::forward;
use super::live::Live;
use super::local::caught;
use super::record::Recorder;
use super::request::{Request, arrival, head_of, host_of, make_up_for_host};
use super::respond::{self, After};
use super::returned;
use crate::gate::{Claim, Judged, Passage, Refusal, Verdict, X_REQUEST_ID};

/// What may be read of a body that nobody wants, so that its connection can be kept.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// An upload may be slow, but not a drip: after the grace it must have kept this pace, in
/// bytes a second. (Between two reads there is `limits.body_read_timeout`.)
const UPLOAD_GRACE: Duration = Duration::from_secs(20);
const UPLOAD_PACE: u64 = 500;

/// More informational answers than any application sends.
const MAX_INFORMATIONAL: u32 = 32;

/// The phases.
pub(super) struct Phases {
    pub(super) live: Arc<ArcSwap<Live>>,
    pub(super) recorder: Recorder,
    /// True: connections are not kept.
    pub(super) closing: watch::Receiver<bool>,
}

impl Phases {
    pub(super) fn after(&self) -> After {
        if *self.closing.borrow() { After::Close } else { After::Keep }
    }

    pub(super) async fn fail(
        &self,
        session: &mut Session,
        request: &mut Request,
        failure: Failure,
    ) -> Result<()> {
        request.outcome = Outcome::failed(failure);
        let answer = failed(&request.live, failure);
        self.answer(session, request, answer, self.after()).await
    }

    /// An answer of the gateway's own, readable for the scripts of allowed origins.
    pub(super) async fn answer(
        &self,
        session: &mut Session,
        request: &Request,
        mut answer: Response<Bytes>,
        after: After,
    ) -> Result<()> {
        let headers = request.live.cors.headers(&session.req_header().headers);
        respond::share(answer.headers_mut(), headers);
        respond::send(session, answer, request.name(), after).await
    }

    /// Finds the way to the upstream of a request that has a passage, or what stands in it.
    fn find_way(session: &Session, request: &mut Request) -> Result<(), Failure> {
        let name = request.passage().and_then(Passage::upstream);
        let upstream = name.and_then(|name| request.live.upstreams.get(name)).cloned();
        let upstream = upstream.ok_or(NO_UPSTREAM)?;
        let limit = request.body_bytes();
        if limit > 0 && body::promised(session).is_some_and(|length| length > limit) {
            return Err(BODY_TOO_LARGE);
        }
        if session.is_upgrade_req() && !upstream.can_upgrade() {
            return Err(NO_UPGRADE);
        }
        request.admitted = Some(upstream.admit().ok_or(UPSTREAM_FULL)?);
        request.upstream = Some(upstream);
        Ok(())
    }

    /// Prepares the session for being forwarded.
    fn see_off(session: &mut Session, request: &Request) {
        if session.is_upgrade_req() {
            // Reads of the upgraded stream fall under it, too.
            let idle = request.live.settings.limits.websocket_idle_timeout.0;
            session.set_read_timeout(Some(idle));
        }
        if !session.is_upgrade_req() && body::is_absent(session) {
            request.arrival.is_heard_out();
        }
        if body::is_awaiting_continue(session) {
            // The upstream's 100 is no answer; see `response_filter`.
            session.set_close_on_response_before_downstream_finish(false);
        }
    }
}

#[async_trait]
impl ProxyHttp for Phases {
    type CTX = Request;

    fn new_ctx(&self) -> Request {
        let arrival = Arrival::current().unwrap_or_else(|| {
            // Every request comes through the accept loop; without an address it is a stranger.
            Arc::new(Arrival::unseen(self.recorder.clock.now()))
        });
        Request::new(self.live.load_full(), arrival, self.recorder.metrics.request_started())
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(
        &self,
        session: &mut Session,
        request: &mut Request,
    ) -> Result<()> {
        let limits = &request.live.settings.limits;
        session.set_read_timeout(Some(limits.body_read_timeout.0));
        session.set_write_timeout(Some(limits.write_timeout.0));
        session.set_total_drain_timeout(Some(DRAIN_TIME));
        if session.req_header().version == Version::HTTP_10 {
            session.set_ignore_info_resp(true);
            make_up_for_host(session, &request.arrival)?;
        }
        if self.after() == After::Close {
            session.set_keepalive(None);
        }
        let headers = &session.req_header().headers;
        let forwarder = request.live.gate.forwarder();
        let client = forwarder.client(request.arrival.peer, headers);
        request.id = forwarder.request_id(request.arrival.peer, headers);
        request.comes_from(client);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, request: &mut Request) -> Result<bool> {
        let live = Arc::clone(&request.live);
        let judged = {
            let head = session.req_header();
            let claim = Claim {
                method: &head.method,
                target: head.raw_path(),
                host: host_of(session),
                headers: &head.headers,
                peer: request.arrival.peer,
            };
            let began = Instant::now();
            let judged = caught(live.gate.judge(&claim)).await;
            request.judging = began.elapsed();
            if let Ok(Judged { verdict: Verdict::Forward(passage), .. }) = &judged
                && let Some(grounds) = passage.grounds(&claim)
            {
                request.arrival.passes_on(&live, grounds);
            }
            judged
        };
        let Ok(judged) = judged else {
            self.fail(session, request, INTERNAL).await?;
            return Ok(true);
        };
        request.outcome = Outcome::of(&judged);
        let judged = request.judged.insert(judged);
        match &judged.verdict {
            Verdict::Forward(_) => {
                if let Err(failure) = Self::find_way(session, request) {
                    self.fail(session, request, failure).await?;
                    return Ok(true);
                }
                Self::see_off(session, request);
                return Ok(false);
            }
            Verdict::Serve(served) => {
                let served = served.clone();
                self.serve(session, request, served).await?;
            }
            Verdict::Refuse(refusal) => {
                let answer = decision::answer(refusal, judged.route(), &live.replies);
                // After a malformed request nobody knows what the next bytes are meant to be.
                let after = match refusal {
                    Refusal::BadRequest(_) | Refusal::Method => After::Close,
                    _ => self.after(),
                };
                self.answer(session, request, answer, after).await?;
            }
        }
        Ok(true)
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        request: &mut Request,
    ) -> Result<Box<HttpPeer>> {
        let who = request.affinity();
        let picked =
            request.upstream.as_ref().and_then(|upstream| upstream.pick(&request.tried, who));
        let Some(picked) = picked else { return Err(Error::new(OWN_NO_UPSTREAM)) };
        let mut http = Box::new(picked.peer().http.clone());
        if let Some(time) = request.passage().and_then(Passage::upstream_read_timeout) {
            http.options.read_timeout = Some(time);
        }
        if session.is_upgrade_req() {
            http.options.read_timeout = Some(request.live.settings.limits.websocket_idle_timeout.0);
            http.options.set_http_version(1, 1);
        }
        request.peer = Some(picked);
        Ok(http)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        request: &mut Request,
        mut error: Box<Error>,
    ) -> Box<Error> {
        request.peer_failed();
        // Nothing was sent, so the method does not matter.
        let upstream = request.upstream.as_ref();
        error.set_retry(upstream.is_some_and(|upstream| upstream.may_repeat(&request.tried)));
        error
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        request: &mut Request,
        client_reused: bool,
    ) -> Box<Error> {
        let can_repeat = session.req_header().method.is_idempotent()
            && !session.as_ref().retry_buffer_truncated();
        if can_repeat {
            // A kept connection that the server had closed meanwhile.
            error.retry.decide_reuse(client_reused);
        } else {
            error.set_retry(false);
        }
        let is_answered = request.sent.is_none();
        if is_answered || error.retry() || *error.esource() != ErrorSource::Upstream {
            return error;
        }
        request.peer_failed();
        let upstream = request.upstream.as_ref();
        if can_repeat && is_lost(&error) {
            error.set_retry(upstream.is_some_and(|upstream| upstream.may_repeat(&request.tried)));
        }
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream_request: &mut RequestHeader,
        request: &mut Request,
    ) -> Result<()> {
        let Some(passage) = request.passage() else {
            return Error::e_explain(ErrorType::InternalError, "forwarding without a passage");
        };
        let received = session.req_header();
        let arrival = arrival(request, session);
        let metrics = &self.recorder.metrics;
        forward::drop_unanswerable(upstream_request, received.version);
        forward::write(
            upstream_request,
            passage,
            request.live.gate.forwarder(),
            &arrival,
            &request.id,
            request.peer.as_ref().and_then(|picked| picked.peer().host.as_ref()),
            |name| metrics.spoofed_header(name),
        )?;
        request.sent = Some(Instant::now());
        Ok(())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        _body: &mut Option<Bytes>,
        end_of_stream: bool,
        request: &mut Request,
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
        request: &mut Request,
    ) -> Result<()> {
        // Pingora compares what both sides wanted, but passes it on where neither did.
        if response.status == StatusCode::SWITCHING_PROTOCOLS && !session.is_upgrade_req() {
            return Err(Error::new_up(ErrorType::InvalidHTTPHeader));
        }
        if !returned::has_one_length(response) {
            return Err(Error::new_up(ErrorType::InvalidHTTPHeader));
        }
        if response.status.is_informational() {
            request.informational += 1;
            if request.informational > MAX_INFORMATIONAL {
                return Err(Error::new_up(ErrorType::InvalidHTTPHeader));
            }
        }
        if let Some((upstream, sent)) = request.upstream.as_ref().zip(request.sent.take()) {
            upstream.metrics.durations.observe(sent.elapsed().as_secs_f64());
            if let Some(picked) = &request.peer {
                upstream.answered(picked.peer());
            }
        }
        let passage = request.passage();
        returned::clean(response, |name| passage.is_some_and(|it| it.strips_from_answer(name)));
        if let Some(passage) = passage {
            returned::change(response, passage.response_changes())?;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Request,
    ) -> Result<()> {
        if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS
        {
            return Ok(());
        }
        if !response.headers.contains_key(header::CONTENT_LENGTH) {
            request.arrival.streams();
        }
        // From here on a body that is still unread ends the connection again.
        session.set_close_on_response_before_downstream_finish(true);
        if self.after() == After::Close {
            session.set_keepalive(None);
        }
        response.insert_header(X_REQUEST_ID, request.id.clone())
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        request: &mut Request,
    ) -> FailToProxy {
        let Some(failure) = failure_of(error) else {
            let reason =
                if request.arrival.is_cut() { "credential_ended" } else { "client_closed" };
            request.outcome = Outcome::new(request.outcome.decision, reason);
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        };
        request.outcome = Outcome::failed(failure);
        if failure.status.is_server_error() {
            // Not the whole error: it may quote what the upstream sent.
            tracing::warn!(
                request.id = request.name(),
                upstream = request.upstream.as_ref().map(|upstream| upstream.name.as_str()),
                server = request.server(),
                error = error.etype().as_str(),
                "request failed"
            );
        }
        let is_answered = session.response_written().is_some_and(|written| {
            !written.status.is_informational() || written.status == StatusCode::SWITCHING_PROTOCOLS
        });
        if !is_answered {
            let answer = failed(&request.live, failure);
            // The client may be gone; there is nobody else to tell.
            let _ = self.answer(session, request, answer, After::Close).await;
        }
        FailToProxy { error_code: failure.status.as_u16(), can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, request: &mut Request) {
        if session.response_written().is_none() {
            request.arrival.abandon();
        }
        self.recorder.write(&request.record(session), || head_of(session));
    }

    /// Our own line says more, and without the query.
    fn suppress_error_log(&self, _: &Session, _: &Request, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Request,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    fn request_summary(&self, session: &Session, request: &Request) -> String {
        let head = session.req_header();
        format!("{} {}, request {}", head.method, head.uri.path(), request.name())
    }
}

fn failed(live: &Live, failure: Failure) -> Response<Bytes> {
    let Failure { status, detail, code } = failure;
    let mut answer = (live.replies.error)(status, detail, code);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}
