//! Takes connections: counts them, learns who is at the other end, agrees on TLS, and chooses
//! the version of HTTP.
//!
//! Stands in for Pingora's own service because that one has no limit for a whole head, none
//! for idle connections, and refuses malformed requests without a trace. Everything before
//! the phases is bounded here: connections, handshakes, heads, waits. It must not know what
//! becomes of a request.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::StatusCode;
use ipnet::IpNet;
use pingora::apps::HttpServerApp;
use pingora::protocols::Stream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use super::arrival::{Arrival, Origin};
use super::caps::{Caps, Permit};
use super::conn::Conn;
use super::direct::Direct;
use super::edge;
use super::head::{Alarm, Head, HeadLimits, read_head};
use super::http1::SLOW;
use super::live::{ErrorReply, Live};
use super::proxied;
use super::record::Recorder;
use super::socket::{Listening, Socket};
use super::tls::Certificates;
use super::vet::Fault;
use super::wire::Wire;
use crate::config::Settings;

/// How a client of HTTP/2 begins that knows it is spoken: it looks like a whole head.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

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

/// What one listener does differently from the next.
#[derive(Clone, Default)]
pub(super) struct Manner {
    pub(super) tls: Option<TlsAcceptor>,
    /// HTTP/2 without TLS, too.
    pub(super) h2c: bool,
    /// Every connection begins with a PROXY header, and comes from one of these networks.
    pub(super) proxies: Option<Arc<[IpNet]>>,
}

/// Everything that all connections share. `A` is Pingora's proxy with our phases.
pub(super) struct Edge<A> {
    pub(super) app: Arc<A>,
    /// For requests that are nothing but a head; without it they are Pingora's, too.
    pub(super) direct: Option<Direct>,
    pub(super) rules: Box<dyn Fn() -> Rules + Send + Sync>,
    /// Proxies carry many clients' connections: the cap per address is not for them.
    pub(super) is_trusted: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    pub(super) certificates: Option<Certificates>,
    pub(super) caps: Arc<Caps>,
    pub(super) recorder: Recorder,
    pub(super) ends: Ends,
}

/// The steps of a stop, in their order.
#[derive(Clone)]
pub(super) struct Ends {
    /// True: every answer is the last on its connection, so that clients go elsewhere.
    pub(super) leaving: watch::Receiver<bool>,
    /// True: take no more connections.
    pub(super) refusing: watch::Receiver<bool>,
    /// True: close idle connections, let requests finish.
    pub(super) closing: watch::Receiver<bool>,
}

impl<A: HttpServerApp + Send + Sync + 'static> Edge<A> {
    /// Accepts until the gateway stops. Gives out the connections that are still open then;
    /// whoever drops them ends them.
    pub(super) async fn accept(
        self: Arc<Self>,
        listener: Listening,
        manner: Manner,
    ) -> JoinSet<()> {
        let mut refusing = self.ends.refusing.clone();
        let mut connections = JoinSet::new();
        let manner = Arc::new(manner);
        loop {
            let accepted = tokio::select! {
                biased;
                _ = refusing.wait_for(|refusing| *refusing) => return connections,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.admit(&mut connections, socket, peer, &manner),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Over a cap the connection is dropped: the client sees a reset, and it costs us nothing.
    fn admit(
        self: &Arc<Self>,
        connections: &mut JoinSet<()>,
        socket: Socket,
        peer: Option<SocketAddr>,
        manner: &Arc<Manner>,
    ) {
        let rules = (self.rules)();
        let Some(mut permit) = self.caps.take(rules.connections) else {
            return self.recorder.connection_refused(peer, "connection_limit");
        };
        match &manner.proxies {
            // The other end is no client; whose connection it is will be said.
            Some(proxies) => {
                let is_one = |peer: SocketAddr| proxies.iter().any(|net| net.contains(&peer.ip()));
                if !peer.is_none_or(is_one) {
                    return self.recorder.connection_refused(peer, "not_a_proxy");
                }
            }
            None => {
                if !self.is_within_cap(peer, &mut permit, &rules) {
                    return self.recorder.connection_refused(peer, "address_limit");
                }
            }
        }
        let (edge, manner) = (Arc::clone(self), Arc::clone(manner));
        let open = self.recorder.metrics.connection_opened();
        connections.spawn(async move {
            let _open = open;
            edge.serve(socket, peer, &manner, rules, permit).await;
        });
    }

    fn is_within_cap(&self, peer: Option<SocketAddr>, permit: &mut Permit, rules: &Rules) -> bool {
        let Some(ip) = peer.map(|peer| peer.ip()) else { return true };
        (self.is_trusted)(ip) || permit.bind(ip, rules.connections_per_address)
    }

    async fn serve(
        self: &Arc<Self>,
        mut socket: Socket,
        mut peer: Option<SocketAddr>,
        manner: &Manner,
        rules: Rules,
        mut permit: Permit,
    ) {
        if manner.proxies.is_some() {
            match timeout(rules.head_time, proxied::read(&mut socket)).await {
                Ok(Ok(Some(client))) => {
                    peer = Some(SocketAddr::new(client.ip().to_canonical(), client.port()));
                }
                Ok(Ok(None)) => {}
                _ => return self.recorder.connection_refused(peer, "proxy_header"),
            }
            if !self.is_within_cap(peer, &mut permit, &rules) {
                return self.recorder.connection_refused(peer, "address_limit");
            }
        }
        let local = socket.local();
        let conn = Conn::new(socket, peer, rules.write_time, permit);
        let ip = peer.map(|peer| peer.ip());
        let mut origin = Origin::of(ip, local);
        let Some(acceptor) = &manner.tls else {
            return self.serve_plain(Wire::plain(conn), origin, manner, &rules).await;
        };
        let handshake = acceptor.accept(conn).into_fallible();
        let stream = match Box::pin(timeout(rules.head_time, handshake)).await {
            Ok(Ok(stream)) => stream,
            failed => {
                self.recorder.connection_refused(peer, "tls_handshake");
                if let Ok(Err((_, mut conn))) = failed {
                    // The alert that says why has been written, but not sent.
                    edge::close(&mut conn).await;
                }
                return;
            }
        };
        let agreed = stream.get_ref().1;
        let is_h2 = agreed.alpn_protocol() == Some(b"h2");
        origin.scheme = "https";
        origin.server_name = agreed.server_name().map(Arc::from);
        let wire = Wire::tls(stream);
        if is_h2 {
            Box::pin(self.http2(Box::new(wire), origin)).await;
        } else {
            let turn = wire.turn();
            self.http1(Box::new(wire), turn, origin, BytesMut::new()).await;
        }
    }

    async fn serve_plain(
        self: &Arc<Self>,
        mut wire: Wire,
        origin: Origin,
        manner: &Manner,
        rules: &Rules,
    ) {
        let (turn, mut buffer) = (wire.turn(), BytesMut::new());
        if manner.h2c {
            let limits = HeadLimits {
                first_byte: rules.head_time,
                whole: rules.head_time,
                bytes: rules.head_bytes,
            };
            let (mut alarm, mut closing) = (Alarm::new(Instant::now()), self.ends.closing.clone());
            let closed = pin!(async move {
                let _ = closing.wait_for(|closing| *closing).await;
            });
            let read = read_head(&mut wire, &mut buffer, limits, &mut alarm, closed).await;
            match read {
                Head::Closed | Head::Idle => return edge::close(&mut wire).await,
                Head::Ready(_) if buffer.starts_with(PREFACE) => {
                    wire.put_back(buffer);
                    return Box::pin(self.http2(Box::new(wire), origin)).await;
                }
                // Its time is over: it does not begin anew in the other loop.
                Head::Slow => {
                    let arrival = Arrival::new(&origin, self.recorder.clock.now());
                    let mut io: Stream = Box::new(wire);
                    return self.refuse(&mut io, &arrival, &buffer, SLOW, rules.error).await;
                }
                // What was read is judged as any other head.
                Head::Ready(_) | Head::Large | Head::Malformed(_) => {}
            }
        }
        self.http1(Box::new(wire), turn, origin, buffer).await;
    }

    /// Refuses a request for one site over a connection that was made for another, with another
    /// certificate (RFC 9110, 7.4). The client then tries a connection of its own.
    pub(super) fn misdirected<'a>(
        &self,
        origin: &Origin,
        host: impl FnOnce() -> Option<&'a str>,
    ) -> Result<(), Fault> {
        let (Some(certificates), Some(name)) = (&self.certificates, &origin.server_name) else {
            return Ok(());
        };
        if certificates.is_several()
            && host().is_some_and(|host| certificates.contradicts(name, host))
        {
            return Err(Fault {
                status: StatusCode::MISDIRECTED_REQUEST,
                detail: "This connection was made for another host.",
                code: "misdirected_request",
            });
        }
        Ok(())
    }
}
