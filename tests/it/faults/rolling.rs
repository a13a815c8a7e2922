//! Gateways are replaced one after the other under load, and no request fails.
//!
//! Two of the real program on one database, behind what a load balancer does: it asks `/readyz`,
//! and leads new connections to whoever is ready. Its clients hold on to their connections, as
//! those of a Kubernetes service do, which the balancer cannot move.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request, StatusCode};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};

use super::process::{Process, Site};
use crate::raw::{Act, App, Client};
use crate::servers::PostgresDatabase;
use crate::subject::{Ask, PASSWORD, try_exchange};

/// The kinds of clients, and how many of each.
const KEEPING: usize = 6;
const MULTIPLEXING: usize = 2;

/// A gateway as the balancer knows it.
struct Member {
    traffic: SocketAddr,
    is_ready: Arc<AtomicBool>,
    connections: usize,
    asking: JoinHandle<()>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

/// Leads new connections to the next gateway that is ready.
#[derive(Default)]
struct Balancer {
    members: Mutex<Vec<Member>>,
    turn: AtomicUsize,
}

impl Balancer {
    /// Of a gateway that serves.
    fn add(&self, process: &Process) {
        let is_ready = Arc::new(AtomicBool::new(true));
        let (told, telemetry) = (Arc::clone(&is_ready), process.telemetry);
        let asking = tokio::spawn(async move {
            loop {
                let answer = try_exchange(telemetry, Ask::new(Method::GET, "/readyz")).await;
                let is_ready = answer.is_some_and(|answer| answer.status == StatusCode::OK);
                told.store(is_ready, Ordering::SeqCst);
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        });
        let member = Member { traffic: process.address(), is_ready, connections: 0, asking };
        self.members.lock().unwrap().push(member);
    }

    /// Where the next connection goes.
    fn next(&self) -> SocketAddr {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut members = self.members.lock().unwrap();
        let is_ready = |member: &&mut Member| member.is_ready.load(Ordering::SeqCst);
        let mut ready: Vec<_> = members.iter_mut().filter(is_ready).collect();
        let count = ready.len();
        assert!(count > 0, "nobody is ready");
        ready[turn % count].connections += 1;
        ready[turn % count].traffic
    }

    /// How many connections were led to this gateway.
    fn connections(&self, to: SocketAddr) -> usize {
        let members = self.members.lock().unwrap();
        members.iter().find(|member| member.traffic == to).unwrap().connections
    }
}

/// What clients are up to.
struct Load {
    balancer: Balancer,
    token: String,
    served: AtomicUsize,
    is_over: AtomicBool,
}

impl Load {
    /// HTTP/1.1, on one connection until the gateway asks to leave. An answer that does not come
    /// fails the test.
    async fn keep(self: Arc<Self>) {
        let request = format!(
            "GET /hello HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n",
            self.token
        );
        let mut held: Option<Client> = None;
        while !self.is_over.load(Ordering::Relaxed) {
            let mut client = match held.take() {
                Some(client) => client,
                None => Client::connect(self.balancer.next()).await,
            };
            let answer = client.ask(&request).await;
            assert_eq!((answer.status, &*answer.text()), (200, "ok"), "{answer:?}");
            self.served.fetch_add(1, Ordering::Relaxed);
            if answer.header("connection") != Some("close") {
                held = Some(client);
            }
        }
    }

    /// HTTP/2, on one connection until the gateway announces its end.
    async fn multiplex(self: Arc<Self>) {
        let mut held: Option<SendRequest<Bytes>> = None;
        while !self.is_over.load(Ordering::Relaxed) {
            let mut sender = match held.take() {
                Some(sender) => sender,
                None => multiplexed(self.balancer.next()).await,
            };
            let request = Request::get("http://a/hello")
                .header("authorization", format!("Bearer {}", self.token))
                .body(())
                .unwrap();
            // Told of the end before anything was sent: that is no failed request.
            let Ok((answer, _)) = sender.send_request(request, true) else { continue };
            let mut answer = answer.await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK);
            while let Some(piece) = answer.body_mut().data().await {
                let piece = piece.expect("a whole answer");
                answer.body_mut().flow_control().release_capacity(piece.len()).unwrap();
            }
            self.served.fetch_add(1, Ordering::Relaxed);
            held = sender.ready().await.ok();
        }
    }
}

async fn multiplexed(to: SocketAddr) -> SendRequest<Bytes> {
    let socket = TcpStream::connect(to).await.unwrap();
    let (sender, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

/// What is under way on a gateway when it is told to stop.
struct UnderWay {
    upload: Client,
    websocket: Client,
}

impl UnderWay {
    async fn begin(on: SocketAddr) -> Self {
        let (mut upload, mut websocket) = (Client::connect(on).await, Client::connect(on).await);
        let head = "PUT /public/slow HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\
                    Expect: 100-continue\r\n\r\n";
        upload.send(head).await;
        assert_eq!(upload.head().await.status, 100);
        let head = "GET /public/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        assert_eq!(websocket.ask(head).await.status, 101);
        let mut under_way = Self { upload, websocket };
        under_way.speak().await;
        under_way
    }

    async fn speak(&mut self) {
        self.websocket.send("\u{1}hello").await;
        assert_eq!(self.websocket.take(6).await, b"\x01hello");
    }

    async fn end(mut self) {
        self.speak().await;
        let answer = self.upload.ask("done").await;
        assert_eq!((answer.status, &*answer.text()), (200, "ok"));
    }
}

fn answer(request: &crate::raw::Received) -> Act {
    if request.header("upgrade").is_some() {
        let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\n\r\n";
        return Act::Echo(head.into());
    }
    Act::ok("ok")
}

/// A gateway that stays for a while when it is told to go, and speaks HTTP/2 without TLS.
fn site(app: &App, database: &PostgresDatabase) -> Site {
    let more = "[[server.listeners]]\naddress = \"127.0.0.1:0\"\nh2c = true";
    let site = Site::with_database(app.address, more, Some(&database.url()));
    let text = std::fs::read_to_string(&site.config).unwrap();
    let patient = "listen = []\nshutdown_delay = \"2s\"\ndrain_timeout = \"30s\"";
    let text = text.replacen("listen = [\"127.0.0.1:0\"]", patient, 1);
    std::fs::write(&site.config, text).unwrap();
    site
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let limit = std::time::Duration::from_secs(30);
    tokio::time::timeout(limit, waiting).await.unwrap_or_else(|_| panic!("not so: {what}"));
}

async fn access_token(process: &Process) -> String {
    let form = json!({"username": "ada", "password": PASSWORD});
    let made = process.post("/auth/users/", form.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
    let pair = process.post("/auth/jwt/create/", form).await;
    pair.json()["access"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_fails_no_request() {
    let (database, app) = (PostgresDatabase::create().await, App::start(answer).await);
    let site = site(&app, &database);
    let first = Process::serve(&site.config).await;
    let second = Process::serve(&site.config).await;
    let load = Arc::new(Load {
        token: access_token(&first).await,
        balancer: Balancer::default(),
        served: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    });
    load.balancer.add(&first);
    load.balancer.add(&second);
    let mut clients = JoinSet::new();
    for _ in 0..KEEPING {
        clients.spawn(Arc::clone(&load).keep());
    }
    for _ in 0..MULTIPLEXING {
        clients.spawn(Arc::clone(&load).multiplex());
    }

    let mut replaced = Vec::new();
    for old in [first, second] {
        let address = old.address();
        until("it is used", async || load.balancer.connections(address) > 0).await;
        let under_way = UnderWay::begin(address).await;
        old.signal("TERM");
        until("it refuses", async || TcpStream::connect(address).await.is_err()).await;
        let before = load.served.load(Ordering::Relaxed);
        until("the other serves", async || load.served.load(Ordering::Relaxed) > before + 50).await;
        under_way.end().await;
        assert_eq!(old.ended().await.code(), Some(0), "nothing was cut off");
        let new = Process::serve(&site.config).await;
        load.balancer.add(&new);
        replaced.push(new);
    }
    load.is_over.store(true, Ordering::Relaxed);
    // A request that failed has ended its client.
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    drop((replaced, load));
    database.remove().await;
}
