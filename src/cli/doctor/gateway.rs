//! The running gateway, from where its clients are: does it answer, is it the one of these
//! settings, is it ready, and does it let nobody in who shows nothing?
//!
//! It must not know how the gateway decides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::header::DATE;
use http::{HeaderName, HeaderValue, StatusCode};

use super::clock::Reading;
use super::finding::Findings;
use super::probe::{Answer, Ask, At, Place, Trust, ask};
use crate::clock::Clock;
use crate::config::{Access, ListenAddress, Listener, Mode, Route, Settings};
use crate::model::Timestamp;

const ANSWERS: &str = "gateway";
const READY: &str = "ready";
const PROTECTED: &str = "protected-routes";

/// The gateway answers this itself, whatever is behind it.
const KEY_SET: &str = "/.well-known/jwks.json";

/// More are of the same kind.
const MOST_ROUTES: usize = 20;

/// What is known of this installation, for comparison.
pub(super) struct Known<'a> {
    /// Names of the keys that the database holds.
    pub(super) kids: &'a [String],
    /// The certificates of the settings, in DER.
    pub(super) certificates: &'a [Vec<u8>],
}

/// Asks at `url`, or at every listener of the settings; gives out where the first one answered,
/// and the time there.
pub(super) async fn check(
    settings: &Settings,
    url: Option<&Place>,
    known: &Known<'_>,
    clock: &Clock,
    findings: &mut Findings,
) -> (Option<Place>, Option<Reading>) {
    let places = match url {
        Some(place) => vec![place.clone()],
        None => own_places(settings, findings),
    };
    let (mut found, mut reading) = (None, None);
    for place in places {
        let Some(answer) = answers(&place, known, findings).await else { continue };
        if url.is_none() {
            shows(&place, &answer, known, findings);
        }
        if found.is_none() {
            let date = answer.headers.get(DATE).and_then(|date| date.to_str().ok());
            reading = date.and_then(read_date).map(|theirs| Reading {
                whose: "the gateway",
                theirs,
                ours: clock.now(),
            });
            found = Some(place);
        }
    }
    ready(settings, url.is_some(), findings).await;
    (found, reading)
}

/// Where the settings say that it listens.
fn own_places(settings: &Settings, findings: &mut Findings) -> Vec<Place> {
    let mut places = Vec::new();
    for listener in settings.server.every_listener() {
        match place_of(&listener, settings) {
            Ok(place) => places.push(place),
            Err(why) => {
                let text = format!("{}: {why}", listener.address);
                findings.not_checked(ANSWERS, text, "say with --url where clients reach it");
            }
        }
    }
    places
}

fn place_of(listener: &Listener, settings: &Settings) -> Result<Place, &'static str> {
    if listener.proxy_protocol {
        return Err("only a proxy with the PROXY protocol can connect");
    }
    let tls = listener.speaks_tls(&settings.server).then_some(Trust::Any);
    match &listener.address {
        ListenAddress::Inherited(_) => Err("only systemd knows the address"),
        ListenAddress::Unix(_) if tls.is_some() => Err("a unix socket with TLS"),
        ListenAddress::Unix(path) => {
            Ok(Place { at: At::Unix(path.clone()), host: "localhost".to_owned() })
        }
        ListenAddress::Tcp(address) if address.port() == 0 => Err("any port that is free"),
        ListenAddress::Tcp(address) => Ok(reached_at(*address, tls)),
    }
}

/// Every address of this machine is reached by one of them.
fn reached_at(address: SocketAddr, tls: Option<Trust>) -> Place {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, address.port());
    let at = At::Tcp { host: ip.to_string(), port: address.port(), tls };
    Place { at, host: address.to_string() }
}

async fn answers(place: &Place, known: &Known<'_>, findings: &mut Findings) -> Option<Answer> {
    let name = place.name();
    let answer = match ask(place, Ask::get(KEY_SET)).await {
        Ok(answer) => answer,
        Err(error) => {
            let remedy = "start it (`portcullis serve`), and look at its log";
            findings.problem(ANSWERS, format!("{name} does not answer: {error:#}"), remedy);
            return None;
        }
    };
    let set: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let Some(keys) = set["keys"].as_array().filter(|_| answer.status == StatusCode::OK) else {
        let text = format!("{name} answers {} to {KEY_SET}, as no Portcullis would", answer.status);
        let remedy = "look at what listens there; with --url, lead that path to the gateway, too";
        findings.problem(ANSWERS, text, remedy);
        return None;
    };
    let published: Vec<&str> = keys.iter().filter_map(|key| key["kid"].as_str()).collect();
    let is_other = !known.kids.is_empty()
        && !published.is_empty()
        && !published.iter().any(|kid| known.kids.iter().any(|held| held == kid));
    if is_other {
        let text = format!("{name} publishes other keys than this configuration's database holds");
        let remedy = "name the configuration of that gateway with --config, in its environment";
        findings.problem(ANSWERS, text, remedy);
    } else {
        findings.ok(ANSWERS, format!("{name} answers"));
    }
    Some(answer)
}

/// Whether a listener shows the certificate that its file holds.
fn shows(place: &Place, answer: &Answer, known: &Known<'_>, findings: &mut Findings) {
    let (Some(shown), Some(own)) = (&answer.certificate, known.certificates.first()) else {
        return;
    };
    let name = place.name();
    if shown == own {
        let text = format!("{name} shows the certificate of its file");
        findings.ok(super::certificates::CERTIFICATES, text);
    } else {
        let text = format!("{name} shows another certificate than its file holds");
        let remedy = "look for `changed certificates cannot be used` in the gateway's log";
        findings.problem(super::certificates::CERTIFICATES, text, remedy);
    }
}

fn read_date(text: &str) -> Option<Timestamp> {
    let since = httpdate::parse_http_date(text).ok()?;
    let since = since.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_seconds(i64::try_from(since.as_secs()).ok()?))
}

/// What the probes say.
async fn ready(settings: &Settings, is_elsewhere: bool, findings: &mut Findings) {
    let Some(address) = settings.server.telemetry_listen.filter(|address| address.port() != 0)
    else {
        let remedy = "set server.telemetry_listen";
        return findings.not_checked(READY, "the address of the probes is not known", remedy);
    };
    let place = reached_at(address, None);
    let name = place.name();
    let (live, ready) =
        (ask(&place, Ask::get("/livez")).await, ask(&place, Ask::get("/readyz?verbose")).await);
    let answer = match (live, ready) {
        (Ok(live), Ok(ready)) if live.status == StatusCode::OK => ready,
        (Err(error), _) | (_, Err(error)) if is_elsewhere => {
            let text = format!("{name}: {error:#}");
            return findings.not_checked(READY, text, "run doctor where the gateway runs");
        }
        (Err(error), _) | (_, Err(error)) => {
            let remedy = "start it (`portcullis serve`), and look at its log";
            return findings.problem(READY, format!("{name} does not answer: {error:#}"), remedy);
        }
        (Ok(live), _) => {
            let text = format!("{name}/livez answers {}", live.status);
            return findings.problem(READY, text, "look at what listens there");
        }
    };
    if answer.status == StatusCode::OK {
        return findings.ok(READY, format!("{name}/readyz says yes"));
    }
    let text = String::from_utf8_lossy(&answer.body);
    let failed: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("[-]")).collect();
    let remedy = "load balancers send nothing here until this is mended; the log says more";
    let text = format!("{name}/readyz answers {}: {}", answer.status, failed.join("; "));
    findings.problem(READY, text, remedy);
}

/// What might get a request past a gate that believes it.
const DISGUISES: [(&str, &str, &str); 7] = [
    ("", "", ""),
    (" with Host: localhost", "host", "localhost"),
    (" with X-Forwarded-Host: localhost", "x-forwarded-host", "localhost"),
    (" with X-Forwarded-For: 127.0.0.1", "x-forwarded-for", "127.0.0.1"),
    (" with X-Original-URL", "x-original-url", KEY_SET),
    (" with X-Rewrite-URL", "x-rewrite-url", KEY_SET),
    (" with X-HTTP-Method-Override: OPTIONS", "x-http-method-override", "OPTIONS"),
];

/// Whether routes that want a credential refuse whoever has none, in whatever disguise.
pub(super) async fn protected(place: &Place, settings: &Settings, findings: &mut Findings) {
    let routes = &settings.routes;
    let closed = routes.iter().filter(|route| is_closed(route) && !is_shared(route, routes));
    let closed: Vec<&Route> = closed.take(MOST_ROUTES).collect();
    let disguises: Vec<_> = DISGUISES.into_iter().chain(as_upstream(settings)).collect();
    for route in &closed {
        for (how, name, value) in &disguises {
            if let Some(status) = passes(place, route, name, value).await {
                let path = &route.path;
                let text = format!("GET {path}{how} is answered {status} without a credential");
                let remedy = "look who answers there: a proxy that goes around the gateway, or a \
                              gateway with another configuration";
                findings.problem(PROTECTED, text, remedy);
                break;
            }
        }
    }
    if closed.is_empty() {
        let text = "no route wants a credential for every GET below it";
        findings.not_checked(PROTECTED, text, "");
    } else if findings.is_well(PROTECTED) {
        let (routes, ways) = (closed.len(), disguises.len());
        let text = format!("refuse who has no credential, asked in {ways} ways (routes: {routes})");
        findings.ok(PROTECTED, text);
    }
}

/// The name of the back end itself: a proxy that goes by `Host` leads there.
fn as_upstream(settings: &Settings) -> Option<(&'static str, &'static str, &str)> {
    let server = settings.upstreams.first()?.servers.first()?.split(' ').next()?;
    let name = server.rsplit_once("://").map_or(server, |(_, name)| name);
    (!name.starts_with("unix:")).then_some((" with the upstream's name as Host", "host", name))
}

fn is_closed(route: &Route) -> bool {
    let takes_get = route.methods.is_empty() || route.methods.iter().any(|name| name == "GET");
    let wants = !matches!(route.access, Access::Anonymous | Access::Optional);
    wants && takes_get && route.mode == Mode::Enforce
}

/// Whether an open route might answer for the same path, under another host.
fn is_shared(route: &Route, routes: &[Route]) -> bool {
    routes.iter().filter(|other| !is_closed(other)).any(|other| {
        let has_hosts = !other.hosts.is_empty() || !route.hosts.is_empty();
        route.path.starts_with(&other.path) && (has_hosts || other.path == route.path)
    })
}

/// The status of an answer that only somebody who was let in could get.
async fn passes(place: &Place, route: &Route, name: &str, value: &str) -> Option<StatusCode> {
    let mut question = Ask::get(&route.path);
    let host = route.hosts.iter().find(|host| !host.starts_with('*'));
    for (name, value) in [("host", host.map_or("", String::as_str)), (name, value)] {
        if value.is_empty() {
            continue;
        }
        // A host is given once: the disguise's, which comes later.
        question.headers.retain(|(other, _)| *other != *name);
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        question = question.header(name, HeaderValue::from_str(value).ok()?);
    }
    // No answer lets nobody in.
    let status = ask(place, question).await.ok()?.status;
    let is_sent_elsewhere =
        matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT);
    let is_of_upstream = matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT);
    let is_let_in = status.as_u16() < 400 && !is_sent_elsewhere;
    (is_let_in || is_of_upstream).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, access: Access, hosts: &[&str]) -> Route {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Route { path: path.to_owned(), access, hosts, ..Route::default() }
    }

    #[test]
    fn a_route_is_tried_where_no_open_one_may_answer() {
        let private = route("/private/", Access::Authenticated, &[]);
        for (other, shared) in [
            (route("/", Access::Anonymous, &[]), false),
            (route("/private/", Access::Anonymous, &[]), true),
            (route("/", Access::Anonymous, &["www.example"]), true),
            (route("/", Access::Authenticated, &["www.example"]), false),
            (route("/public/", Access::Anonymous, &["www.example"]), false),
        ] {
            assert_eq!(is_shared(&private, &[private.clone(), other.clone()]), shared, "{other:?}");
        }
        let post = Route { methods: vec!["POST".to_owned()], ..private.clone() };
        let observed = Route { mode: Mode::Observe, ..private };
        assert!(!is_closed(&post) && !is_closed(&observed));
    }

    #[test]
    fn a_listener_is_reached_where_it_listens() {
        let name = |listener: Listener| {
            place_of(&listener, &Settings::default()).map(|place| place.name())
        };
        let at = |text: &str| Listener { address: text.parse().unwrap(), ..Listener::default() };
        assert_eq!(name(at("0.0.0.0:8000")), Ok("http://127.0.0.1:8000".to_owned()));
        assert_eq!(name(at("[::]:8000")), Ok("http://[::1]:8000".to_owned()));
        assert_eq!(name(at("10.0.0.1:8000")), Ok("http://10.0.0.1:8000".to_owned()));
        assert_eq!(name(at("unix:/run/p.sock")), Ok("unix:/run/p.sock".to_owned()));
        assert!(name(at("systemd")).is_err() && name(at("127.0.0.1:0")).is_err());
        assert!(name(Listener { proxy_protocol: true, ..at("127.0.0.1:1") }).is_err());
    }

    #[test]
    fn dates_of_answers_are_read() {
        let read = read_date("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(read, Some(Timestamp::from_seconds(784_111_777)));
        assert_eq!(read_date("yesterday"), None);
    }
}
