//! One address to connect to, built ahead and only cloned on the way of a request.
//!
//! It must not know whose turn it is.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use pingora::upstreams::peer::{HttpPeer, Peer as _};

use super::choice::fingerprint;
use super::standing::Standing;
use super::tls::ServerTls;
use crate::config::{Limits, Protocol};

/// What TLS may take after the connection stands.
const HANDSHAKE_TIME: Duration = Duration::from_secs(2);

/// Requests at a time on one HTTP/2 connection; Pingora's default is one.
const STREAMS: usize = 100;

/// How often a quiet HTTP/2 connection is asked whether it still stands.
const PING_EVERY: Duration = Duration::from_secs(20);

/// One address to connect to.
#[derive(Debug)]
pub(in crate::gateway) struct Peer {
    /// The address as text: names the peer in logs and tells it from others.
    pub(in crate::gateway) label: String,
    pub(in crate::gateway) http: HttpPeer,
    /// What a connection may be used for: the same for the same address, TLS and certificates.
    pub(in crate::gateway) key: u64,
    /// What it sees as `Host` in place of what the client sent; its own name.
    pub(in crate::gateway) host: Option<HeaderValue>,
    pub(in crate::gateway) times: Times,
    pub(super) weight: u32,
    /// Tells it from others where requests are spread by hash.
    pub(super) seed: u64,
    pub(super) standing: Standing,
    /// Requests on their way, where they are counted.
    pub(super) under_way: AtomicUsize,
}

/// A peer that was picked for one attempt.
#[derive(Debug)]
pub(in crate::gateway) struct Picked {
    peer: Arc<Peer>,
    is_counted: bool,
}

/// How the peers of one configured server are made.
#[derive(Debug, Clone)]
pub(super) struct Making {
    /// The name that the certificate must carry; `None` without TLS. Never empty: Pingora
    /// verifies nothing then.
    pub(super) tls: Option<(String, ServerTls)>,
    pub(super) protocol: Protocol,
    pub(super) host: Option<HeaderValue>,
    pub(super) weight: u32,
    pub(super) times: Times,
}

/// The time limits of a connection to a server. Pingora sets none by itself.
#[derive(Debug, Clone, Copy)]
pub(in crate::gateway) struct Times {
    connect: Duration,
    /// For each piece of an answer, the head being one.
    pub(in crate::gateway) read: Duration,
    pub(in crate::gateway) write: Duration,
    /// Of a connection that is kept for the next request.
    pub(in crate::gateway) idle: Duration,
}

impl Picked {
    pub(super) fn new(peer: Arc<Peer>, is_counted: bool) -> Self {
        if is_counted {
            peer.under_way.fetch_add(1, Ordering::Relaxed);
        }
        Self { peer, is_counted }
    }

    pub(in crate::gateway) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        if self.is_counted {
            self.peer.under_way.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Making {
    pub(super) fn inet(&self, address: SocketAddr) -> Arc<Peer> {
        let name = self.tls.as_ref().map(|(name, _)| name.clone()).unwrap_or_default();
        let http = HttpPeer::new(address, self.tls.is_some(), name);
        self.finish(address.to_string(), http)
    }

    /// `None` if the path is too long for a socket, or no text.
    pub(super) fn unix(&self, path: &Path) -> Option<Arc<Peer>> {
        let path = path.to_str()?;
        let http = HttpPeer::new_uds(path, false, String::new()).ok()?;
        Some(self.finish(format!("unix:{path}"), http))
    }

    fn finish(&self, label: String, mut http: HttpPeer) -> Arc<Peer> {
        if let Some((_, tls)) = &self.tls {
            tls.set(&mut http);
        }
        let (options, times) = (&mut http.options, self.times);
        options.connection_timeout = Some(times.connect);
        options.total_connection_timeout = Some(times.connect + HANDSHAKE_TIME);
        options.read_timeout = Some(times.read);
        options.write_timeout = Some(times.write);
        options.idle_timeout = Some(times.idle);
        match self.protocol {
            Protocol::Http1 => {}
            Protocol::Http2 => options.set_http_version(2, 2),
            Protocol::Negotiate => options.set_http_version(2, 1),
        }
        if self.protocol != Protocol::Http1 {
            options.max_h2_streams = STREAMS;
            options.h2_ping_interval = Some(PING_EVERY);
        }
        Arc::new(Peer {
            seed: fingerprint(label.as_bytes()),
            label,
            key: http.reuse_hash(),
            http,
            host: self.host.clone(),
            times,
            weight: self.weight,
            standing: Standing::default(),
            under_way: AtomicUsize::new(0),
        })
    }
}

impl From<&Limits> for Times {
    fn from(limits: &Limits) -> Self {
        Self {
            connect: limits.connect_timeout.0,
            read: limits.upstream_read_timeout.0,
            write: limits.upstream_write_timeout.0,
            idle: limits.upstream_idle_timeout.0,
        }
    }
}
