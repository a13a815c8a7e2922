//! SIGKILL in the middle of work: what was acknowledged is there afterwards.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::process::{Process, Site};
use crate::servers::PostgresDatabase;
use crate::subject::{Answer, Ask, PASSWORD, echo, try_exchange};

/// So many clients at once, and so many answers before the end.
const CLIENTS: usize = 8;
const ANSWERS: u32 = 60;
const TOKENS: usize = 120;

fn form(name: &str) -> Value {
    json!({"username": name, "password": PASSWORD})
}

async fn post(address: SocketAddr, path: &str, json: &Value) -> Option<Answer> {
    try_exchange(address, Ask::new(Method::POST, path).json(json)).await
}

async fn log_out(address: SocketAddr, token: &str) -> Option<Answer> {
    try_exchange(address, Ask::new(Method::POST, "/auth/token/logout/").bearer(token)).await
}

async fn tokens(process: &Process) -> Vec<String> {
    assert_eq!(process.post("/auth/users/", form("ada")).await.status, StatusCode::CREATED);
    let mut tokens = Vec::new();
    for number in 0..TOKENS {
        let (path, field) = match number % 2 {
            0 => ("/auth/token/login/", "auth_token"),
            _ => ("/auth/jwt/create/", "access"),
        };
        let answer = process.post(path, form("ada")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
        tokens.push(answer.json()[field].as_str().unwrap().to_owned());
    }
    tokens
}

/// Registers and logs out until nobody answers any more; what was acknowledged.
async fn work(
    address: SocketAddr,
    client: usize,
    tokens: Vec<String>,
    answers: Arc<Semaphore>,
) -> (Vec<String>, Vec<String>) {
    let (mut registered, mut ended) = (Vec::new(), Vec::new());
    let mut tokens = tokens.into_iter();
    for number in 0.. {
        let name = format!("user{client}-{number}");
        let Some(answer) = post(address, "/auth/users/", &form(&name)).await else { break };
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
        registered.push(name);
        answers.add_permits(1);
        let Some(token) = tokens.next() else { continue };
        let Some(answer) = log_out(address, &token).await else { break };
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.json());
        ended.push(token);
        answers.add_permits(1);
    }
    (registered, ended)
}

async fn nothing_acknowledged_is_lost(site: Site) {
    let process = Process::serve(&site.config).await;
    let tokens = tokens(&process).await;
    let answers = Arc::new(Semaphore::new(0));
    let mut clients = JoinSet::new();
    for (client, tokens) in tokens.chunks(TOKENS / CLIENTS).enumerate() {
        let (tokens, answers) = (tokens.to_vec(), Arc::clone(&answers));
        clients.spawn(work(process.address(), client, tokens, answers));
    }
    answers.acquire_many(ANSWERS).await.unwrap().forget();
    process.signal("KILL");
    let done = clients.join_all().await;
    assert!(!process.ended().await.success());

    let process = Process::serve(&site.config).await;
    let (mut registered, mut ended) = (0, Vec::new());
    for (names, tokens) in done {
        for name in names {
            let login = process.post("/auth/token/login/", form(&name)).await;
            assert_eq!(login.status, StatusCode::OK, "{name}: {}", login.json());
            registered += 1;
        }
        ended.extend(tokens);
    }
    for token in &ended {
        assert_eq!(process.passes(token).await, StatusCode::UNAUTHORIZED, "it was logged out");
    }
    assert!(registered + ended.len() >= ANSWERS as usize);
    assert!(registered > 0 && !ended.is_empty());
    // At most one logout of each client was under way: all others live.
    let live = tokens.iter().filter(|token| !ended.contains(token));
    let mut lost = 0;
    for token in live {
        lost += usize::from(process.passes(token).await != StatusCode::OK);
    }
    assert!(lost <= CLIENTS, "{lost} that nobody ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_that_sqlite_acknowledged() {
    let (upstream, _) = echo().await;
    nothing_acknowledged_is_lost(Site::new(upstream, "")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_that_postgresql_acknowledged() {
    let database = PostgresDatabase::create().await;
    let (upstream, _) = echo().await;
    nothing_acknowledged_is_lost(Site::with_database(upstream, "", Some(&database.url()))).await;
    database.remove().await;
}
