//! Requests that are nothing but a head, which most are: judged, forwarded and answered in one
//! task, with Pingora's connections to servers but without its proxy.
//!
//! Between a client and a server that only take turns to speak, that proxy's two halves and the
//! channels between them have nothing to do; they are half of what a request costs. The steps are
//! the same ones ([`Phases`]), in the same order. What turns out to be more than an exchange of
//! HTTP/1 messages on the server's side is handed over, judged already. In reading order: this,
//! `client`, `over_http1`, `over_http2`, `exchange`, `session`, `kept`. It must not know how to
//! judge, or what is written upstream.

mod client;
mod exchange;
mod kept;
mod over_http1;
mod over_http2;
mod session;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use pingora::Result;
use pingora::connectors::TransportConnector;
use pingora::protocols::Stream;
use pingora::protocols::http::v2::server::HttpSession;

pub(super) use self::kept::Kept;

use self::client::Client;
use self::exchange::exchange;
use self::kept::Connection;
use self::over_http1::OverHttp1;
use self::over_http2::OverHttp2;
use super::arrival::Arrival;
use super::decision::Outcome;
use super::failure::Failure;
use super::phases::{Phases, failed, share};
use super::request::Request;
use super::respond::After;
use super::run::MOST_ATTEMPTS;
use crate::gate::{Passage, Verdict};

/// What one worker needs for it.
pub(super) struct Direct {
    pub(super) phases: Phases,
    pub(super) connector: Arc<TransportConnector>,
    pub(super) kept: Arc<Kept>,
}

/// What became of a request over HTTP/1.
pub(super) enum Served {
    /// It is over, and its connection can take another one.
    Kept,
    /// It is over, and so is the connection.
    Closed,
    /// It was not for us; it waits in its arrival if the gate has been asked.
    HandedOver,
}

/// How work on a request ended.
enum Done {
    Answered,
    /// On the way to the client, or to the server once the answer had begun.
    BrokenOff,
    /// It was not for us; it waits in its arrival.
    HandedOver,
}

impl Direct {
    /// Works on a request of HTTP/1. `head`: all of it, vetted. `has_turns`: the connection may
    /// take more.
    pub(super) async fn serve(
        &self,
        io: &mut Stream,
        head: &Bytes,
        has_turns: bool,
        arrival: &Arc<Arrival>,
    ) -> Served {
        let has_turns = has_turns && self.phases.after() == After::Keep;
        let client = OverHttp1::read(io, head, has_turns);
        let Some(mut client) = client else { return Served::HandedOver };
        match self.work_on(&mut client, arrival).await {
            Done::HandedOver => Served::HandedOver,
            Done::Answered if client.keeps() => Served::Kept,
            Done::Answered | Done::BrokenOff => Served::Closed,
        }
    }

    /// Works on a request of HTTP/2: a vetted head that ended its stream. Gives it back if it was
    /// not for us. `write_time`: how long the client may take nothing of the answer.
    pub(super) async fn serve_stream(
        &self,
        session: Box<HttpSession>,
        write_time: Duration,
        arrival: &Arc<Arrival>,
    ) -> Option<Box<HttpSession>> {
        let mut client = OverHttp2::new(session, write_time);
        match self.work_on(&mut client, arrival).await {
            Done::HandedOver => Some(client.into_session()),
            // One that is dropped before its end is reset.
            Done::Answered | Done::BrokenOff => None,
        }
    }

    async fn work_on(&self, client: &mut impl Client, arrival: &Arc<Arrival>) -> Done {
        let mut request = Box::new(self.phases.new_request(Arc::clone(arrival)));
        self.phases.meet(client.head(), &mut request);
        let judged = Phases::judge(client.head(), &mut request).await;
        let outcome = match (judged, request.verdict()) {
            (Ok(()), Some(Verdict::Forward(passage))) if reaches(passage, &request) => {
                self.forward(client, &mut request).await
            }
            (Ok(()), Some(Verdict::Refuse(refusal))) => {
                let (answer, after) = self.phases.refusal(refusal, &request);
                answer_with(client, answer, after, &request).await
            }
            (Ok(()), _) => {
                arrival.hand_over(request);
                return Done::HandedOver;
            }
            (Err(failure), _) => fail(client, failure, &mut request).await,
        };
        if let Err(error) = &outcome
            && let Some(failure) = Phases::note_failure(error, &mut request)
            && client.status().is_none()
        {
            // The client may be gone; there is nobody else to tell.
            let answer = failed(&request.live, failure);
            let _ = answer_with(client, answer, After::Close, &request).await;
        }
        self.phases.record(client.head(), client.status(), client.body_bytes(), &mut request);
        if outcome.is_ok() { Done::Answered } else { Done::BrokenOff }
    }

    async fn forward(&self, client: &mut impl Client, request: &mut Request) -> Result<()> {
        if let Err(failure) = Phases::find_way(client.head(), false, request) {
            return fail(client, failure, request).await;
        }
        request.arrival.is_heard_out();
        let mut attempts = 1;
        loop {
            match self.attempt(client, request).await {
                Err(error) if error.retry() && attempts < MOST_ATTEMPTS => attempts += 1,
                outcome => return outcome,
            }
        }
    }

    async fn attempt(&self, client: &mut impl Client, request: &mut Request) -> Result<()> {
        let peer = Arc::clone(Phases::choose(request)?.peer());
        let kept = self.kept.take(&peer);
        let is_kept = kept.is_some();
        let connection = match kept {
            Some(connection) => connection,
            // Boxed: it is large, and mostly there is a connection.
            None => match Box::pin(self.connector.new_stream(&peer.http)).await {
                Ok(stream) => Connection::new(stream),
                Err(error) => {
                    let mut error = error.into_up();
                    Phases::unconnected(request, &mut error);
                    return Err(error);
                }
            },
        };
        match exchange(&self.phases, client, connection, &peer, request).await {
            Ok(Some(connection)) => self.kept.put(&peer, connection),
            Ok(None) => {}
            Err(mut error) => {
                let can_repeat = client.head().method.is_idempotent();
                Phases::broken_off(can_repeat, request, &mut error, is_kept);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Whether the passage leads where HTTP/1 is spoken and nothing else.
fn reaches(passage: &Passage, request: &Request) -> bool {
    let upstream = passage.upstream().and_then(|name| request.live.upstreams.get(name));
    upstream.is_some_and(|upstream| upstream.is_http1())
}

async fn fail(client: &mut impl Client, failure: Failure, request: &mut Request) -> Result<()> {
    request.outcome = Outcome::failed(failure);
    answer_with(client, failed(&request.live, failure), After::Keep, request).await
}

async fn answer_with(
    client: &mut impl Client,
    mut answer: Response<Bytes>,
    after: After,
    request: &Request,
) -> Result<()> {
    if after == After::Close {
        client.close();
    }
    share(&mut answer, client.head(), request);
    client.answer(answer, request.name()).await
}
