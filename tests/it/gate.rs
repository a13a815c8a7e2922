//! Properties of the gate that no list of examples can show: they hold for every path,
//! every table of routes and every chain of proxies.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Method};
use ipnet::IpNet;
use portcullis::config::{Access, Route};
use portcullis::gate::{
    Authority, CanonicalPath, Found, RouteTable, Target, X_FORWARDED_FOR, client_address,
};
use proptest::prelude::*;

/// One percent-decoding; what is no escape stays.
fn decode(text: &[u8]) -> Vec<u8> {
    let hex = |b: u8| char::from(b).to_digit(16);
    let (mut out, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let pair =
            (text.get(at + 1).copied().and_then(hex), text.get(at + 2).copied().and_then(hex));
        match (text[at], pair) {
            (b'%', (Some(high), Some(low))) => {
                out.extend(u8::try_from(high * 16 + low));
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// Paths full of what is dangerous.
fn nasty_path() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("/"),
        Just("."),
        Just(".."),
        Just("%2e"),
        Just("%2E"),
        Just("%252e"),
        Just("%2f"),
        Just("%252f"),
        Just("%25"),
        Just("25"),
        Just("2f"),
        Just("%5c"),
        Just("\\"),
        Just(";"),
        Just("%3b"),
        Just("%253b"),
        Just("%00"),
        Just("%20"),
        Just("%c3%a9"),
        Just("%c0%af"),
        Just("a"),
        Just("A"),
        Just("~"),
        Just("%41"),
        Just("{"),
        Just("?"),
        Just("#"),
        Just("%"),
        Just("é"),
        Just("/x/"),
        Just("%2"),
        Just("5c"),
        Just("%3f"),
        Just("public"),
    ];
    prop::collection::vec(piece, 0..12)
        .prop_map(|pieces| format!("/{}", pieces.concat()).into_bytes())
}

fn any_path() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        nasty_path(),
        prop::collection::vec(any::<u8>(), 0..64),
        "/[ -~]{0,40}".prop_map(String::into_bytes)
    ]
}

fn segments() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-c]{1,3}", 0..4)
}

fn route(path: String) -> Route {
    Route { path, access: Access::Authenticated, upstream: Some("app".into()), ..Route::default() }
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a network")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_canonical_path_is_its_own_canonical_path(raw in any_path()) {
        if let Ok(path) = CanonicalPath::parse(&raw) {
            let again = CanonicalPath::parse(path.as_str().as_bytes()).unwrap();
            prop_assert_eq!(again.as_str(), path.as_str());
            prop_assert!(!path.is_rewritten() || path.as_str().as_bytes() != raw || path.as_str().contains('%'));
        }
    }

    #[test]
    fn a_canonical_path_means_the_same_as_what_was_sent(raw in any_path()) {
        if let Ok(path) = CanonicalPath::parse(&raw) {
            prop_assert_eq!(decode(path.as_str().as_bytes()), decode(&raw));
        }
    }

    #[test]
    fn no_reading_of_a_canonical_path_leaves_its_place(raw in any_path()) {
        let Ok(path) = CanonicalPath::parse(&raw) else { return Ok(()) };
        let slashes = path.as_str().matches('/').count();
        prop_assert!(path.as_str().starts_with('/'));
        let unsafe_bytes = b"\\;#?\"<>^`{|}";
        let is_safe = |b: u8| b.is_ascii_graphic() && !unsafe_bytes.contains(&b);
        prop_assert!(path.as_str().bytes().all(is_safe));
        let mut layer = path.as_str().as_bytes().to_vec();
        for _ in 0..4 {
            prop_assert!(!layer.windows(2).any(|w| w == b"//"));
            prop_assert!(!layer.split(|b| *b == b'/').any(|s| s == b"." || s == b".."));
            prop_assert!(!layer.iter().any(|b| *b < 0x20 || *b == 0x7f || *b == b'\\' || *b == b';'));
            prop_assert_eq!(layer.split(|b| *b == b'/').count() - 1, slashes);
            layer = decode(&layer);
        }
    }

    #[test]
    fn no_bytes_make_the_reading_of_a_target_panic(
        raw in prop::collection::vec(any::<u8>(), 0..200),
        host in any::<String>(),
    ) {
        let _ = CanonicalPath::parse(&raw);
        if let Some(host) = Authority::parse(&host) {
            let _ = Target::parse(&raw, &host);
        }
        let _ = Target::parse(&raw, &Authority::parse("localhost").unwrap());
    }

    #[test]
    fn a_route_matches_on_segment_borders_only_and_the_longest_wins(
        routes in prop::collection::vec(segments(), 1..8),
        path in segments(),
        slash in any::<bool>(),
    ) {
        let text = |segments: &[String]| format!("/{}", segments.join("/"));
        let configured: Vec<_> = routes.iter().map(|r| route(text(r))).collect();
        let table = RouteTable::new(&configured).unwrap();
        let mut asked = text(&path);
        if slash && !path.is_empty() {
            asked.push('/');
        }
        let asked = CanonicalPath::parse(asked.as_bytes()).unwrap();
        let found = table.find(&asked, &Authority::parse("localhost").unwrap(), &Method::GET);
        let longest = routes.iter().filter(|r| path.starts_with(r)).map(Vec::len).max();
        match found {
            Found::Route(index) => {
                prop_assert!(path.starts_with(&routes[index]));
                prop_assert_eq!(Some(routes[index].len()), longest);
            }
            other => {
                prop_assert_eq!(other, Found::Nothing);
                prop_assert_eq!(longest, None);
            }
        }
    }

    #[test]
    fn spelling_a_path_otherwise_never_reaches_a_shorter_route(
        routes in prop::collection::vec(segments(), 1..6),
        path in segments(),
        how in prop::collection::vec(0..5_usize, 16),
    ) {
        let text = |segments: &[String]| format!("/{}", segments.join("/"));
        let configured: Vec<_> = routes.iter().map(|r| route(text(r))).collect();
        let table = RouteTable::new(&configured).unwrap();
        let host = Authority::parse("localhost").unwrap();
        let plain = text(&path);
        let plain = table.find(&CanonicalPath::parse(plain.as_bytes()).unwrap(), &host, &Method::GET);
        let spelled: Vec<String> = path.iter().zip(how).map(|(segment, how)| match how {
            0 => segment.to_uppercase(),
            1 => format!("{segment}%20"),
            2 => format!("%25{:02x}{}", segment.as_bytes()[0], &segment[1..]),
            3 => format!("{segment}."),
            _ => segment.clone(),
        }).collect();
        let spelled = text(&spelled);
        let path = CanonicalPath::parse(spelled.as_bytes()).unwrap();
        let found = table.find(&path, &host, &Method::GET);
        prop_assert!(found == plain || found == Found::Ambiguous, "{} {:?} {:?}", spelled, plain, found);
    }

    #[test]
    fn a_trusted_hop_is_never_the_client_while_a_stranger_stands_behind_it(
        peer in any::<[u8; 4]>(),
        hops in prop::collection::vec((0..3_u8, any::<[u8; 4]>()), 0..6),
    ) {
        let trusted = [net("10.0.0.0/8"), net("192.168.0.0/16")];
        let is_trusted = |ip: &IpAddr| trusted.iter().any(|n| n.contains(ip));
        let hop = |kind, [a, b, c, d]: [u8; 4]| IpAddr::from(match kind {
            0 => [10, b, c, d],
            1 => [192, 168, c, d],
            _ => [a, b, c, d],
        });
        let hops: Vec<_> = hops.into_iter().map(|(kind, bytes)| hop(kind, bytes)).collect();
        let mut headers = HeaderMap::new();
        for hop in &hops {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(&hop.to_string()).unwrap());
        }
        for peer in [IpAddr::from(peer), hop(0, peer)] {
            let client = client_address(Some(peer), &headers, &trusted).unwrap();
            let chain: Vec<_> = std::iter::once(peer).chain(hops.iter().rev().copied()).collect();
            let expected = chain.iter().find(|ip| !is_trusted(ip)).or(chain.last()).copied();
            prop_assert_eq!(Some(client), expected);
        }
    }

    #[test]
    fn no_forwarded_value_makes_the_walk_panic(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
    ) {
        let mut headers = HeaderMap::new();
        for value in values.iter().filter_map(|v| HeaderValue::from_bytes(v).ok()) {
            headers.append(X_FORWARDED_FOR, value);
        }
        let peer = IpAddr::from([10, 0, 0, 1]);
        prop_assert!(client_address(Some(peer), &headers, &[net("10.0.0.0/8")]).is_some());
    }
}
