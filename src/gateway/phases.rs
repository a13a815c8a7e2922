//! What happens to a request, step by step: ask the gate, then serve, refuse or forward.
//!
//! Each step is short and hands its work to a module of its own. Who calls them: [`super::hooks`]
//! for what goes through Pingora's proxy, [`super::direct`] for the many requests that have no
//! body. The order that counts: the decision falls in [`Phases::decide`], before anything is sent;
//! the identity is written in [`Phases::write_head`], after everything a client could have it
//! removed by. It must not decide anything itself.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use tokio::sync::watch;
use tokio::time::Instant;

use super::arrival::Arrival;
use super::body;
use super::decision::{self, CREDENTIAL_ENDED, Outcome};
use super::failure::{
    BODY_TOO_LARGE, Failure, INTERNAL, NO_UPGRADE, NO_UPSTREAM, OWN_NO_UPSTREAM, UPSTREAM_FULL,
    failure_of, is_lost,
};
use super::forward::{self, Written};
use super::live::Live;
use super::local::caught;
use super::record::Recorder;
use super::request::{Request, arrival, host_of, make_up_for_host};
use super::respond::{self, After};
use super::returned;
use super::upstreams::Picked;
use crate::gate::{Claim, Judged, Passage, Refusal, Verdict, X_REQUEST_ID};

/// What may be read of a body that nobody wants, so that its connection can be kept.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// More informational answers than any application sends.
const MAX_INFORMATIONAL: u32 = 32;

/// The phases.
#[derive(Clone)]
pub(super) struct Phases {
    pub(super) live: Arc<ArcSwap<Live>>,
    pub(super) recorder: Recorder,
    /// True: connections are not kept.
    pub(super) leaving: watch::Receiver<bool>,
}

/// What is to be done with a request that was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: it has its answer.
    Answered,
    Forward,
}

impl Phases {
    pub(super) fn after(&self) -> After {
        if *self.leaving.borrow() { After::Close } else { After::Keep }
    }

    pub(super) async fn fail(
        &self,
        session: &mut ServerSession,
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
        session: &mut ServerSession,
        request: &Request,
        mut answer: Response<Bytes>,
        after: After,
    ) -> Result<()> {
        share(&mut answer, session.req_header(), request);
        respond::send(session, answer, request.name(), after).await
    }

    /// The request that came in this way.
    pub(super) fn new_request(&self, arrival: Arc<Arrival>) -> Request {
        arrival.reach_phases();
        Request::new(self.live.load_full(), arrival, self.recorder.metrics.request_started())
    }

    /// Bounds what a session may take.
    pub(super) fn bound(&self, session: &mut ServerSession, request: &Request) -> Result<()> {
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
        Ok(())
    }

    /// Notes who sent it, and under which name it is told of.
    pub(super) fn meet(&self, head: &RequestHeader, request: &mut Request) {
        let headers = &head.headers;
        let forwarder = request.live.gate.forwarder();
        let client = forwarder.client(request.arrival.peer, headers);
        request.id = forwarder.request_id(request.arrival.peer, headers);
        // New with each request: HTTP/2 need not keep it in its tables, where it would drive out
        // what comes again.
        request.id.set_sensitive(true);
        request.comes_from(client);
        self.recorder.begin_trace(request, headers);
    }

    /// Asks the gate.
    pub(super) async fn judge(head: &RequestHeader, request: &mut Request) -> Result<(), Failure> {
        let live = Arc::clone(&request.live);
        let claim = Claim {
            method: &head.method,
            target: head.raw_path(),
            host: host_of(head),
            headers: &head.headers,
            peer: request.arrival.peer,
        };
        let began = Instant::now();
        let judged = caught(live.gate.judge(&claim)).await;
        request.judging = began.elapsed();
        let judged = judged.map_err(|_| INTERNAL)?;
        if let Verdict::Forward(passage) = &judged.verdict
            && let Some(grounds) = passage.grounds(&claim)
        {
            request.arrival.passes_on(&live, grounds);
        }
        request.outcome = Outcome::of(&judged);
        request.judged = Some(judged);
        Ok(())
    }

    /// Asks the gate, unless that was done, and answers what is not forwarded.
    pub(super) async fn decide(
        &self,
        session: &mut ServerSession,
        request: &mut Request,
    ) -> Result<Next> {
        if !request.is_judged()
            && let Err(failure) = Self::judge(session.req_header(), request).await
        {
            self.fail(session, request, failure).await?;
            return Ok(Next::Answered);
        }
        match request.verdict() {
            Some(Verdict::Forward(_)) => {
                let is_upgrade = session.is_upgrade_req();
                let way = Self::find_way(session.req_header(), is_upgrade, request);
                let Err(failure) = way else { return Ok(Next::Forward) };
                self.fail(session, request, failure).await?;
            }
            Some(Verdict::Serve(served)) => {
                let served = served.clone();
                self.serve(session, request, served).await?;
            }
            Some(Verdict::Refuse(refusal)) => {
                let (answer, after) = self.refusal(refusal, request);
                self.answer(session, request, answer, after).await?;
            }
            None => self.fail(session, request, INTERNAL).await?,
        }
        Ok(Next::Answered)
    }

    /// How a refusal is answered, and what becomes of the connection.
    pub(super) fn refusal(&self, refusal: &Refusal, request: &Request) -> (Response<Bytes>, After) {
        let route = request.judged.as_ref().and_then(Judged::route);
        let answer = decision::answer(refusal, route, &request.live.replies);
        // After a malformed request nobody knows what the next bytes are meant to be.
        let after = match refusal {
            Refusal::BadRequest(_) | Refusal::Method => After::Close,
            _ => self.after(),
        };
        (answer, after)
    }

    /// Finds the way to the upstream of a request that has a passage, or what stands in it.
    pub(super) fn find_way(
        head: &RequestHeader,
        is_upgrade: bool,
        request: &mut Request,
    ) -> Result<(), Failure> {
        let name = request.passage().and_then(Passage::upstream);
        let upstream = name.and_then(|name| request.live.upstreams.get(name)).cloned();
        let upstream = upstream.ok_or(NO_UPSTREAM)?;
        let limit = request.body_bytes();
        if limit > 0 && body::promised(head).is_some_and(|length| length > limit) {
            return Err(BODY_TOO_LARGE);
        }
        if is_upgrade && !upstream.can_upgrade() {
            return Err(NO_UPGRADE);
        }
        request.admitted = Some(upstream.admit().ok_or(UPSTREAM_FULL)?);
        request.upstream = Some(upstream);
        Ok(())
    }

    /// Prepares the session for being forwarded.
    pub(super) fn see_off(session: &mut ServerSession, request: &Request) {
        if session.is_upgrade_req() {
            // Reads of the upgraded stream fall under it, too.
            let idle = request.live.settings.limits.websocket_idle_timeout.0;
            session.set_read_timeout(Some(idle));
        }
        if !session.is_upgrade_req() && body::is_absent(session.req_header()) {
            request.arrival.is_heard_out();
        }
        if body::is_awaiting_continue(session) {
            // The upstream's 100 is no answer; see `give_answer`.
            session.set_close_on_response_before_downstream_finish(false);
        }
    }

    /// Chooses the server of the next attempt.
    pub(super) fn choose(request: &mut Request) -> Result<&Picked> {
        let who = request.affinity();
        let picked =
            request.upstream.as_ref().and_then(|upstream| upstream.pick(&request.tried, who));
        let Some(picked) = picked else { return Err(Error::new(OWN_NO_UPSTREAM)) };
        Ok(request.goes_to(picked))
    }

    /// The server chosen could not be connected to.
    pub(super) fn unconnected(request: &mut Request, error: &mut Error) {
        request.peer_failed(error);
        // Nothing was sent, so the method does not matter.
        let upstream = request.upstream.as_ref();
        error.set_retry(upstream.is_some_and(|upstream| upstream.may_repeat(&request.tried)));
    }

    /// An attempt broke off. `can_repeat`: the request could be sent once more and do no harm;
    /// `reused`: it went over a connection that had been kept.
    pub(super) fn broken_off(
        can_repeat: bool,
        request: &mut Request,
        error: &mut Error,
        reused: bool,
    ) {
        if can_repeat {
            // A kept connection that the server had closed meanwhile.
            error.retry.decide_reuse(reused);
        } else {
            error.set_retry(false);
        }
        let is_answered = request.sent.is_none();
        if is_answered || error.retry() || *error.esource() != ErrorSource::Upstream {
            return;
        }
        request.peer_failed(error);
        let upstream = request.upstream.as_ref();
        if can_repeat && is_lost(error) {
            error.set_retry(upstream.is_some_and(|upstream| upstream.may_repeat(&request.tried)));
        }
    }

    /// Writes the head that goes upstream. `head`: the client's; `copy`: the same without what is between it and
    /// us, if somebody has made one.
    pub(super) fn write_head<'a>(
        &self,
        head: &'a RequestHeader,
        copy: Option<&'a RequestHeader>,
        request: &'a mut Request,
    ) -> Result<forward::Head<'a>> {
        request.sent = Some(Instant::now());
        let request = &*request;
        let Some(passage) = request.passage() else {
            return Error::e_explain(ErrorType::InternalError, "forwarding without a passage");
        };
        let arrival = arrival(request, head);
        let metrics = &self.recorder.metrics;
        let written = Written {
            passage,
            forwarder: request.live.gate.forwarder(),
            arrival: &arrival,
            request_id: &request.id,
            host: request.peer.as_ref().and_then(|picked| picked.peer().host.as_ref()),
            trace: request.trace.as_deref(),
            is_raw: copy.is_none(),
        };
        forward::write(copy.unwrap_or(head), &written, |name| metrics.spoofed_header(name))
    }

    /// Takes the head of an answer in: vetted, counted, and its server noted as well.
    /// `is_upgrade`: whether the client asked for one.
    pub(super) fn take_answer(
        is_upgrade: bool,
        response: &ResponseHeader,
        request: &mut Request,
    ) -> Result<()> {
        // Pingora compares what both sides wanted, but passes it on where neither did.
        if response.status == StatusCode::SWITCHING_PROTOCOLS && !is_upgrade {
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
        Self::note_answer(request);
        Ok(())
    }

    /// Counts an answer, and notes that its server gave one.
    pub(super) fn note_answer(request: &mut Request) {
        if let Some((upstream, sent)) = request.upstream.as_ref().zip(request.sent.take()) {
            upstream.metrics.durations.observe(sent.elapsed().as_secs_f64());
            if let Some(picked) = &request.peer {
                upstream.answered(picked.peer());
            }
        }
    }

    /// Cleans the head of an answer, and changes it as the route says.
    pub(super) fn clean_answer(response: &mut ResponseHeader, request: &Request) -> Result<()> {
        let passage = request.passage();
        returned::clean(response, |name| passage.is_some_and(|it| it.strips_from_answer(name)));
        match passage {
            Some(passage) => returned::change(response, passage.response_changes()),
            None => Ok(()),
        }
    }

    /// Makes the head of an answer ready for the client.
    pub(super) fn give_answer(
        &self,
        session: &mut ServerSession,
        response: &mut ResponseHeader,
        request: &mut Request,
    ) -> Result<()> {
        if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS
        {
            return Ok(());
        }
        request.status = response.status.as_u16();
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

    /// Tells the client of an error, if it is still there and has no answer yet. Gives out the
    /// status; 0: nobody was told.
    pub(super) async fn break_down(
        &self,
        session: &mut ServerSession,
        error: &Error,
        request: &mut Request,
    ) -> u16 {
        let Some(failure) = Self::note_failure(error, request) else { return 0 };
        let is_answered = session.response_written().is_some_and(|written| {
            !written.status.is_informational() || written.status == StatusCode::SWITCHING_PROTOCOLS
        });
        if !is_answered {
            let answer = failed(&request.live, failure);
            // The client may be gone; there is nobody else to tell.
            let _ = self.answer(session, request, answer, After::Close).await;
        }
        failure.status.as_u16()
    }

    /// Notes what became of a request that broke down. `None`: the client is gone, or was left.
    pub(super) fn note_failure(error: &Error, request: &mut Request) -> Option<Failure> {
        let Some(failure) = failure_of(error) else {
            let reason = if request.arrival.is_cut() { CREDENTIAL_ENDED } else { "client_closed" };
            request.outcome = Outcome::new(request.outcome.decision, reason);
            return None;
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
        Some(failure)
    }

    /// Tells logs and metrics of a request that is over. `status`: of what was written, `bytes`:
    /// of its body.
    pub(super) fn record(
        &self,
        head: &RequestHeader,
        status: Option<StatusCode>,
        bytes: u64,
        request: &mut Request,
    ) {
        if status.is_none() {
            request.arrival.abandon();
        }
        self.recorder.finished(head, status, bytes, request);
        request.is_logged = true;
    }
}

/// Has the scripts of allowed origins read an answer of the gateway's own.
pub(super) fn share(answer: &mut Response<Bytes>, head: &RequestHeader, request: &Request) {
    respond::share(answer.headers_mut(), request.live.cors.headers(&head.headers));
}

/// Bounds one attempt by what the route says.
pub(super) fn options_for(session: &ServerSession, request: &Request, http: &mut HttpPeer) {
    if let Some(time) = request.passage().and_then(Passage::upstream_read_timeout) {
        http.options.read_timeout = Some(time);
    }
    if session.is_upgrade_req() {
        http.options.read_timeout = Some(request.live.settings.limits.websocket_idle_timeout.0);
        http.options.set_http_version(1, 1);
    }
}

pub(super) fn failed(live: &Live, failure: Failure) -> Response<Bytes> {
    let mut answer = (live.replies.error)(failure.status, failure.detail, failure.code);
    if failure.status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}
