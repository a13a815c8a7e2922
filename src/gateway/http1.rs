//! HTTP/1 on one connection: heads are read and vetted one after the other. What is nothing but a
//! head is worked on here ([`super::direct`]); everything else goes to Pingora, which finds its
//! head complete.
//!
//! It must not know what becomes of a request.

use std::ops::DerefMut;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use pingora::apps::HttpServerApp;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use tokio::time::{Instant, timeout};

use super::accept::{Edge, Rules};
use super::arrival::{Arrival, Origin};
use super::direct::Served;
use super::edge::{self, Send, fresh_request_id};
use super::head::{Alarm, Head, HeadLimits, read_head};
use super::lines::host_of;
use super::live::ErrorReply;
use super::request_line::RequestLine;
use super::vet::{Fault, VetLimits, Vetted, vet};
use super::watch::watched;
use super::wire::Turn;

impl<A: HttpServerApp + std::marker::Send + Sync + 'static> Edge<A> {
    /// Serves a connection to its end; `buffer`: what was read of it already.
    pub(super) async fn http1(
        &self,
        mut io: Stream,
        turn: Turn,
        origin: Origin,
        mut buffer: BytesMut,
    ) {
        let mut closing = self.ends.closing.clone();
        let mut closed = pin!(async move {
            let _ = closing.wait_for(|closing| *closing).await;
        });
        let mut alarm = Alarm::new(Instant::now());
        let mut served = 0;
        loop {
            turn.give_back();
            let rules = (self.rules)();
            let limits = HeadLimits {
                first_byte: if served == 0 { rules.head_time } else { rules.idle },
                whole: rules.head_time,
                bytes: rules.head_bytes,
            };
            let read = read_head(&mut *io, &mut buffer, limits, &mut alarm, closed.as_mut()).await;
            let arrival = Arrival::new(&origin, self.recorder.clock.now());
            let vetted = match read {
                Head::Ready(end) => {
                    let head = &buffer[..end];
                    let vetted = vet(head, VetLimits { lines: rules.head_lines });
                    vetted.and_then(|Vetted { rest, is_bare }| {
                        self.misdirected(&origin, || host_of(head))?;
                        Ok((rest.end_of(end, buffer.len()), is_bare))
                    })
                }
                Head::Closed | Head::Idle => return edge::close(&mut *io).await,
                Head::Slow => Err(SLOW),
                Head::Large => Err(LARGE),
                Head::Malformed(detail) => {
                    Err(Fault { status: StatusCode::BAD_REQUEST, detail, code: "bad_request" })
                }
            };
            let (end, is_bare) = match vetted {
                Ok(vetted) => vetted,
                Err(fault) => {
                    return self.refuse(&mut io, &arrival, &buffer, fault, rules.error).await;
                }
            };
            served += 1;
            let turns = rules.requests_per_connection.saturating_sub(served);
            // What a client sent of its next request waits here for its turn.
            let next = if end < buffer.len() { buffer.split_off(end) } else { BytesMut::new() };
            let request = std::mem::replace(&mut buffer, next);
            let arrival = Arc::new(arrival.over(turn.clone()));
            let request = match &self.direct {
                Some(direct) if is_bare => {
                    let head = request.freeze();
                    let work = Box::pin(direct.serve(&mut io, &head, turns > 0, &arrival));
                    match to_its_end(work, &arrival, &mut alarm).await {
                        Some(Served::Kept) => {
                            buffer = emptied(head, buffer);
                            continue;
                        }
                        Some(Served::Closed) => return io.shutdown().await,
                        Some(Served::HandedOver) => head.into(),
                        None => return,
                    }
                }
                _ => request,
            };
            match self.proxy(io, request, turns, &rules, &arrival, &mut alarm).await {
                Some(stream) => io = stream,
                None => return,
            }
        }
    }

    /// Has Pingora work on a request. Gives the connection back, if it can take another one.
    async fn proxy(
        &self,
        io: Stream,
        request: BytesMut,
        turns: u32,
        rules: &Rules,
        arrival: &Arc<Arrival>,
        alarm: &mut Alarm,
    ) -> Option<Stream> {
        // If Pingora refuses it, the log wants to know what.
        let line_end = memchr::memchr(b'\n', &request).unwrap_or(request.len());
        let first_line = request[..line_end].to_vec();
        let mut session = ServerSession::new_http1(io);
        session.set_keepalive_reuses_remaining(Some(turns));
        // Only a default: the head decides anew. The wait itself is ours, above.
        session.set_keepalive(Some(rules.idle.as_secs().max(1)));
        session.set_pipelined_prefix(request);
        let work = pin!(arrival.around(self.app.process_new_http(session, &self.ends.leaving)));
        let reused = to_its_end(work, arrival, alarm).await?;
        // One that was judged already and that nobody has taken over; the two hold each other.
        let is_left = arrival.take_over().is_some();
        if is_left || !arrival.has_reached_phases() {
            // Pingora answers these with 400 and closes.
            self.recorder.refused_early(arrival, &first_line, 400, "bad_request", "");
        }
        reused.map(|reused| reused.consume().0)
    }

    pub(super) async fn refuse(
        &self,
        io: &mut Stream,
        arrival: &Arrival,
        head: &[u8],
        fault: Fault,
        error: ErrorReply,
    ) {
        let request_id = fresh_request_id();
        let status = fault.status.as_u16();
        self.recorder.refused_early(arrival, head, status, fault.code, &request_id);
        let answer = error(fault.status, fault.detail, fault.code);
        let send =
            if RequestLine::of(head).method == b"HEAD" { Send::HeadOnly } else { Send::Whole };
        edge::answer_and_close(&mut **io, &answer, &request_id, send).await;
    }
}

/// Works on a request to its end; `None`: it was cut.
async fn to_its_end<W: Future>(
    mut work: Pin<impl DerefMut<Target = W>>,
    arrival: &Arrival,
    alarm: &mut Alarm,
) -> Option<W::Output> {
    let done = watched(work.as_mut(), arrival, alarm).await;
    if done.is_none() {
        // Whoever reads or writes now fails, so that it is logged and all is closed.
        arrival.cut();
        let _ = timeout(FAREWELL, work).await;
    }
    done
}

/// A buffer for the next head: that of the last one, if nobody holds a part of it any more and
/// there is no other.
fn emptied(head: Bytes, next: BytesMut) -> BytesMut {
    if !next.is_empty() {
        return next;
    }
    let mut buffer = head.try_into_mut().unwrap_or(next);
    buffer.clear();
    buffer
}

/// For a request that was cut to be done with.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) const SLOW: Fault = Fault {
    status: StatusCode::REQUEST_TIMEOUT,
    detail: "The request head did not arrive in time.",
    code: "request_timeout",
};

pub(super) const LARGE: Fault = Fault {
    status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    detail: "The request head is too large.",
    code: "head_too_large",
};
