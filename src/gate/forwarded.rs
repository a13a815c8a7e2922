//! Where a request came from, and how the upstream is told.
//!
//! `X-Forwarded-For` grows to the right, so only its right end can be believed: as far as
//! each hop is one of `trusted_proxies`. What strangers wrote there is replaced. It must not
//! know routes or identities.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::host::Authority;
use super::request_id::{RequestIds, is_sane};

/// `X-Forwarded-For`.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `X-Forwarded-Host`.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// `X-Forwarded-Port`.
pub const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
/// `X-Forwarded-Prefix`.
pub const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
/// `X-Real-Ip`.
pub const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// `X-Request-Id`.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The address of the client: from the right of `X-Forwarded-For` through trusted hops only.
///
/// The first address that is not trusted is the client. Where all are trusted, or a hop is
/// no address, it is the last one that was understood. `None` only without a peer address.
#[must_use]
pub fn client_address(
    peer: Option<IpAddr>,
    headers: &HeaderMap,
    trusted: &[IpNet],
) -> Option<IpAddr> {
    let mut client = peer?.to_canonical();
    if !is_trusted(client, trusted) {
        return Some(client);
    }
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    for hop in lines.flat_map(|line| line.as_bytes().rsplit(|b| *b == b',')) {
        let Some(address) = parse_hop(hop) else { break };
        client = address;
        if !is_trusted(client, trusted) {
            break;
        }
    }
    Some(client)
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]`, and each with a port.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let hop = str::from_utf8(hop).ok()?.trim_matches([' ', '\t']);
    let bare = hop.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().or_else(|_| hop.parse().map(|s: SocketAddr| s.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// How a request reached us.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The connection's peer, `None` on unix sockets.
    pub peer: Option<IpAddr>,
    /// The same as [`address_value`] writes it; made once for a connection.
    pub peer_text: Option<&'a HeaderValue>,
    /// `http` or `https`, by our listener.
    pub scheme: &'static str,
    /// `Host`, or `:authority`, as the gate accepted it.
    pub host: &'a str,
    /// The request's headers as they came.
    pub headers: &'a HeaderMap,
}

/// Writes the forwarding headers.
#[derive(Debug)]
pub struct Forwarder {
    trusted: Vec<IpNet>,
    ids: RequestIds,
}

impl Forwarder {
    /// With these trusted proxies.
    #[must_use]
    pub fn new(trusted: &[IpNet]) -> Self {
        Self { trusted: trusted.to_vec(), ids: RequestIds::new() }
    }

    /// Whether a peer's forwarding headers are believed. A unix socket has no address.
    #[must_use]
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        !self.trusted.is_empty()
            && peer.is_some_and(|peer| is_trusted(peer.to_canonical(), &self.trusted))
    }

    /// See [`client_address`].
    #[must_use]
    pub fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        client_address(peer, headers, &self.trusted)
    }

    /// The forwarding headers for the upstream, each to replace all of its name. Strangers'
    /// ones are left out of account; a trusted proxy's are kept where they make sense, and
    /// it is itself added to the hops.
    pub fn headers(
        &self,
        arrival: &Arrival<'_>,
    ) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
        let believed = self.trusts(arrival.peer).then_some(arrival.headers);
        let peer = arrival.peer_text.cloned();
        let client = if believed.is_some() {
            self.client(arrival.peer, arrival.headers).map(address_value)
        } else {
            peer.clone()
        };
        let hops = match believed {
            Some(headers) => hops(headers, peer),
            None => peer,
        };
        let proto = believed.and_then(scheme).unwrap_or(arrival.scheme);
        let host = believed.and_then(forwarded_host).or_else(|| own_host(arrival));
        let port =
            believed.and_then(forwarded_port).unwrap_or_else(|| own_port(host.as_ref(), proto));
        [
            hops.map(|value| (X_FORWARDED_FOR, value)),
            Some((X_FORWARDED_PROTO, HeaderValue::from_static(proto))),
            host.map(|value| (X_FORWARDED_HOST, value)),
            Some((X_FORWARDED_PORT, port)),
            client.map(|value| (X_REAL_IP, value)),
        ]
        .into_iter()
        .flatten()
    }

    /// The request's id: a trusted proxy's if it is sane, else a new one.
    #[must_use]
    pub fn request_id(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> HeaderValue {
        let given = || {
            let mut lines = headers.get_all(X_REQUEST_ID).iter();
            let id = lines.next().filter(|id| is_sane(id.as_bytes()));
            if lines.next().is_some() { None } else { id.cloned() }
        };
        if self.trusts(peer) { given() } else { None }.unwrap_or_else(|| self.ids.next())
    }
}

/// All hops that the trusted proxy told, and the proxy.
fn hops(headers: &HeaderMap, peer: Option<HeaderValue>) -> Option<HeaderValue> {
    let mut all = Vec::new();
    for line in headers.get_all(X_FORWARDED_FOR).iter().chain(&peer) {
        if !all.is_empty() {
            all.extend_from_slice(b", ");
        }
        all.extend_from_slice(line.as_bytes());
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(all)).ok().or(peer)
}

/// The one value of a header, if there is exactly one line.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next();
    if lines.next().is_some() { None } else { line }
}

fn scheme(headers: &HeaderMap) -> Option<&'static str> {
    match only(headers, &X_FORWARDED_PROTO)?.as_bytes() {
        b"https" | b"wss" => Some("https"),
        b"http" | b"ws" => Some("http"),
        _ => None,
    }
}

fn forwarded_host(headers: &HeaderMap) -> Option<HeaderValue> {
    let host = only(headers, &X_FORWARDED_HOST)?;
    Authority::parse(host.to_str().ok()?).map(|_| host.clone())
}

fn forwarded_port(headers: &HeaderMap) -> Option<HeaderValue> {
    let port = only(headers, &X_FORWARDED_PORT)?;
    let digits = port.as_bytes();
    let sane = (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    sane.then(|| port.clone())
}

/// The header itself where it says the same: its bytes are shared, not copied.
fn own_host(arrival: &Arrival<'_>) -> Option<HeaderValue> {
    match arrival.headers.get(HOST) {
        Some(host) if host.as_bytes() == arrival.host.as_bytes() => Some(host.clone()),
        _ => HeaderValue::from_str(arrival.host).ok(),
    }
}

fn own_port(host: Option<&HeaderValue>, proto: &str) -> HeaderValue {
    let named = host.and_then(|h| Authority::parse(h.to_str().ok()?)?.port());
    match (named, proto) {
        (Some(port), _) => HeaderValue::from(port),
        (None, "https") => HeaderValue::from_static("443"),
        (None, _) => HeaderValue::from_static("80"),
    }
}

/// How an address is written in headers and logs: IPv4 in its own form, wherever it came in.
#[must_use]
pub fn address_value(address: IpAddr) -> HeaderValue {
    let mut text = String::with_capacity(40);
    // Writing to a string cannot fail, and addresses are ASCII.
    let _ = write!(text, "{}", address.to_canonical());
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
        .unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn trusted() -> Vec<IpNet> {
        vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]
    }

    fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn client(peer: &str, lines: &[&str]) -> String {
        let lines: Vec<_> = lines.iter().map(|l| ("x-forwarded-for", *l)).collect();
        client_address(Some(ip(peer)), &map(&lines), &trusted()).unwrap().to_string()
    }

    #[test]
    fn a_strangers_word_about_his_address_counts_for_nothing() {
        assert_eq!(client("192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(
            client_address(Some(ip("10.0.0.1")), &map(&[("x-forwarded-for", "1.1.1.1")]), &[]),
            Some(ip("10.0.0.1"))
        );
    }

    #[test]
    fn hops_are_followed_from_the_right_while_they_are_trusted() {
        assert_eq!(client("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.2.3.4"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["1.1.1.1", "203.0.113.9 ,\t10.2.3.4"]), "203.0.113.9");
        assert_eq!(client("fd00::1", &["[2001:db8::7]:4711, 10.0.0.9:80"]), "2001:db8::7");
        assert_eq!(client("::ffff:10.0.0.1", &["::ffff:203.0.113.9"]), "203.0.113.9");
    }

    #[test]
    fn where_hops_end_the_last_one_understood_is_the_client() {
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(client("10.0.0.1", &["203.0.113.9, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(client("10.0.0.1", &["203.0.113.9,"]), "10.0.0.1");
        assert_eq!(client_address(None, &map(&[("x-forwarded-for", "1.1.1.1")]), &trusted()), None);
    }

    fn told(peer: Option<&str>, host: &str, lines: &[(&'static str, &str)]) -> Vec<String> {
        let headers = map(lines);
        let peer_text = peer.map(ip).map(address_value);
        let peer_text = peer_text.as_ref();
        let arrival =
            Arrival { peer: peer.map(ip), peer_text, scheme: "http", host, headers: &headers };
        Forwarder::new(&trusted())
            .headers(&arrival)
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect()
    }

    const WORDS: &[(&str, &str)] = &[
        ("host", "a.example"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-for", "10.0.0.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "b.example"),
        ("x-forwarded-port", "8443"),
        ("x-real-ip", "1.1.1.1"),
    ];

    #[test]
    fn what_a_stranger_says_is_replaced() {
        assert_eq!(
            told(Some("192.0.2.1"), "a.example", WORDS),
            [
                "x-forwarded-for: 192.0.2.1",
                "x-forwarded-proto: http",
                "x-forwarded-host: a.example",
                "x-forwarded-port: 80",
                "x-real-ip: 192.0.2.1",
            ]
        );
    }

    #[test]
    fn what_a_trusted_proxy_says_is_kept_and_the_proxy_added() {
        assert_eq!(
            told(Some("10.0.0.1"), "a.example", WORDS),
            [
                "x-forwarded-for: 203.0.113.9, 10.0.0.7, 10.0.0.1",
                "x-forwarded-proto: https",
                "x-forwarded-host: b.example",
                "x-forwarded-port: 8443",
                "x-real-ip: 203.0.113.9",
            ]
        );
    }

    #[test]
    fn nonsense_of_a_trusted_proxy_is_replaced() {
        let words = [
            ("host", "a.example:8000"),
            ("x-forwarded-proto", "gopher"),
            ("x-forwarded-host", "a/b"),
            ("x-forwarded-port", "eighty"),
        ];
        assert_eq!(
            told(Some("10.0.0.1"), "a.example:8000", &words),
            [
                "x-forwarded-for: 10.0.0.1",
                "x-forwarded-proto: http",
                "x-forwarded-host: a.example:8000",
                "x-forwarded-port: 8000",
                "x-real-ip: 10.0.0.1",
            ]
        );
    }

    #[test]
    fn a_unix_socket_tells_no_address() {
        assert_eq!(
            told(None, "a.example", WORDS),
            ["x-forwarded-proto: http", "x-forwarded-host: a.example", "x-forwarded-port: 80"]
        );
    }

    #[test]
    fn request_ids_are_new_unless_a_trusted_proxy_gave_a_sane_one() {
        let forwarder = Forwarder::new(&trusted());
        let id = |peer, given: &str| {
            let id = forwarder.request_id(Some(ip(peer)), &map(&[("x-request-id", given)]));
            id.to_str().unwrap().to_owned()
        };
        assert_eq!(id("10.0.0.1", "req-1:a"), "req-1:a");
        for (peer, given) in [
            ("192.0.2.1", "req-1"),
            ("10.0.0.1", ""),
            ("10.0.0.1", "a b"),
            ("10.0.0.1", &"a".repeat(129)),
        ] {
            let id = id(peer, given);
            assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        }
    }
}
