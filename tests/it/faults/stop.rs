//! SIGTERM to the real program while it works.

use std::sync::Arc;

use axum::extract::State;
use http::{Method, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::process::{Process, Site};
use crate::subject::{Ask, PASSWORD, exchange};

/// An application that says when it was asked, and answers when it may.
struct Slow {
    address: std::net::SocketAddr,
    asked: Arc<Semaphore>,
    may_answer: Arc<Semaphore>,
}

impl Slow {
    async fn start() -> Self {
        let (asked, may_answer) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = (Arc::clone(&asked), Arc::clone(&may_answer));
        let app = axum::Router::new().fallback(Self::answer).with_state(state);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, asked, may_answer }
    }

    async fn answer(State((asked, may)): State<(Arc<Semaphore>, Arc<Semaphore>)>) -> &'static str {
        asked.add_permits(1);
        may.acquire().await.unwrap().forget();
        "done"
    }

    async fn until_asked(&self, times: u32) {
        self.asked.acquire_many(times).await.unwrap().forget();
    }
}

async fn access_token(process: &Process) -> String {
    let form = json!({"username": "ada", "password": PASSWORD});
    let made = process.post("/auth/users/", form.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
    let pair = process.post("/auth/jwt/create/", form).await;
    pair.json()["access"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_fails_none_of_the_requests_in_flight() {
    let slow = Slow::start().await;
    let site = Site::new(slow.address, "");
    let mut process = Process::serve(&site.config).await;
    let (address, token) = (process.address(), access_token(&process).await);
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        let token = token.clone();
        requests.spawn(async move {
            exchange(address, Ask::new(Method::GET, "/hello").bearer(&token)).await
        });
    }
    slow.until_asked(50).await;
    process.signal("TERM");
    process.until_line("stopping").await;
    while process.probe("/readyz").await != StatusCode::SERVICE_UNAVAILABLE {}
    assert_eq!(process.probe("/livez").await, StatusCode::OK);
    slow.may_answer.add_permits(50);
    for answer in requests.join_all().await {
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, &b"done"[..]));
    }
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let slow = Slow::start().await;
    let site = Site::new(slow.address, "");
    let mut process = Process::serve(&site.config).await;
    let address = process.address();
    let request = tokio::net::TcpStream::connect(address).await.unwrap();
    request.writable().await.unwrap();
    request.try_write(b"GET /public/ HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    slow.until_asked(1).await;
    process.signal("TERM");
    process.until_line("stopping").await;
    process.signal("TERM");
    process.until_line("second signal").await;
    assert_eq!(process.ended().await.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_before_the_database_came_is_a_stop_too() {
    let database = crate::servers::PostgresDatabase::create().await;
    database.close_to_connections().await;
    let slow = Slow::start().await;
    let site = Site::with_database(slow.address, "", Some(&database.url()));
    let process = Process::begin(&site.config).await;
    assert_eq!(process.probe("/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
    process.signal("TERM");
    assert_eq!(process.ended().await.code(), Some(0));
    database.remove().await;
}
