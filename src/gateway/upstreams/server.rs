//! One server as it is configured, and the addresses that it has at present.
//!
//! Names are resolved in the background, never on the way of a request: Pingora's own look-up
//! blocks the worker and panics on failure. It must not know whose turn it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::peer::{Making, Peer, Times};
use super::tls::ServerTls;
use crate::config::{Endpoint, Limits, ServerAddress, Upstream};

/// How long one name may take to resolve; the last good answer stands meanwhile.
const LOOKUP_TIME: Duration = Duration::from_secs(5);

/// One server as it is configured.
#[derive(Debug)]
pub(super) struct Server {
    place: Place,
    making: Making,
}

#[derive(Debug)]
enum Place {
    Fixed(Arc<Peer>),
    Name { host: String, port: u16, peers: ArcSwap<Vec<Arc<Peer>>> },
}

impl Server {
    /// `None` if the text is no server.
    pub(super) fn parse(
        text: &str,
        upstream: &Upstream,
        tls: &ServerTls,
        limits: &Limits,
    ) -> Option<Self> {
        let ServerAddress { endpoint, weight } = text.parse().ok()?;
        let mut making = Making {
            tls: None,
            protocol: upstream.protocol,
            host: None,
            weight,
            times: Times::from(limits),
        };
        let (host, port) = match endpoint {
            Endpoint::Tcp { host, port, tls: speaks_tls } => {
                if speaks_tls {
                    let name = tls.name.clone().unwrap_or_else(|| host.clone());
                    making.tls = Some((name, tls.clone()));
                }
                (host, port)
            }
            Endpoint::Unix(path) => {
                let place = Place::Fixed(making.unix(&path)?);
                return Some(Self { place, making });
            }
        };
        if !upstream.preserve_host {
            making.host = Some(own_host(&host, port, making.tls.is_some())?);
        }
        let place = match host.parse() {
            Ok(ip) => Place::Fixed(making.inet(SocketAddr::new(ip, port))),
            Err(_) => Place::Name { host, port, peers: ArcSwap::default() },
        };
        Some(Self { place, making })
    }

    /// Looks its name up. Whether its addresses have changed.
    pub(super) async fn resolve(&self) -> bool {
        let Place::Name { host, port, peers } = &self.place else { return false };
        let found = match timeout(LOOKUP_TIME, lookup_host((host.as_str(), *port))).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::warn!(host, %error, "upstream name does not resolve");
                return false;
            }
            Err(_) => {
                tracing::warn!(host, "upstream name takes too long to resolve");
                return false;
            }
        };
        let mut addresses: Vec<SocketAddr> = found.collect();
        addresses.sort_unstable();
        addresses.dedup();
        let known = peers.load();
        let same = known.len() == addresses.len()
            && known.iter().zip(&addresses).all(|(peer, address)| is_at(peer, *address));
        if same || addresses.is_empty() {
            return false;
        }
        // What is known of an address stays known.
        let keep = |address: &SocketAddr| {
            let old = known.iter().find(|peer| is_at(peer, *address)).cloned();
            old.unwrap_or_else(|| self.making.inet(*address))
        };
        peers.store(Arc::new(addresses.iter().map(keep).collect()));
        true
    }

    /// Adds its peers.
    pub(super) fn gather(&self, all: &mut Vec<Arc<Peer>>) {
        match &self.place {
            Place::Fixed(peer) => all.push(Arc::clone(peer)),
            Place::Name { peers, .. } => all.extend(peers.load().iter().cloned()),
        }
    }
}

fn is_at(peer: &Peer, address: SocketAddr) -> bool {
    peer.label == address.to_string()
}

/// `Host` as a client would write it that goes there itself.
fn own_host(host: &str, port: u16, tls: bool) -> Option<HeaderValue> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let is_default = port == if tls { 443 } else { 80 };
    let text = if is_default { host } else { format!("{host}:{port}") };
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Protocol, UpstreamTls};
    use pingora::upstreams::peer::Peer as _;

    fn parse(text: &str, upstream: &Upstream) -> Option<Server> {
        Server::parse(text, upstream, &ServerTls::default(), &Limits::default())
    }

    fn peers(server: &Server) -> Vec<Arc<Peer>> {
        let mut all = Vec::new();
        server.gather(&mut all);
        all
    }

    #[test]
    fn each_form_of_a_server_becomes_a_peer_or_a_name_to_resolve() {
        let fixed = |text: &str| peers(&parse(text, &Upstream::default()).unwrap())[0].http.clone();
        assert!(!fixed("127.0.0.1:3000").is_tls());
        assert_eq!(fixed("[::1]:3000 weight=2")._address.to_string(), "[::1]:3000");
        assert_eq!(fixed("unix:/run/app.sock")._address.to_string(), "/run/app.sock");
        let secure = fixed("https://127.0.0.1");
        assert_eq!(
            (secure.sni.as_str(), secure.is_tls(), secure.verify_cert()),
            ("127.0.0.1", true, true)
        );
        assert_eq!(secure.options.total_connection_timeout, Some(Duration::from_secs(5)));

        let named = parse("https://app.internal:8443", &Upstream::default()).unwrap();
        assert!(matches!(named.place, Place::Name { .. }) && peers(&named).is_empty());
        assert_eq!(named.making.tls.unwrap().0, "app.internal");
        assert!(parse("app", &Upstream::default()).is_none());
    }

    #[test]
    fn a_certificate_is_held_to_the_name_that_is_written_for_it() {
        let written = UpstreamTls { server_name: "app.internal".into(), ..UpstreamTls::default() };
        let tls = ServerTls::read(&written).unwrap();
        let server =
            Server::parse("https://127.0.0.1", &Upstream::default(), &tls, &Limits::default());
        assert_eq!(peers(&server.unwrap())[0].http.sni, "app.internal");
    }

    #[test]
    fn a_server_sees_its_own_name_where_the_clients_is_not_preserved() {
        let own = Upstream { preserve_host: false, ..Upstream::default() };
        for (text, host) in [
            ("127.0.0.1:3000", Some("127.0.0.1:3000")),
            ("http://127.0.0.1", Some("127.0.0.1")),
            ("https://[::1]", Some("[::1]")),
            ("https://[::1]:80", Some("[::1]:80")),
            ("unix:/run/app.sock", None),
        ] {
            let peers = peers(&parse(text, &own).unwrap());
            assert_eq!(peers[0].host.as_ref().map(|host| host.to_str().unwrap()), host, "{text}");
        }
        assert_eq!(peers(&parse("127.0.0.1:1", &Upstream::default()).unwrap())[0].host, None);
    }

    #[test]
    fn the_protocol_is_what_is_offered_to_the_server() {
        let versions = |protocol| {
            let upstream = Upstream { protocol, ..Upstream::default() };
            let alpn =
                peers(&parse("127.0.0.1:1", &upstream).unwrap())[0].http.options.alpn.clone();
            (alpn.get_min_http_version(), alpn.get_max_http_version())
        };
        assert_eq!(versions(Protocol::Http1), (1, 1));
        assert_eq!(versions(Protocol::Http2), (2, 2));
        assert_eq!(versions(Protocol::Negotiate), (1, 2));
    }

    #[tokio::test]
    async fn a_name_is_resolved_and_keeps_what_is_known_of_its_addresses() {
        let server = parse("localhost:80", &Upstream::default()).unwrap();
        assert!(server.resolve().await);
        let first = peers(&server);
        assert!(!first.is_empty());
        assert!(!server.resolve().await, "nothing has changed");
        let Place::Name { peers: held, .. } = &server.place else { panic!() };
        let gone = server.making.inet("192.0.2.1:80".parse().unwrap());
        held.store(Arc::new(vec![Arc::clone(&first[0]), gone]));
        assert!(server.resolve().await);
        assert!(Arc::ptr_eq(&peers(&server)[0], &first[0]));
    }

    #[tokio::test]
    async fn a_name_keeps_its_addresses_when_it_cannot_be_resolved_later() {
        let server = parse("no-such-host.invalid:80", &Upstream::default()).unwrap();
        let Place::Name { peers: held, .. } = &server.place else { panic!() };
        held.store(Arc::new(vec![server.making.inet("192.0.2.1:80".parse().unwrap())]));
        assert!(!server.resolve().await);
        assert_eq!(peers(&server).len(), 1);
    }
}
