//! Where passages lead: upstreams, their servers, and whose turn it is.
//!
//! Peers are built ahead and only cloned on the request path. Names are resolved in the
//! background, never there: Pingora's own look-up blocks the worker and panics on failure.
//! It must not know requests.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::upstreams::peer::{HttpPeer, Peer as _};
use prometheus::Histogram;
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::config::{Endpoint, Limits, Settings};
use crate::telemetry::Metrics;

/// How long one name may take to resolve; the last good answer stands meanwhile.
const LOOKUP_TIME: Duration = Duration::from_secs(5);

/// What TLS may take after the connection stands.
const HANDSHAKE_TIME: Duration = Duration::from_secs(2);

/// A server that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The text is none of `host:port`, `http://…`, `https://…`, `unix:/path`.
    #[error("upstream {upstream}: {server} is not a server address")]
    Server {
        /// The upstream's name.
        upstream: String,
        /// The text as configured.
        server: String,
    },
}

/// All upstreams of one snapshot, by name.
#[derive(Debug)]
pub struct Upstreams(HashMap<String, Arc<Upstream>>);

impl Upstreams {
    /// Builds all peers. Names have no address until [`Upstreams::refresh`] was awaited once.
    pub fn new(settings: &Settings, metrics: &Metrics) -> Result<Self, UpstreamError> {
        let build = |configured: &crate::config::Upstream| {
            let servers: Result<Vec<_>, _> = configured
                .servers
                .iter()
                .map(|text| {
                    Server::parse(text, &settings.limits).ok_or_else(|| UpstreamError::Server {
                        upstream: configured.name.clone(),
                        server: text.clone(),
                    })
                })
                .collect();
            let upstream = Upstream {
                name: configured.name.clone(),
                servers: servers?,
                peers: ArcSwap::default(),
                turn: AtomicUsize::new(0),
                durations: metrics.upstream_duration(&configured.name),
                was_up: AtomicBool::new(true),
            };
            metrics.upstream_is_up(&configured.name, true);
            upstream.gather();
            Ok((configured.name.clone(), Arc::new(upstream)))
        };
        Ok(Self(settings.upstreams.iter().map(build).collect::<Result<_, _>>()?))
    }

    /// Resolves every name once more. A name that fails keeps its last good addresses.
    pub async fn refresh(&self) {
        for upstream in self.0.values() {
            upstream.refresh().await;
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.0.get(name)
    }
}

/// One back end: servers that are as good as each other.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) name: String,
    servers: Vec<Server>,
    /// Every address of every server.
    peers: ArcSwap<Vec<Arc<Peer>>>,
    turn: AtomicUsize,
    /// From the request sent to the answer's head.
    pub(super) durations: Histogram,
    was_up: AtomicBool,
}

impl Upstream {
    /// Notes whether a server answered; the metric is touched only when that changes.
    pub(super) fn note(&self, is_up: bool, metrics: &Metrics) {
        if self.was_up.load(Ordering::Relaxed) != is_up {
            self.was_up.store(is_up, Ordering::Relaxed);
            metrics.upstream_is_up(&self.name, is_up);
        }
    }

    /// The next peer in turn that is not in `tried`.
    pub(super) fn pick(&self, tried: &[Arc<Peer>]) -> Option<Arc<Peer>> {
        let peers = self.peers.load();
        let start = self.turn.fetch_add(1, Ordering::Relaxed);
        (0..peers.len())
            .map(|step| &peers[start.wrapping_add(step) % peers.len()])
            .find(|peer| !tried.iter().any(|tried| tried.label == peer.label))
            .cloned()
    }

    /// Whether there is a peer that is not in `tried`.
    pub(super) fn has_other(&self, tried: &[Arc<Peer>]) -> bool {
        let is_tried = |peer: &Arc<Peer>| tried.iter().any(|tried| tried.label == peer.label);
        !self.peers.load().iter().all(is_tried)
    }

    async fn refresh(&self) {
        let mut changed = false;
        for server in &self.servers {
            if let Place::Name(name) = &server.place {
                changed |= name.resolve(server.tls.as_deref(), &server.options).await;
            }
        }
        if changed {
            self.gather();
        }
    }

    fn gather(&self) {
        let mut all = Vec::new();
        for server in &self.servers {
            match &server.place {
                Place::Fixed(peer) => all.push(Arc::clone(peer)),
                Place::Name(name) => all.extend(name.peers.load().iter().cloned()),
            }
        }
        self.peers.store(Arc::new(all));
    }
}

/// One address to connect to, ready to be cloned.
#[derive(Debug)]
pub(super) struct Peer {
    /// The address as text: names the peer in logs and tells it from others.
    pub(super) label: String,
    pub(super) http: HttpPeer,
}

#[derive(Debug)]
struct Server {
    place: Place,
    /// The name that the certificate must carry; `None` without TLS. Never empty: Pingora
    /// verifies nothing then.
    tls: Option<String>,
    options: PeerTimes,
}

#[derive(Debug)]
enum Place {
    Fixed(Arc<Peer>),
    Name(Name),
}

#[derive(Debug)]
struct Name {
    host: String,
    port: u16,
    peers: ArcSwap<Vec<Arc<Peer>>>,
}

impl Name {
    /// Whether the addresses have changed.
    async fn resolve(&self, tls: Option<&str>, times: &PeerTimes) -> bool {
        let found = match timeout(LOOKUP_TIME, lookup_host((self.host.as_str(), self.port))).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::warn!(host = self.host, %error, "upstream name does not resolve");
                return false;
            }
            Err(_) => {
                tracing::warn!(host = self.host, "upstream name takes too long to resolve");
                return false;
            }
        };
        let mut addresses: Vec<SocketAddr> = found.collect();
        addresses.sort_unstable();
        addresses.dedup();
        let known = self.peers.load();
        let same = known.len() == addresses.len()
            && known
                .iter()
                .zip(&addresses)
                .all(|(peer, address)| peer.label == address.to_string());
        if same || addresses.is_empty() {
            return false;
        }
        let peers = addresses.iter().map(|address| inet_peer(*address, tls, times)).collect();
        self.peers.store(Arc::new(peers));
        true
    }
}

impl Server {
    fn parse(text: &str, limits: &Limits) -> Option<Self> {
        let options = PeerTimes::from(limits);
        let (host, port, tls) = match text.parse().ok()? {
            Endpoint::Tcp { host, port, tls } => (host, port, tls),
            Endpoint::Unix(path) => {
                let mut http = HttpPeer::new_uds(path.to_str()?, false, String::new()).ok()?;
                options.set(&mut http);
                let peer = Arc::new(Peer { label: text.to_owned(), http });
                return Some(Self { place: Place::Fixed(peer), tls: None, options });
            }
        };
        let tls = tls.then(|| host.clone());
        let place = match host.parse() {
            Ok(ip) => {
                let address = SocketAddr::new(ip, port);
                Place::Fixed(inet_peer(address, tls.as_deref(), &options))
            }
            Err(_) => Place::Name(Name { host, port, peers: ArcSwap::default() }),
        };
        Some(Self { place, tls, options })
    }
}

fn inet_peer(address: SocketAddr, tls: Option<&str>, times: &PeerTimes) -> Arc<Peer> {
    let mut http = HttpPeer::new(address, tls.is_some(), tls.unwrap_or_default().to_owned());
    times.set(&mut http);
    Arc::new(Peer { label: address.to_string(), http })
}

/// The time limits of a connection to a server. Pingora sets none by itself.
#[derive(Debug, Clone, Copy)]
struct PeerTimes {
    connect: Duration,
    read: Duration,
    write: Duration,
    idle: Duration,
}

impl From<&Limits> for PeerTimes {
    fn from(limits: &Limits) -> Self {
        Self {
            connect: limits.connect_timeout.0,
            read: limits.upstream_read_timeout.0,
            write: limits.upstream_write_timeout.0,
            idle: limits.upstream_idle_timeout.0,
        }
    }
}

impl PeerTimes {
    fn set(self, peer: &mut HttpPeer) {
        if let Some(options) = peer.get_mut_peer_options() {
            options.connection_timeout = Some(self.connect);
            options.total_connection_timeout = Some(self.connect + HANDSHAKE_TIME);
            options.read_timeout = Some(self.read);
            options.write_timeout = Some(self.write);
            options.idle_timeout = Some(self.idle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times() -> PeerTimes {
        let second = Duration::from_secs(1);
        PeerTimes { connect: second, read: second, write: second, idle: second }
    }

    fn upstream(addresses: &[&str]) -> Upstream {
        let peers = addresses.iter().map(|text| inet_peer(text.parse().unwrap(), None, &times()));
        Upstream {
            name: "app".into(),
            servers: Vec::new(),
            peers: ArcSwap::from_pointee(peers.collect()),
            turn: AtomicUsize::new(0),
            durations: Metrics::new().upstream_duration("app"),
            was_up: AtomicBool::new(true),
        }
    }

    #[test]
    fn peers_take_turns_and_a_tried_one_is_passed_over() {
        let app = upstream(&["127.0.0.1:1", "127.0.0.1:2"]);
        let first = app.pick(&[]).unwrap();
        assert_eq!(first.label, "127.0.0.1:1");
        assert_eq!(app.pick(&[]).unwrap().label, "127.0.0.1:2");
        let other = app.pick(std::slice::from_ref(&first)).unwrap();
        assert_eq!(other.label, "127.0.0.1:2");
        assert!(app.pick(&[first, other]).is_none());
        assert!(upstream(&[]).pick(&[]).is_none());
    }

    #[test]
    fn each_form_of_a_server_becomes_a_peer_or_a_name_to_resolve() {
        let parse = |text: &str| Server::parse(text, &Limits::default());
        let fixed = |text: &str| match parse(text).unwrap().place {
            Place::Fixed(peer) => peer.http.clone(),
            Place::Name(name) => panic!("{name:?}"),
        };
        assert!(!fixed("127.0.0.1:3000").is_tls());
        assert_eq!(fixed("[::1]:3000")._address.to_string(), "[::1]:3000");
        assert_eq!(fixed("unix:/run/app.sock")._address.to_string(), "/run/app.sock");
        let secure = fixed("https://127.0.0.1");
        assert_eq!(
            (secure.sni.as_str(), secure.is_tls(), secure.verify_cert()),
            ("127.0.0.1", true, true)
        );
        assert_eq!(secure.options.total_connection_timeout, Some(Duration::from_secs(5)));

        let named = parse("https://app.internal:8443").unwrap();
        assert_eq!(named.tls.as_deref(), Some("app.internal"));
        assert!(
            matches!(named.place, Place::Name(Name { ref host, port: 8443, .. }) if host == "app.internal")
        );
        assert!(parse("app").is_none());
    }

    #[tokio::test]
    async fn a_name_is_resolved_and_keeps_its_addresses_when_that_fails_later() {
        let name = Name { host: "localhost".into(), port: 80, peers: ArcSwap::default() };
        assert!(name.resolve(None, &times()).await);
        assert!(!name.peers.load().is_empty());
        assert!(!name.resolve(None, &times()).await, "nothing has changed");

        let gone = Name { host: "no-such-host.invalid".into(), ..name };
        assert!(!gone.resolve(None, &times()).await);
        assert!(!gone.peers.load().is_empty());
    }
}
