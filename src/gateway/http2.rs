//! HTTP/2 on one connection: each stream is vetted and is a request of its own. What is nothing but
//! a head is worked on by [`super::direct`]; everything else goes to Pingora.
//!
//! Bounded here: streams at a time and in all, headers, idle time, streams that the client opens
//! only to drop them. The h2 crate bounds frames that carry nothing: CONTINUATION, resets, empty
//! DATA. It must not know what becomes of a request.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use pingora::apps::HttpServerApp;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{self as h2, H2Accept, H2Options, HttpSession};
use pingora::protocols::{Digest, Stream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::accept::{Edge, Ends, Rules};
use super::arrival::{Arrival, LastWords, Origin};
use super::edge::fresh_request_id;
use super::head::Alarm;
use super::vet::{Fault, VetLimits};
use super::vet_h2::{Vetted, vet};
use super::watch::{LOOK_EVERY, watched};
use crate::gate::X_REQUEST_ID;

/// Streams that a client may have open.
const STREAMS: u32 = 100;

/// What waits of one stream's answer for the client to take it.
pub(super) const SEND_BUFFER: usize = 64 * 1024;

/// Malformed requests that one connection may bring. (Pingora's own budget starts anew at every
/// call of what it offers to others.)
const MOST_MALFORMED: usize = 32;

/// Requests that a client may abandon before it looks as if that were the point (rapid reset),
/// when they are also more than half of all.
const ABANDONED: usize = 100;

/// For a refusal to be taken, and for what the client still sends meanwhile.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// How long a connection stays once its end was announced and nothing is open: a client that
/// does not confirm it would hold it.
const PARTING_TIME: Duration = Duration::from_secs(1);

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Answered,
    /// The client did not wait.
    Abandoned,
}

impl<A: HttpServerApp + Send + Sync + 'static> Edge<A> {
    /// Serves a connection to its end.
    pub(super) async fn http2(self: &Arc<Self>, io: Stream, origin: Origin) {
        let rules = (self.rules)();
        let digest = Arc::new(Digest {
            ssl_digest: None,
            timing_digest: Vec::new(),
            proxy_digest: None,
            socket_digest: io.get_socket_digest(),
        });
        let handshake = h2::handshake(io, Some(options(&rules)));
        let Ok(Ok(mut conn)) = timeout(rules.head_time, handshake).await else { return };
        let Ends { mut leaving, mut closing, .. } = self.ends.clone();
        let (mut parting, mut taken, mut malformed, mut abandoned) = (false, 0, 0, 0);
        let mut live: JoinSet<End> = JoinSet::new();
        // Runs while no stream is open; a head that is not complete does not set it back.
        let mut idle = pin!(sleep(rules.head_time));
        loop {
            // A new connection carries at least one request: a client that is told to leave first
            // could come again and again and never be served.
            let end = if taken > 0 { &mut leaving } else { &mut closing };
            tokio::select! {
                biased;
                _ = end.wait_for(|is_time| *is_time), if !parting => {
                    conn.graceful_shutdown();
                    parting = true;
                    idle.as_mut().reset(Instant::now() + PARTING_TIME);
                }
                Some(ended) = live.join_next(), if !live.is_empty() => {
                    abandoned += usize::from(matches!(ended, Ok(End::Abandoned)));
                    if abandoned > ABANDONED && abandoned * 2 > taken {
                        return self.recorder.metrics.refused_by_server("abandoned_streams");
                    }
                    let rest = if parting { PARTING_TIME } else { rules.idle };
                    idle.as_mut().reset(Instant::now() + rest);
                }
                () = &mut idle, if live.is_empty() => return,
                // Also what drives the connection.
                accepted = HttpSession::from_h2_conn(&mut conn, Arc::clone(&digest)) => match accepted {
                    Err(_) | Ok(None) => break,
                    Ok(Some(H2Accept::Rejected)) => {
                        self.recorder.metrics.refused_by_server("bad_request");
                        malformed += 1;
                        if malformed >= MOST_MALFORMED {
                            return;
                        }
                    }
                    Ok(Some(H2Accept::Session(session))) => {
                        taken += 1;
                        let (edge, origin) = (Arc::clone(self), origin.clone());
                        // Both boxed: they are large, and handed on several times.
                        let session = Box::new(session);
                        live.spawn(Box::pin(async move { edge.stream(session, &origin).await }));
                        if taken >= rules.requests_per_connection as usize && !parting {
                            conn.graceful_shutdown();
                            parting = true;
                        }
                    }
                },
            }
        }
        // Without their connection the streams end at once.
        while live.join_next().await.is_some() {}
    }

    async fn stream(&self, mut session: Box<HttpSession>, origin: &Origin) -> End {
        let rules = (self.rules)();
        let arrival = Arrival::new(origin, self.recorder.clock.now());
        let vetted = vet(session.req_header_mut(), VetLimits { lines: rules.head_lines });
        let vetted = vetted.and_then(|vetted| {
            let host = session.req_header().headers.get(http::header::HOST);
            self.misdirected(origin, || host?.to_str().ok())?;
            Ok(vetted)
        });
        let is_bare = match vetted {
            Ok(Vetted { is_plain }) => is_plain && session.is_body_done(),
            Err(fault) => {
                let refusing = self.refuse_stream(session, &arrival, fault, &rules);
                let _ = timeout(ANSWER_TIME, refusing).await;
                return End::Answered;
            }
        };
        let arrival = Arc::new(arrival);
        // Neither copies anything.
        let (method, uri) = {
            let head = session.req_header();
            (head.method.clone(), head.uri.clone())
        };
        let work = pin!(self.work_on(session, is_bare, rules.write_time, &arrival));
        let mut alarm = Alarm::new(Instant::now() + LOOK_EVERY);
        if watched(work, &arrival, &mut alarm).await.is_none() {
            // Dropped unfinished, the stream is reset, and its request says these.
            arrival.cut_saying(LastWords { method, uri, recorder: self.recorder.clone() });
        } else if arrival.take_over().is_some() {
            // Judged already, and nobody has taken it over; the two hold each other.
            let target = uri.path_and_query().map_or("", |target| target.as_str());
            let line = first_line(&method, target.as_bytes());
            self.recorder.refused_early(&arrival, &line, 400, "bad_request", "");
        }
        if arrival.is_abandoned() { End::Abandoned } else { End::Answered }
    }

    /// Works on a request to its end. `is_bare`: it is nothing but its head.
    async fn work_on(
        &self,
        session: Box<HttpSession>,
        is_bare: bool,
        write_time: Duration,
        arrival: &Arc<Arrival>,
    ) {
        let session = match &self.direct {
            Some(direct) if is_bare => direct.serve_stream(session, write_time, arrival).await,
            _ => Some(session),
        };
        if let Some(session) = session {
            let session = ServerSession::new_http2(*session);
            arrival.around(self.app.process_new_http(session, &self.ends.leaving)).await;
        }
    }

    async fn refuse_stream(
        &self,
        mut session: Box<HttpSession>,
        arrival: &Arrival,
        fault: Fault,
        rules: &Rules,
    ) {
        let request_id = fresh_request_id();
        let head = session.req_header();
        let line = first_line(&head.method, head.raw_path());
        let status = fault.status.as_u16();
        self.recorder.refused_early(arrival, &line, status, fault.code, &request_id);
        let answer = (rules.error)(fault.status, fault.detail, fault.code);
        let is_head = head.method == Method::HEAD;
        let Ok(head) = head_of(&answer, &request_id) else { return };
        if session.write_response_header(Box::new(head), is_head).is_err() {
            return;
        }
        if !is_head && session.write_body(answer.into_body(), true).await.is_err() {
            return;
        }
        // A stream that is dropped with an unread body is reset, and the reset can overtake the
        // answer.
        let _ = session.drain_request_body().await;
    }
}

/// As HTTP/1 would have it, for the log.
fn first_line(method: &Method, target: &[u8]) -> Vec<u8> {
    [method.as_str().as_bytes(), b" ", target].concat()
}

fn options(rules: &Rules) -> H2Options {
    let mut options = h2::default_h2_options();
    options
        .max_header_list_size(u32::try_from(rules.head_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS)
        .max_send_buffer_size(SEND_BUFFER);
    options
}

fn head_of(answer: &Response<Bytes>, request_id: &str) -> pingora::Result<ResponseHeader> {
    let mut head =
        ResponseHeader::build_no_case(answer.status(), Some(answer.headers().len() + 2))?;
    for (name, value) in answer.headers() {
        head.append_header(name, value.clone())?;
    }
    head.insert_header(http::header::CONTENT_LENGTH, answer.body().len())?;
    head.insert_header(X_REQUEST_ID, request_id)?;
    Ok(head)
}
