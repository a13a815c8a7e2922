//! Takes connections and feeds their requests to Pingora, one vetted head at a time.
//!
//! Stands in for Pingora's own service because that one has no limit for a whole head, none
//! for idle connections, and refuses malformed requests without a trace. Everything before
//! the phases is bounded here: connections, heads, waits. It must not know what becomes of a
//! request.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::StatusCode;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::arrival::Arrival;
use super::caps::{Caps, Permit};
use super::conn::{Conn, Turn};
use super::edge::{self, Send, fresh_request_id};
use super::head::{Alarm, Head, HeadLimits, read_head};
use super::live::{ErrorReply, Live};
use super::record::Recorder;
use super::vet::{Fault, RequestLine, VetLimits, vet};
use crate::config::Settings;

/// After a failed accept (no descriptors left, most likely).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the edge needs of a snapshot. Read anew for each head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) connections: usize,
    pub(super) connections_per_address: usize,
    /// From the first byte to the empty line; also how long a new connection may be silent.
    pub(super) head_time: Duration,
    pub(super) head_bytes: usize,
    pub(super) head_lines: usize,
    pub(super) idle: Duration,
    pub(super) write_time: Duration,
    pub(super) requests_per_connection: u32,
    pub(super) error: ErrorReply,
}

impl Rules {
    pub(super) fn of(live: &Live) -> Self {
        let Settings { limits, .. } = &*live.settings;
        Self {
            connections: limits.connections,
            connections_per_address: limits.connections_per_address,
            head_time: limits.head_timeout.0,
            head_bytes: limits.head_bytes,
            head_lines: limits.head_count,
            idle: limits.idle_timeout.0,
            write_time: limits.write_timeout.0,
            requests_per_connection: limits.requests_per_connection,
            error: live.replies.error,
        }
    }
}

/// Everything that all connections share. `A` is Pingora's proxy with our phases.
pub(super) struct Edge<A> {
    pub(super) app: Arc<A>,
    pub(super) rules: Box<dyn Fn() -> Rules + std::marker::Send + Sync>,
    /// Proxies carry many clients' connections: the cap per address is not for them.
    pub(super) is_trusted: Box<dyn Fn(std::net::IpAddr) -> bool + std::marker::Send + Sync>,
    pub(super) caps: Arc<Caps>,
    pub(super) recorder: Recorder,
    /// True: take no more connections, close idle ones, let requests finish.
    pub(super) closing: watch::Receiver<bool>,
}

impl<A: HttpServerApp + std::marker::Send + Sync + 'static> Edge<A> {
    /// Accepts until the gateway closes. Gives out the connections that are still open then;
    /// whoever drops them ends them.
    pub(super) async fn accept(self: Arc<Self>, listener: TcpListener) -> JoinSet<()> {
        let mut closing = self.closing.clone();
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => return connections,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.admit(&mut connections, socket, peer),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Over a cap the connection is dropped: the client sees a reset, and it costs us nothing.
    fn admit(self: &Arc<Self>, connections: &mut JoinSet<()>, socket: TcpStream, peer: SocketAddr) {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let rules = (self.rules)();
        let Some(mut permit) = self.caps.take(rules.connections) else {
            return self.recorder.connection_refused(peer.ip(), "connection_limit");
        };
        if !(self.is_trusted)(peer.ip()) && !permit.bind(peer.ip(), rules.connections_per_address) {
            return self.recorder.connection_refused(peer.ip(), "address_limit");
        }
        let edge = Arc::clone(self);
        let open = self.recorder.metrics.connection_opened();
        connections.spawn(async move {
            let _open = open;
            edge.serve(socket, peer, rules.write_time, permit).await;
        });
    }

    async fn serve(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        write_time: Duration,
        permit: Permit,
    ) {
        // Answers are written whole; waiting to fill a packet would only delay them.
        let _ = socket.set_nodelay(true);
        let local = socket.local_addr().ok();
        let conn = Conn::new(socket, peer, write_time, permit);
        // TLS belongs here: a handshake within `head_time` turns the `Conn` into another
        // `Stream`, the scheme into "https", and ALPN chooses the loop.
        let turn = conn.turn();
        let stream: Stream = Box::new(conn);
        self.http1(stream, turn, peer, local, "http").await;
    }

    async fn http1(
        &self,
        mut io: Stream,
        turn: Turn,
        peer: SocketAddr,
        local: Option<SocketAddr>,
        scheme: &'static str,
    ) {
        let mut closing = self.closing.clone();
        let mut closed = pin!(async move {
            let _ = closing.wait_for(|closing| *closing).await;
        });
        let mut alarm = Alarm::new(Instant::now());
        let mut kept: Option<HttpPersistentSettings> = None;
        let (mut buffer, mut first_line) = (BytesMut::new(), Vec::new());
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
            let arrival = Arrival::new(Some(peer.ip()), local, scheme, self.recorder.clock.now());
            let vetted = match read {
                Head::Ready(end) => {
                    let vetted = vet(&buffer[..end], VetLimits { lines: rules.head_lines });
                    vetted.map(|rest| rest.end_of(end, buffer.len()))
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
            let reused = arrival.around(work).await;
            if !arrival.has_reached_phases() {
                // Pingora answers these with 400 and closes.
                self.recorder.refused_early(&arrival, &first_line, 400, "bad_request", "");
            }
            let Some((stream, settings)) = reused.map(ReusedHttpStream::consume) else { return };
            (io, kept) = (stream, settings);
            is_first = false;
        }
    }

    async fn refuse(
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

const SLOW: Fault = Fault {
    status: StatusCode::REQUEST_TIMEOUT,
    detail: "The request head did not arrive in time.",
    code: "request_timeout",
};

const LARGE: Fault = Fault {
    status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    detail: "The request head is too large.",
    code: "head_too_large",
};
