//! Whole judgements, with the answer of `identity` put in by hand.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{AUTHORIZATION, CONNECTION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::access::Asking;
use super::forwarded::Forwarder;
use super::headers::HeaderRules;
use super::routes::RouteTable;
use super::rules::{Admission, Rules};
use super::sample::{identity, identity_headers, staff};
use super::verdict::Forwards;
use super::{Claim, Judged, Local, Passage, Presented, Refusal, Verdict};
use crate::config::{Access, Route, UnderscoreHeaders};
use crate::identity::{JwtFault, Rejection};

fn route(path: &str, access: Access) -> Route {
    Route {
        path: path.into(),
        access,
        upstream: (access != Access::Deny).then(|| "app".into()),
        origin: "portcullis.toml:1:1".into(),
        ..Route::default()
    }
}

fn rules() -> Arc<Rules> {
    let routes = [
        route("/app", Access::Authenticated),
        route("/public/", Access::Anonymous),
        route("/maybe", Access::Optional),
        route("/admin", Access::Staff),
        route("/closed", Access::Deny),
        Route { forward_credential: true, ..route("/with", Access::Authenticated) },
    ];
    Arc::new(Rules {
        routes: RouteTable::new(&routes).unwrap(),
        headers: HeaderRules::new(&identity_headers(), UnderscoreHeaders::Drop).unwrap(),
        forwarder: Forwarder::new(&["10.0.0.0/8".parse().unwrap()]),
        auth_prefix: "/auth".into(),
        reserved_prefix: "/_portcullis".into(),
    })
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    map
}

struct Request<'a> {
    method: Method,
    target: &'a str,
    host: Option<&'a str>,
    headers: HeaderMap,
    peer: &'a str,
}

fn get(target: &str) -> Request<'_> {
    Request {
        method: Method::GET,
        target,
        host: Some("localhost"),
        headers: HeaderMap::new(),
        peer: "192.0.2.1",
    }
}

fn judge(request: &Request<'_>, asking: Asking) -> Judged {
    let claim = Claim {
        method: &request.method,
        target: request.target.as_bytes(),
        host: request.host,
        headers: &request.headers,
        peer: Some(request.peer.parse::<IpAddr>().unwrap()),
    };
    match rules().admit(&claim, Forwards::Us) {
        Admission::Settled(judged) => judged,
        Admission::Pending(pending) => pending.settle(Presented::Jwt, asking),
    }
}

fn refused(request: &Request<'_>, asking: Asking) -> Refusal {
    match judge(request, asking).verdict {
        Verdict::Refuse(refusal) => refusal,
        other => panic!("{}: {other:?}", request.target),
    }
}

fn passage(request: &Request<'_>, asking: Asking) -> Passage {
    match judge(request, asking).verdict {
        Verdict::Forward(passage) => passage,
        other => panic!("{}: {other:?}", request.target),
    }
}

fn is_bad(request: &Request<'_>) -> bool {
    matches!(refused(request, Asking::Proved(staff("eve"))), Refusal::BadRequest(_))
}

#[test]
fn a_proved_user_passes_with_one_target_and_his_identity() {
    let passage = passage(&get("/%61pp/x?y=%2f"), Asking::Proved(identity("ada")));
    assert_eq!(passage.target(), "/app/x?y=%2f");
    assert!(passage.is_rewritten());
    assert_eq!(passage.upstream(), Some("app"));
    assert_eq!(passage.route().name, "/app");
    assert_eq!(passage.identity().unwrap().username, "ada");
    let told: Vec<_> = passage.identity_headers().map(|(n, v)| format!("{n}: {v:?}")).collect();
    assert_eq!(told, [r#"x-forwarded-user: "ada""#, r#"x-forwarded-user-id: "7""#]);
    assert!(passage.strips(&AUTHORIZATION));
}

#[test]
fn anonymous_routes_pass_the_credential_unread_and_tell_nothing() {
    let mut request = get("/public/x");
    request.headers = headers(&[("authorization", "Bearer x.y.z")]);
    let judged = judge(&request, Asking::Rejected(Rejection::UnknownToken));
    assert_eq!((judged.reason(), judged.presented), ("anonymous", Presented::None));
    let Verdict::Forward(passage) = judged.verdict else { panic!("refused") };
    assert!(!passage.is_rewritten());
    assert!(passage.identity().is_none());
    assert_eq!(passage.identity_headers().count(), 0);
    assert!(!passage.strips(&AUTHORIZATION));
    assert!(passage.strips(&HeaderName::from_static("x-forwarded-user")));
}

#[test]
fn optional_routes_tell_nothing_of_strangers() {
    let judged = judge(&get("/maybe"), Asking::Nobody);
    assert_eq!(judged.reason(), "no_credential");
    let Verdict::Forward(passage) = judged.verdict else { panic!("refused") };
    assert_eq!(passage.identity_headers().count(), 0);
    assert!(passage.strips(&AUTHORIZATION));
}

#[test]
fn a_route_may_forward_the_credential() {
    assert!(!passage(&get("/with"), Asking::Proved(identity("ada"))).strips(&AUTHORIZATION));
}

#[test]
fn a_refusal_names_the_route_and_the_user() {
    let judged = judge(&get("/admin/x"), Asking::Proved(identity("ada")));
    assert!(matches!(judged.verdict, Verdict::Refuse(Refusal::Forbidden)));
    assert_eq!(judged.route().unwrap().name, "/admin");
    assert_eq!(judged.identity().unwrap().username, "ada");
    assert_eq!((judged.reason(), judged.presented.as_str()), ("forbidden", "jwt"));
}

#[test]
fn bad_missing_and_unknowable_credentials_are_told_apart() {
    let expired = Rejection::Jwt(JwtFault::Expired);
    assert_eq!(
        refused(&get("/app"), Asking::Rejected(expired.clone())),
        Refusal::Unauthenticated(expired)
    );
    assert_eq!(refused(&get("/app"), Asking::Nobody), Refusal::Unauthenticated(Rejection::Missing));
    assert_eq!(refused(&get("/app"), Asking::Unknowable), Refusal::Unavailable);
    assert_eq!(refused(&get("/closed"), Asking::Proved(staff("eve"))), Refusal::Forbidden);
    assert_eq!(refused(&get("/other"), Asking::Proved(staff("eve"))), Refusal::NoRoute);
}

#[test]
fn ambiguous_paths_are_refused_on_every_route_and_below_our_own_prefixes() {
    for target in [
        "//app",
        "/x/../app",
        "/%2e%2e/app",
        "/x/%2E%2e/app",
        "/app%2fb",
        "/auth%2Flogin",
        "/\\app",
        "/..;/app",
        "/app/%00",
        "/auth;v=1/x",
        "app",
        "http://a/app",
        "*",
        "/app/é",
        "/app#frag",
        "/app%252fx",
        "/app%255cx",
        "/app%253bx",
        "/app/%252e%252e/x",
        "/app%5cx",
        "/app%3bx",
        "/app/./x",
        "/app/..",
        "/public/..;x",
        "/public;x",
        "/public%2fx",
        "/auth//users/",
        "/auth/users/;x",
        "/auth/../app",
        "/_portcullis//x",
        "/.well-known//jwks.json",
        "/APP/x",
        "/app%20",
        "/Admin",
    ] {
        assert!(is_bad(&get(target)), "{target}");
    }
}

#[test]
fn our_own_paths_come_first_and_end_on_segment_borders() {
    let served = |target| match judge(&get(target), Asking::Nobody).verdict {
        Verdict::Serve(local) => local,
        other => panic!("{target}: {other:?}"),
    };
    assert_eq!(served("/auth/users/%6De/?a=b"), Local::Api("/auth/users/me/?a=b".into()));
    assert_eq!(served("/auth"), Local::Api("/auth".into()));
    assert_eq!(served("/.well-known/jwks.json?x"), Local::KeySet);
    assert_eq!(served("/_portcullis/auth-request?a"), Local::Reserved("/auth-request?a".into()));
    for target in ["/authx", "/.well-known/jwks.json/", "/_portcullisx"] {
        assert_eq!(refused(&get(target), Asking::Nobody), Refusal::NoRoute, "{target}");
    }
}

#[test]
fn a_request_names_one_good_host() {
    for host in [None, Some(""), Some("a b"), Some("u@a"), Some("a/b"), Some("a:b")] {
        assert!(is_bad(&Request { host, ..get("/app") }), "{host:?}");
    }
    let twice = headers(&[("host", "localhost"), ("host", "localhost")]);
    assert!(is_bad(&Request { headers: twice, ..get("/app") }));
    let other = headers(&[("host", "elsewhere")]);
    assert!(is_bad(&Request { headers: other, ..get("/app") }));
    let mut same = get("/app");
    same.headers.insert(HOST, HeaderValue::from_static("localhost"));
    assert_eq!(passage(&same, Asking::Proved(identity("ada"))).target(), "/app");
}

#[test]
fn the_absolute_form_of_our_host_passes_in_origin_form() {
    let passage = passage(&get("http://localhost/app/x?y"), Asking::Proved(identity("ada")));
    assert_eq!((passage.target(), passage.is_rewritten()), ("/app/x?y", true));
}

#[test]
fn two_authorization_headers_are_refused_everywhere() {
    for target in ["/app", "/public/", "/auth/users/"] {
        let twice = headers(&[("authorization", "Bearer a"), ("authorization", "Bearer a")]);
        assert!(is_bad(&Request { headers: twice, ..get(target) }), "{target}");
    }
}

#[test]
fn connection_cannot_name_identity_headers() {
    for target in ["/app", "/public/", "/auth/users/"] {
        let mut request = get(target);
        request.headers.insert(CONNECTION, HeaderValue::from_static("close, x_corp_mail"));
        assert!(is_bad(&request), "{target}");
    }
}

#[test]
fn methods_that_reach_past_the_rules_are_refused() {
    for method in ["TRACE", "TRACK", "CONNECT", "trace"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = Request { method, ..get("/public/") };
        assert_eq!(refused(&request, Asking::Nobody), Refusal::Method);
    }
    let purge = Method::from_bytes(b"PURGE").unwrap();
    assert_eq!(
        passage(&Request { method: purge, ..get("/public/") }, Asking::Nobody).upstream(),
        Some("app")
    );
}

#[test]
fn forwarding_headers_survive_from_trusted_peers_only() {
    let name = HeaderName::from_static("x-forwarded-prefix");
    assert!(passage(&get("/public/"), Asking::Nobody).strips(&name));
    let proxied = Request { peer: "10.1.2.3", ..get("/public/") };
    assert!(!passage(&proxied, Asking::Nobody).strips(&name));
}
