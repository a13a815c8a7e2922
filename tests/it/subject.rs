//! The gateway under test: the real application in this process, on ports of its own, with a
//! database and an upstream of its own.
//!
//! `Subject::start()` is the product with its defaults; `Subject::with(|settings| …)` changes
//! them. The upstream answers what reached it as JSON, and remembers how often it was asked.
//! Everything ends when the subject is dropped.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use portcullis::app::{self, Options, Running};
use portcullis::clock::Clock;
use portcullis::config::{Access, Argon2, AuditTarget, Route, SecretText, Settings, Upstream};
use portcullis::mail::{Captured, Transport};
use portcullis::telemetry::RequestLog;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use crate::ledger;

pub(crate) const PASSWORD: &str = "correct-horse-battery";

pub(crate) struct Subject {
    pub(crate) address: SocketAddr,
    telemetry: SocketAddr,
    running: Running,
    pub(crate) clock: Clock,
    mailbox: Captured,
    asked: Arc<AtomicUsize>,
    pub(crate) folder: TempDir,
    settings: Settings,
    lines: Lines,
}

impl Subject {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Box::pin(Self::prepare(change, true)).await
    }

    /// The same, but mail leaves as `mail.url` says.
    pub(crate) async fn with_real_mail(change: impl FnOnce(&mut Settings)) -> Self {
        Box::pin(Self::prepare(change, false)).await
    }

    async fn prepare(change: impl FnOnce(&mut Settings), capture: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (upstream, asked) = echo().await;
        let mut settings = Settings::default();
        settings.server.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        settings.server.telemetry_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        settings.server.threads = 2;
        let file = folder.path().join("portcullis.db");
        settings.database.url = SecretText::from(&*format!("sqlite://{}", file.display()));
        settings.accounts.argon2 = Argon2 { memory_kib: 8, iterations: 1, parallelism: 1 };
        settings.upstreams = vec![Upstream {
            name: "app".into(),
            servers: vec![upstream.to_string()],
            ..Upstream::default()
        }];
        settings.routes = vec![
            route("/public/", Access::Anonymous),
            route("/maybe/", Access::Optional),
            route("/staff/", Access::Staff),
            route("/never/", Access::Deny),
            route("/", Access::Authenticated),
        ];
        if let Some(path) = ledger::audit_log() {
            settings.server.audit_log = AuditTarget::File(path);
        }
        change(&mut settings);
        // The real time to begin with: other parties' clocks (TLS, browsers) do not matter here.
        let clock = Clock::manual(Clock::system().now());
        Self::launch(settings, clock, folder, asked, capture).await
    }

    /// The same gateway, stopped and started again with its database, at the same time of day.
    pub(crate) async fn restart(self) -> Self {
        let Self { running, clock, asked, folder, settings, .. } = self;
        let stopped = tokio::time::timeout(Duration::from_secs(10), running.stop()).await;
        stopped.expect("a stop within ten seconds").unwrap();
        Self::launch(settings, clock, folder, asked, true).await
    }

    async fn launch(
        settings: Settings,
        clock: Clock,
        folder: TempDir,
        asked: Arc<AtomicUsize>,
        capture: bool,
    ) -> Self {
        keep_secrets_of(&settings);
        let (transport, mailbox) = Transport::capture();
        let transport = capture.then_some(transport);
        let lines = Lines::default();
        let log = RequestLog::to(lines.clone(), 1024);
        let options = Options { clock: clock.clone(), transport, log, source: None };
        let running = app::start_with(settings.clone(), options).await.unwrap();
        // The secret that it has made for itself, where none was given.
        if let Ok(own) = std::fs::read_to_string(folder.path().join("portcullis.db.secret")) {
            ledger::used(format!("secret_key = {:?}", own.trim()));
        }
        let address = running.address;
        let telemetry = running.telemetry.unwrap();
        Self { address, telemetry, running, clock, mailbox, asked, folder, settings, lines }
    }

    /// What the telemetry listener answers.
    pub(crate) async fn probe(&self, path: &str) -> Answer {
        exchange(self.telemetry, Ask::new(Method::GET, path)).await
    }

    /// How many requests have reached the upstream.
    pub(crate) fn reached(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// The count behind [`Self::reached`], for when the subject is gone.
    pub(crate) fn asked(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.asked)
    }

    /// The request log so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }

    /// The first line of the request log that has all of these texts in it.
    pub(crate) async fn logged(&self, wanted: &[&str]) -> String {
        self.logged_within(Duration::from_secs(10), wanted).await
    }

    /// The same for what takes longer.
    pub(crate) async fn logged_within(&self, limit: Duration, wanted: &[&str]) -> String {
        let found = async {
            loop {
                let text = self.log();
                let is_it = |line: &&str| wanted.iter().all(|wanted| line.contains(wanted));
                if let Some(line) = text.lines().find(is_it) {
                    return line.to_owned();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(limit, found).await.expect("a line in the log")
    }

    pub(crate) async fn metrics(&self) -> String {
        let answer = exchange(self.telemetry, Ask::new(Method::GET, "/metrics")).await;
        String::from_utf8(answer.body.to_vec()).unwrap()
    }

    /// Moves the clock, and waits until the log has been read at the new time: until then the
    /// gateway rightly vouches for nothing.
    pub(crate) async fn advance(&self, span: Duration) {
        self.clock.set(self.clock.now().plus(span));
        let ready = async {
            while self.probe("/readyz").await.status != StatusCode::OK {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ready).await.expect("ready again");
    }

    /// Ends it, gracefully.
    pub(crate) async fn stop(self) {
        self.running.stop().await.unwrap();
    }

    /// The same; what is left of it.
    pub(crate) async fn stop_and_keep(self) -> TempDir {
        self.running.stop().await.unwrap();
        self.folder
    }

    /// The text of the next mail.
    pub(crate) async fn next_letter(&self) -> String {
        let letter = tokio::time::timeout(Duration::from_secs(5), self.mailbox.next());
        let letter = letter.await.expect("a mail within five seconds");
        ledger::used(&letter.text);
        letter.text
    }

    /// The path of the link in the next mail, as its last two parts: uid and token.
    pub(crate) async fn next_link(&self) -> (String, String) {
        let letter = tokio::time::timeout(Duration::from_secs(5), self.mailbox.next())
            .await
            .expect("a mail within five seconds");
        ledger::used(&letter.text);
        let link = letter.text.lines().find(|line| line.starts_with("http")).unwrap().to_owned();
        let mut parts = link.rsplit('/').map(str::to_owned);
        let (token, uid) = (parts.next().unwrap(), parts.next().unwrap());
        (uid, token)
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Answer {
        exchange(self.address, ask).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Ask::new(Method::GET, path)).await
    }

    pub(crate) async fn get_as(&self, path: &str, token: &str) -> Answer {
        self.ask(Ask::new(Method::GET, path).bearer(token)).await
    }

    pub(crate) async fn post(&self, path: &str, json: Value) -> Answer {
        self.ask(Ask::new(Method::POST, path).json(&json)).await
    }

    pub(crate) async fn register(&self, username: &str) -> i64 {
        let answer = self
            .post(
                "/auth/users/",
                json!({"username": username, "email": format!("{username}@example.org"),
                       "password": PASSWORD, "re_password": PASSWORD}),
            )
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
        answer.json()["id"].as_i64().unwrap()
    }

    pub(crate) async fn opaque(&self, username: &str) -> String {
        let answer = self
            .post("/auth/token/login/", json!({"username": username, "password": PASSWORD}))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
        answer.json()["auth_token"].as_str().unwrap().to_owned()
    }

    /// (access, refresh)
    pub(crate) async fn jwt(&self, username: &str) -> (String, String) {
        let answer = self
            .post("/auth/jwt/create/", json!({"username": username, "password": PASSWORD}))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
        let json = answer.json();
        (json["access"].as_str().unwrap().to_owned(), json["refresh"].as_str().unwrap().to_owned())
    }
}

/// Where settings hold secrets.
fn keep_secrets_of(settings: &Settings) {
    ledger::used(format!("secret_key = {:?}", settings.secret_key.expose()));
    ledger::used(format!("signing_key = {:?}", settings.tokens.jwt.signing_key.expose()));
    for issuer in &settings.tokens.jwt.trusted {
        ledger::used(format!("secret = {:?}", issuer.secret.expose()));
    }
    for url in [&settings.database.url, &settings.redis.url, &settings.mail.url] {
        ledger::used(url.expose());
    }
}

/// What the request log has written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        ledger::said("requests", bytes);
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn route(path: &str, access: Access) -> Route {
    Route { path: path.into(), access, upstream: Some("app".into()), ..Route::default() }
}

/// A request to be sent.
pub(crate) struct Ask {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Ask {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: Bytes::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn json(mut self, json: &Value) -> Self {
        self.body = json.to_string().into();
        self.header("Content-Type", "application/json")
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// One request over a connection of its own, within ten seconds.
pub(crate) async fn exchange(to: SocketAddr, ask: Ask) -> Answer {
    try_exchange(to, ask).await.expect("a whole answer")
}

/// The same with somebody who may be gone before there is a whole answer.
pub(crate) async fn try_exchange(to: SocketAddr, ask: Ask) -> Option<Answer> {
    tokio::time::timeout(Duration::from_secs(10), async {
        let stream = TcpStream::connect(to).await.ok()?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let mut request = http::Request::builder()
            .method(ask.method)
            .uri(ask.path)
            .header("Host", to.to_string());
        let path = request.uri_ref().map(ToString::to_string).unwrap_or_default();
        for (name, value) in ask.headers {
            ledger::used(format!("{name}: {value}"));
            request = request.header(name, value);
        }
        ledger::used(&ask.body);
        let request = request.body(Full::new(ask.body)).unwrap();
        let (parts, body) = sender.send_request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        match &*path {
            "/metrics" => ledger::scraped(&body),
            _ => ledger::answered(parts.status, &body),
        }
        Some(Answer { status: parts.status, headers: parts.headers, body })
    })
    .await
    .expect("an answer within ten seconds")
}

/// An application that answers what reached it; and how often it was asked.
pub(crate) async fn echo() -> (SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().fallback(show).with_state(Arc::clone(&asked));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, asked)
}

async fn show(State(asked): State<Arc<AtomicUsize>>, request: Request) -> Json<Value> {
    asked.fetch_add(1, Ordering::SeqCst);
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut headers = Map::new();
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        // A header that came twice would be seen as a list: no test expects one.
        match headers.get_mut(name.as_str()) {
            Some(Value::Array(all)) => all.push(value.into()),
            Some(first) => *first = json!([first.clone(), value]),
            None => drop(headers.insert(name.to_string(), value.into())),
        }
    }
    Json(json!({
        "method": parts.method.as_str(),
        "target": parts.uri.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    }))
}
