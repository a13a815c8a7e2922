//! HTTP/1 on one connection: heads are read and vetted one after the other, and each goes to
//! Pingora, which finds it complete.
//!
//! It must not know what becomes of a request.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::StatusCode;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use tokio::time::{Instant, timeout};

use super::accept::Edge;
use super::arrival::{Arrival, Origin};
use super::edge::{self, Send, fresh_request_id};
use super::head::{Alarm, Head, HeadLimits, read_head};
use super::live::ErrorReply;
use super::request_line::RequestLine;
use super::vet::{Fault, VetLimits, host_of, vet};
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
        let mut closing = self.closing.clone();
        let mut closed = pin!(async move {
            let _ = closing.wait_for(|closing| *closing).await;
        });
        let mut alarm = Alarm::new(Instant::now());
        let mut kept: Option<HttpPersistentSettings> = None;
        let mut first_line = Vec::new();
        let mut is_first = true;
        loop {
            turn.give_back();
            let rules = (self.rules)();
            let limits = HeadLimits {
                first_byte: if is_first { rules.head_time } else { rules.idle },
                whole: rules.head_time,
                bytes: rules.head_bytes,
            };
            let read = read_head(&mut *io, &mut buffer, limits, &mut alarm, closed.as_mut()).await;
            let arrival = Arrival::new(&origin, self.recorder.clock.now());
            let vetted = match read {
                Head::Ready(end) => {
                    let head = &buffer[..end];
                    let vetted = vet(head, VetLimits { lines: rules.head_lines });
                    vetted.and_then(|rest| {
                        self.misdirected(&origin, || host_of(head))?;
                        Ok(rest.end_of(end, buffer.len()))
                    })
                }
                Head::Closed | Head::Idle => return edge::close(&mut *io).await,
                Head::Slow => Err(SLOW),
                Head::Large => Err(LARGE),
                Head::Malformed(detail) => {
                    Err(Fault { status: StatusCode::BAD_REQUEST, detail, code: "bad_request" })
                }
            };
            let end = match vetted {
                Ok(end) => end,
                Err(fault) => {
                    return self.refuse(&mut io, &arrival, &buffer, fault, rules.error).await;
                }
            };
            // Pingora takes the request; if it refuses, the log wants to know what.
            let line_end = memchr::memchr(b'\n', &buffer).unwrap_or(buffer.len());
            first_line.clear();
            first_line.extend_from_slice(&buffer[..line_end]);

            let mut session = ServerSession::new_http1(io);
            if let Some(settings) = kept.take() {
                settings.apply_to_session(&mut session);
            } else {
                let reuses = rules.requests_per_connection.saturating_sub(1);
                session.set_keepalive_reuses_remaining(Some(reuses));
            }
            // Only a default: the head decides anew. The wait itself is ours, above.
            session.set_keepalive(Some(rules.idle.as_secs().max(1)));
            // What a client sent of its next request waits here for its turn.
            let next = if end < buffer.len() { buffer.split_off(end) } else { BytesMut::new() };
            session.set_pipelined_prefix(std::mem::replace(&mut buffer, next));
            let arrival = Arc::new(arrival.over(turn.clone()));
            let work = self.app.process_new_http(session, &self.closing);
            let mut work = pin!(arrival.around(work));
            let Some(reused) = watched(work.as_mut(), &arrival, &mut alarm).await else {
                // Whoever reads or writes now fails, so that it is logged and all is closed.
                arrival.cut();
                let _ = timeout(FAREWELL, work).await;
                return;
            };
            if !arrival.has_reached_phases() {
                // Pingora answers these with 400 and closes.
                self.recorder.refused_early(&arrival, &first_line, 400, "bad_request", "");
            }
            let Some((stream, settings)) = reused.map(ReusedHttpStream::consume) else { return };
            (io, kept) = (stream, settings);
            is_first = false;
        }
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

/// For a request that was cut to be done with.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) const SLOW: Fault = Fault {
    status: StatusCode::REQUEST_TIMEOUT,
    detail: "The request head did not arrive in time.",
    code: "request_timeout",
};

const LARGE: Fault = Fault {
    status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    detail: "The request head is too large.",
    code: "head_too_large",
};
