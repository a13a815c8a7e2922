//! A whole API over a temporary store, with a clock that stands still.
//!
//! `World::new()` has the product's defaults, `World::djoser()` djoser's, `World::with` changes
//! single settings. Hashing is cheap, and nothing is throttled unless a test says so.
//! `Ask` builds a request, `Answer` is what came back. Every answer must be one that the API's
//! description announces.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Method, Request, StatusCode};
use portcullis::accounts::passwords::{Passwords, unusable};
use portcullis::accounts::throttle::Throttle;
use portcullis::accounts::{Accounts, AccountsParts, AuditTable};
use portcullis::api::caller::Caller;
use portcullis::api::{ApiParts, description, router};
use portcullis::clock::Clock;
use portcullis::cluster::Announcer;
use portcullis::config::{Argon2, Lifetime, OpaqueScope, Settings};
use portcullis::identity::{Authenticator, JwtIssuer, Keys, Links, OpaqueTokens, Revocations};
use portcullis::mail::Bell;
use portcullis::model::{MailPurpose, Timestamp, User};
use portcullis::secret::{KeyUse, RootKey};
use portcullis::store::{Flags, Mail, NameRules, NewUser, Store};
use portcullis::telemetry::AuditLog;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::described;
use crate::ledger;

/// A password that is good enough, and another.
pub(super) const PASSWORD: &str = "Wmxt-Koru!Zyl9";
pub(super) const OTHER_PASSWORD: &str = "Nhgs-Tylo?Quv7";

pub(super) struct World {
    pub(super) store: Store,
    pub(super) clock: Clock,
    links: Links,
    router: Router,
    description: Value,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// Every (*) of the design as djoser has it.
    pub(super) async fn djoser() -> Self {
        Self::with(|settings| {
            settings.tokens.opaque.scope = OpaqueScope::User;
            settings.tokens.opaque.idle_timeout = Lifetime::Never;
            settings.tokens.jwt.extra_claims.clear();
            settings.tokens.jwt.strict_revocation = false;
            settings.accounts.normalize_login = false;
            settings.accounts.user_create_password_retype = false;
            settings.accounts.login_field_read_only = true;
            settings.accounts.logout_on_password_change = false;
            settings.accounts.trim_passwords = true;
            settings.accounts.unique_email = false;
            settings.accounts.hide_unknown_uid = false;
            settings.accounts.reuse_usernames = true;
            settings.accounts.password_similarity = 0.7;
        })
        .await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        settings.accounts.argon2 = Argon2 { memory_kib: 8, iterations: 1, parallelism: 1 };
        settings.limits.throttling = false;
        settings.tokens.jwt.algorithm = "HS256".into();
        settings.tokens.jwt.signing_key = "a-signing-key-of-thirty-two-bytes-or-more".into();
        change(&mut settings);
        Self::build(Arc::new(settings)).await
    }

    async fn build(settings: Arc<Settings>) -> Self {
        let store = Store::open_temporary().await.unwrap();
        let description = serde_json::from_str(&description(&settings).unwrap()).unwrap();
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let root = RootKey::new("the root of all keys of this test");
        let keys = Arc::new(Keys::load(&settings, &store, &root, &clock).await.unwrap());
        let opaque = Arc::new(OpaqueTokens::new(&root));
        let revocations = Arc::new(Revocations::new(Duration::from_hours(24 * 365)));
        revocations.synced(clock.now());
        let (authenticator, _) = Authenticator::new(
            &settings,
            store.clone(),
            clock.clone(),
            Arc::clone(&keys),
            Arc::clone(&opaque),
            Arc::clone(&revocations),
        );
        let authenticator = Arc::new(authenticator);
        let links =
            Links::new(root.derive(KeyUse::MailLinks), *settings.accounts.password_reset_timeout);
        let accounts = Accounts::new(AccountsParts {
            audit: AuditLog::off(),
            audit_table: AuditTable::default(),
            store: store.clone(),
            authenticator: Arc::clone(&authenticator),
            issuer: Arc::new(JwtIssuer::new(&settings, keys)),
            opaque,
            links: links.clone(),
            passwords: Passwords::new(&settings.accounts.argon2, 1, Duration::from_secs(30)),
            throttle: Throttle::new(&settings.limits, clock.clone()),
            bell: Bell::default(),
            announcer: Announcer::new(revocations),
            clock: clock.clone(),
            settings,
        });
        let router = router(ApiParts { accounts: Arc::new(accounts), authenticator });
        Self { store, clock, links, router, description }
    }

    pub(super) async fn ask(&self, ask: Ask) -> Answer {
        let request = ask.request();
        let (method, uri) = (request.method().clone(), request.uri().to_string());
        let request = keep(request).await;
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap().to_vec();
        ledger::answered(parts.status, &body);
        let fault = described::fault(&self.description, (&method, &uri), parts.status, &body);
        assert_eq!(fault, None);
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Ask::new(Method::POST, path).json(&body)).await
    }

    pub(super) async fn post_as(&self, token: &str, path: &str, body: Value) -> Answer {
        self.ask(Ask::new(Method::POST, path).bearer(token).json(&body)).await
    }

    pub(super) async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask(Ask::get(path).bearer(token)).await
    }

    /// What waits in the outbox: for what, and to whom.
    pub(super) async fn promised(&self) -> Vec<(MailPurpose, String)> {
        self.mails().await.into_iter().map(|mail| (mail.purpose, mail.address)).collect()
    }

    /// An account that comes by another way than the API.
    pub(super) async fn insert(&self, name: &str, hash: &SecretString) -> i64 {
        let new = NewUser {
            username: name,
            email: "",
            password: hash.expose_secret(),
            is_active: true,
            is_staff: false,
            is_superuser: false,
            email_verified: false,
        };
        let rules = NameRules { unique_email: true, reuse_usernames: false };
        let user = self.store.create_user(new, rules, None, None, self.clock.now()).await;
        user.unwrap().id.0
    }

    /// Makes an account one of the staff.
    pub(super) async fn promote(&self, name: &str) {
        let flags = Flags { is_staff: Some(true), is_superuser: None };
        let id = self.user(name).await.id;
        self.store.set_flags(id, flags, self.clock.now()).await.unwrap().unwrap();
    }

    pub(super) async fn me(&self, token: &str) -> Answer {
        self.ask(Ask::new(Method::GET, "/auth/users/me/").bearer(token)).await
    }

    /// Registers an account with [`PASSWORD`] and an address at `example.org`.
    pub(super) async fn register(&self, name: &str) -> i64 {
        let body = json!({
            "username": name,
            "email": format!("{name}@example.org"),
            "password": PASSWORD,
            "re_password": PASSWORD,
        });
        let answer = self.post("/auth/users/", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        answer.json()["id"].as_i64().unwrap()
    }

    /// An account's opaque token, whatever the settings ask of it.
    pub(super) async fn token_of(&self, name: &str) -> String {
        let body = json!({
            "username": name,
            "email": format!("{name}@example.org"),
            "password": PASSWORD,
            "re_password": PASSWORD,
        });
        self.post("/auth/users/", body.clone()).await;
        let id = self.user(name).await.id;
        self.store.set_active(id, true, self.clock.now()).await.unwrap();
        let answer = self.post("/auth/token/login/", body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()["auth_token"].as_str().unwrap().to_owned()
    }

    pub(super) async fn try_log_in(&self, name: &str, password: &str) -> Answer {
        self.post("/auth/token/login/", json!({"username": name, "password": password})).await
    }

    /// An opaque token.
    pub(super) async fn log_in(&self, name: &str) -> String {
        let answer = self.try_log_in(name, PASSWORD).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()["auth_token"].as_str().unwrap().to_owned()
    }

    /// A refresh and an access token.
    pub(super) async fn log_in_jwt(&self, name: &str) -> (String, String) {
        let body = json!({"username": name, "password": PASSWORD});
        let answer = self.post("/auth/jwt/create/", body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let text = |name: &str| answer.json()[name].as_str().unwrap().to_owned();
        (text("refresh"), text("access"))
    }

    pub(super) async fn user(&self, name: &str) -> User {
        self.store.user_by_username(name).await.unwrap().unwrap()
    }

    pub(super) async fn deactivate(&self, name: &str) {
        let id = self.user(name).await.id;
        self.store.set_active(id, false, self.clock.now()).await.unwrap().unwrap();
    }

    /// Leaves the account without a usable password, as an import may bring it.
    pub(super) async fn forbid_passwords(&self, name: &str) {
        let user = self.user(name).await;
        let old = user.password.expose_secret();
        self.store.rehash(user.id, old, &unusable(), self.clock.now()).await.unwrap();
    }

    /// What waits in the outbox.
    pub(super) async fn mails(&self) -> Vec<Mail> {
        self.store.take_mail(100, Duration::from_mins(1), self.clock.now()).await.unwrap()
    }

    /// The uid and the token that a reset mail would carry now.
    pub(super) async fn reset_link(&self, name: &str) -> (String, String) {
        self.link(name, MailPurpose::PasswordReset).await
    }

    /// The uid and the token that a mail of this purpose would carry now.
    pub(super) async fn link(&self, name: &str, purpose: MailPurpose) -> (String, String) {
        let user = self.user(name).await;
        let token = self.links.token(purpose, &user, self.clock.now());
        ledger::used(format!("token={}", token.expose_secret()));
        (Links::uid(user.id), token.expose_secret().to_owned())
    }

    pub(super) fn pass(&self, span: Duration) {
        self.clock.set(self.clock.now().plus(span));
    }
}

/// The same request, kept for what is secret in it.
async fn keep(request: Request<Body>) -> Request<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    for (name, value) in &parts.headers {
        ledger::used([name.as_str().as_bytes(), b": ", value.as_bytes()].concat());
    }
    ledger::used(&body);
    Request::from_parts(parts, body.into())
}

/// A request to be sent.
pub(super) struct Ask {
    request: http::request::Builder,
    body: Body,
}

impl Ask {
    pub(super) fn new(method: Method, path: &str) -> Self {
        Self { request: Request::builder().method(method).uri(path), body: Body::empty() }
    }

    pub(super) fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(super) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(super) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub(super) fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// As the gateway hands it in.
    pub(super) fn from(mut self, address: &str, host: &str) -> Self {
        self.request = self.request.extension(Caller {
            address: Some(address.parse::<IpAddr>().unwrap()),
            request_id: "r1".to_owned(),
            scheme: "https",
            host: host.to_owned(),
        });
        self
    }

    fn request(self) -> Request<Body> {
        self.request.body(self.body).unwrap()
    }
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Status and whole body.
    #[track_caller]
    pub(super) fn is(&self, status: u16, body: &Value) {
        assert_eq!((self.status.as_u16(), self.json()), (status, body.clone()));
    }

    /// Status, and no body at all.
    #[track_caller]
    pub(super) fn is_empty(&self, status: u16) {
        assert_eq!((self.status.as_u16(), self.text()), (status, String::new()));
    }
}
