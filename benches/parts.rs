//! What the steps of a checked request cost, each by itself: nanoseconds on one thread.
//!
//! `cargo bench --bench parts`, or with a part of a name behind it. The whole request is
//! measured by `compare/run.py`; these tell where a change of it comes from.

use std::fs;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use divan::Bencher;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderValue, Method};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use portcullis::clock::Clock;
use portcullis::config::{
    Access, Route, SecretText, Settings, TrustedIssuer, TrustedUsers, Upstream,
};
use portcullis::gate::{
    Arrival, Authority, CanonicalPath, Claim, Forwarder, Gate, RouteTable, Verdict, address_value,
};
use portcullis::identity::{
    Authenticator, BasicAuthenticator, Credential, Keys, OpaqueTokens, PasswordError,
    PasswordProver, Revocations,
};
use portcullis::model::User;
use portcullis::secret::RootKey;
use portcullis::store::Store;
use portcullis::telemetry::{Check, Decision, Metrics, RequestLog, RequestRecord, Tier};
use secrecy::SecretString;
use serde_json::json;
use tokio::runtime::Runtime;

const ISSUER: &str = "https://issuer.test";
const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";
const ALGORITHMS: [&str; 3] = ["HS256", "RS256", "ES256"];
const STRANGER: Option<std::net::IpAddr> =
    Some(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
static KEYS: LazyLock<Vec<(Algorithm, EncodingKey, Option<String>)>> = LazyLock::new(|| {
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let rsa = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let private = |der: &[u8]| pem("PRIVATE KEY", der);
    let public = |der: PublicKeyX509Der<'_>| Some(pem("PUBLIC KEY", der.as_ref()));
    let ec_private = private(ec.to_pkcs8v1().expect("DER").as_ref());
    let rsa_der: Pkcs8V1Der<'_> = rsa.as_der().expect("DER");
    let rsa_private = private(rsa_der.as_ref());
    let ec_public = public(ec.public_key().as_der().expect("DER"));
    let rsa_public = public(rsa.public_key().as_der().expect("DER"));
    let rsa = EncodingKey::from_rsa_pem(rsa_private.as_bytes()).expect("a key");
    let ec = EncodingKey::from_ec_pem(ec_private.as_bytes()).expect("a key");
    vec![
        (Algorithm::HS256, EncodingKey::from_secret(SECRET.as_bytes()), None),
        (Algorithm::RS256, rsa, rsa_public),
        (Algorithm::ES256, ec, ec_public),
    ]
});

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn routes(count: usize) -> Vec<Route> {
    let route = |path: String, access| Route {
        path,
        access,
        upstream: Some("app".into()),
        ..Route::default()
    };
    let mut routes: Vec<_> =
        (0..count).map(|i| route(format!("/service{i}/things/"), Access::Staff)).collect();
    routes.push(route("/public/".into(), Access::Anonymous));
    routes.push(route("/".into(), Access::Authenticated));
    routes
}

fn token(algorithm: &str) -> String {
    let (algorithm, key, _) = KEYS
        .iter()
        .find(|(known, ..)| format!("{known:?}") == algorithm)
        .expect("a known algorithm");
    let claims = json!({
        "iss": ISSUER, "aud": "bench", "sub": "user-00001", "token_type": "access",
        "iat": 1_000, "exp": 4_000_000_000_i64, "jti": "0123456789abcdef0123456789abcdef",
        "roles": ["reader", "writer"], "email": "user00001@example.test",
    });
    encode(&Header::new(*algorithm), &claims, key).expect("a token")
}

/// A gate that trusts the issuer, and the authenticator behind it.
fn gate(routes_besides: usize) -> (Gate, Arc<Authenticator>) {
    let folder = tempfile::tempdir().expect("a folder");
    let trusted = KEYS.iter().map(|(algorithm, _, public)| {
        let file = folder.path().join(format!("{algorithm:?}.pem"));
        fs::write(&file, public.as_deref().unwrap_or_default()).expect("a file");
        let secret = if public.is_some() { "" } else { SECRET };
        TrustedIssuer {
            name: format!("{algorithm:?}"),
            algorithm: format!("{algorithm:?}"),
            secret: SecretText(SecretString::from(secret)),
            public_key_file: public.is_some().then_some(file),
            issuer: ISSUER.to_owned(),
            audience: vec!["bench".to_owned()],
            user_claim: "sub".to_owned(),
            users: TrustedUsers::Claims,
            ..TrustedIssuer::default()
        }
    });
    let mut settings = Settings::default();
    settings.tokens.jwt.trusted = trusted.collect();
    settings.routes = routes(routes_besides);
    settings.upstreams = vec![Upstream { name: "app".into(), ..Upstream::default() }];
    let authenticator = RUNTIME.block_on(async {
        let store = Store::open_temporary().await.expect("a store");
        let (clock, root) = (Clock::system(), RootKey::new(SECRET));
        let keys = Keys::load(&settings, &store, &root, &clock).await.expect("keys");
        let revocations = Arc::new(Revocations::new(Duration::from_hours(1)));
        revocations.synced(clock.now());
        let opaque = Arc::new(OpaqueTokens::new(&root));
        Authenticator::new(&settings, store, clock, Arc::new(keys), opaque, revocations).0
    });
    let authenticator = Arc::new(authenticator);
    let basic =
        BasicAuthenticator::new(&settings, Arc::clone(&authenticator), Arc::new(NoPasswords));
    (
        Gate::new(&settings, Arc::clone(&authenticator), Arc::new(basic)).expect("a gate"),
        authenticator,
    )
}

/// No step measured here checks a password.
struct NoPasswords;

#[async_trait]
impl PasswordProver for NoPasswords {
    async fn prove(&self, _: &str, _: &str, _: Option<IpAddr>) -> Result<User, PasswordError> {
        Err(PasswordError::Refused)
    }
}

fn headers(authorization: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("127.0.0.1:8000"));
    headers.insert("user-agent", HeaderValue::from_static("bench/1"));
    headers.insert("accept", HeaderValue::from_static("*/*"));
    if let Some(token) = authorization {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
        headers.insert(AUTHORIZATION, value);
    }
    headers
}

#[divan::bench(args = ["/api/v1/things/42", "/caf%C3%A9/Men%75/x.html", "/a"])]
fn canonical_path(path: &str) -> bool {
    CanonicalPath::parse(black_box(path.as_bytes())).is_ok()
}

#[divan::bench(args = [10, 100, 1_000, 10_000])]
fn route_match(bencher: Bencher<'_, '_>, count: usize) {
    let table = RouteTable::new(&routes(count)).expect("a table");
    let path = CanonicalPath::parse(b"/service7/things/42").expect("a path");
    let host = Authority::parse("127.0.0.1:8000").expect("a host");
    bencher.bench_local(|| table.find(black_box(&path), &host, &Method::GET));
}

#[divan::bench(args = [10, 10_000])]
fn judge_anonymous(bencher: Bencher<'_, '_>, count: usize) {
    judge(bencher, count, "/public/thing", None);
}

#[divan::bench(args = ALGORITHMS)]
fn judge_known_token(bencher: Bencher<'_, '_>, algorithm: &str) {
    judge(bencher, 10, "/thing", Some(&token(algorithm)));
}

fn judge(bencher: Bencher<'_, '_>, count: usize, path: &str, token: Option<&str>) {
    let (gate, _) = gate(count);
    let headers = headers(token);
    let claim = Claim {
        method: &Method::GET,
        target: path.as_bytes(),
        host: Some("127.0.0.1:8000"),
        headers: &headers,
        peer: STRANGER,
    };
    let judged = RUNTIME.block_on(gate.judge(&claim));
    assert!(matches!(judged.verdict, Verdict::Forward(_)), "{judged:?}");
    RUNTIME.block_on(async {
        bencher.bench_local(|| now(gate.judge(black_box(&claim))));
    });
}

/// The cache alone.
#[divan::bench(args = ALGORITHMS)]
fn identify_known_token(bencher: Bencher<'_, '_>, algorithm: &str) {
    let (_, authenticator) = gate(0);
    let token = token(algorithm);
    RUNTIME.block_on(async {
        authenticator.identify(Credential::Jwt(&token)).await.expect("a good token");
        bencher.bench_local(|| {
            now(authenticator.identify(Credential::Jwt(black_box(&token)))).expect("a good token")
        });
    });
}

/// Nothing of a forged token is kept: each costs a whole verification.
#[divan::bench(args = ALGORITHMS)]
fn identify_forged_token(bencher: Bencher<'_, '_>, algorithm: &str) {
    let (_, authenticator) = gate(0);
    let good = token(algorithm);
    let (message, signature) = good.rsplit_once('.').expect("a token");
    let other = if signature.as_bytes()[20] == b'A' { "B" } else { "A" };
    let forged = format!("{message}.{}{other}{}", &signature[..20], &signature[21..]);
    RUNTIME.block_on(async {
        bencher.bench_local(|| {
            now(authenticator.identify(Credential::Jwt(black_box(&forged)))).expect_err("forged")
        });
    });
}

#[divan::bench]
fn forwarding_headers(bencher: Bencher<'_, '_>) {
    let forwarder = Forwarder::new(&[]);
    let headers = headers(None);
    let peer_text = STRANGER.map(address_value);
    let arrival = Arrival {
        peer: STRANGER,
        peer_text: peer_text.as_ref(),
        scheme: "http",
        host: "127.0.0.1:8000",
        headers: &headers,
    };
    bencher.bench_local(|| forwarder.headers(black_box(&arrival)).count());
}

#[divan::bench]
fn request_id(bencher: Bencher<'_, '_>) {
    let (forwarder, headers) = (Forwarder::new(&[]), headers(None));
    bencher.bench_local(|| forwarder.request_id(STRANGER, black_box(&headers)));
}

#[divan::bench]
fn request_logged(bencher: Bencher<'_, '_>) {
    let log = RequestLog::to(std::io::sink(), 1 << 20);
    bencher.bench_local(|| log.write(black_box(&record())));
}

#[divan::bench]
fn request_counted(bencher: Bencher<'_, '_>) {
    let metrics = Metrics::new();
    bencher.bench_local(|| metrics.request(black_box(&record())));
}

fn record() -> RequestRecord<'static> {
    RequestRecord {
        at: portcullis::model::Timestamp::from_micros(1_700_000_000_000_042),
        method: "GET",
        path: "/app/x",
        status: 200,
        duration: Duration::from_micros(1_500),
        peer: Some("127.0.0.1"),
        client: Some("127.0.0.1"),
        request_id: "0123456789abcdef0123456789abcdef",
        route: Some("/app"),
        decision: Decision::Allow,
        reason: "authenticated",
        is_observed: false,
        credential: "jwt",
        check: Some(Check { tier: Tier::Memory, took: Duration::from_micros(2) }),
        user_id: Some("7"),
        user_name: Some("ada"),
        asked_by: None,
        upstream: Some("app"),
        span: None,
    }
}

/// What needs no waiting is done at the first poll.
fn now<W: Future>(work: W) -> W::Output {
    futures_util::FutureExt::now_or_never(work).expect("no waiting")
}

fn main() {
    divan::main();
}
