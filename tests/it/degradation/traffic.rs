//! Requests without end to all replicas while something happens, and what must hold all the while.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::replicas::world::{World, get_opaque};
use crate::subject::{Answer, Ask, PASSWORD, Subject, exchange};

/// Two seconds are promised for our own trouble; the rest is for a busy machine.
pub(super) const LONGEST: Duration = Duration::from_secs(6);

/// One and a half is promised between a logout's answer and the last request that passes.
const SPREAD: Duration = Duration::from_secs(5);

/// Five are promised from the end of a trouble to the end of its consequences.
const RECOVERY: Duration = Duration::from_secs(15);

const PAUSE: Duration = Duration::from_millis(10);

/// Replicas that are asked all the time.
pub(super) struct Traffic {
    pub(super) one: Arc<Subject>,
    pub(super) other: Arc<Subject>,
    /// These and whoever else was started.
    pub(super) all: Vec<Arc<Subject>>,
    shared: Arc<Shared>,
    workers: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    passed: AtomicUsize,
    dead: Mutex<Vec<(String, Instant)>>,
    wrong: Mutex<Vec<String>>,
}

impl Traffic {
    /// Two replicas.
    pub(super) async fn start(world: &World) -> Self {
        Self::of(world, 2).await
    }

    /// So many replicas, at least two.
    pub(super) async fn of(world: &World, count: usize) -> Self {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(Arc::new(world.replica().await));
        }
        let (one, other) = (Arc::clone(&all[0]), Arc::clone(&all[1]));
        one.register("ada").await;
        let (opaque, (access, _)) = (one.opaque("ada").await, one.jwt("ada").await);
        let shared = Arc::new(Shared::default());
        let mut workers = JoinSet::new();
        for replica in &all {
            for token in [format!("Token {opaque}"), format!("Bearer {access}")] {
                let ask = Ask::new(Method::GET, "/").header("Authorization", &token);
                assert_eq!(replica.ask(ask).await.status, StatusCode::OK);
                workers.spawn(Arc::clone(&shared).ask_with(replica.address, token));
            }
            workers.spawn(Arc::clone(&shared).try_the_dead(replica.address));
        }
        Self { one, other, all, shared, workers }
    }

    /// Logs in on one, shows the token to all, logs out on one: from the answer on the others
    /// have their time, and then it is dead.
    pub(super) async fn one_comes_and_goes(&self) {
        let form = json!({"username": "ada", "password": PASSWORD});
        let log_in = async || self.one.post("/auth/token/login/", form.clone()).await;
        let answer = soon(StatusCode::OK, log_in).await;
        let token = answer.json()["auth_token"].as_str().unwrap().to_owned();
        for replica in &self.all {
            soon(StatusCode::OK, async || get_opaque(replica, "/", &token).await).await;
        }
        let header = format!("Token {token}");
        let log_out = async || {
            let ask = Ask::new(Method::POST, "/auth/token/logout/");
            self.one.ask(ask.header("Authorization", &header)).await
        };
        soon(StatusCode::NO_CONTENT, log_out).await;
        let since = Instant::now();
        let refused = async || get_opaque(&self.one, "/", &token).await;
        soon(StatusCode::UNAUTHORIZED, refused).await;
        self.shared.dead.lock().unwrap().push((token, since));
    }

    /// Lets some requests pass.
    pub(super) async fn go_on(&self) {
        let until = self.shared.passed.load(Ordering::SeqCst) + 40;
        let passed = async {
            while self.shared.passed.load(Ordering::SeqCst) < until {
                sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), passed).await.expect("requests pass");
    }

    /// Everything that needs the database to write says 503, and soon.
    pub(super) async fn nothing_is_written(&self) {
        for path in ["/auth/token/login/", "/auth/jwt/create/"] {
            let since = Instant::now();
            let form = json!({"username": "ada", "password": PASSWORD});
            is_our_trouble(&self.other.post(path, form).await, path);
            assert!(since.elapsed() < LONGEST, "{path}: {:?}", since.elapsed());
        }
    }

    /// Ends it, and says whether all held.
    pub(super) async fn end(mut self) {
        // The last logout has had its time, too.
        let last = self.shared.dead.lock().unwrap().last().map(|(_, since)| *since);
        if let Some(last) = last {
            tokio::time::sleep_until(last + SPREAD + PAUSE * 10).await;
        }
        self.shared.over.store(true, Ordering::SeqCst);
        while let Some(ended) = self.workers.join_next().await {
            ended.unwrap();
        }
        assert_eq!(*self.shared.wrong.lock().unwrap(), Vec::<String>::new());
    }
}

impl Shared {
    async fn ask_with(self: Arc<Self>, address: std::net::SocketAddr, token: String) {
        while !self.over.load(Ordering::SeqCst) {
            let since = Instant::now();
            let ask = Ask::new(Method::GET, "/").header("Authorization", &token);
            let answer = exchange(address, ask).await;
            if answer.status == StatusCode::OK {
                self.passed.fetch_add(1, Ordering::SeqCst);
            } else {
                self.wrong(format!("{} for a good and known {}", answer.status, &token[..6]));
            }
            if since.elapsed() > LONGEST {
                self.wrong(format!("{:?} for a known credential", since.elapsed()));
            }
            sleep(PAUSE).await;
        }
    }

    async fn try_the_dead(self: Arc<Self>, address: std::net::SocketAddr) {
        while !self.over.load(Ordering::SeqCst) {
            let dead = self.dead.lock().unwrap().clone();
            for (token, since) in dead {
                let (asked, header) = (Instant::now(), format!("Token {token}"));
                let ask = Ask::new(Method::GET, "/").header("Authorization", &header);
                let status = exchange(address, ask).await.status;
                if status == StatusCode::OK && asked - since > SPREAD {
                    self.wrong(format!("let through {:?} after its logout", asked - since));
                }
            }
            sleep(PAUSE).await;
        }
    }

    fn wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }
}

/// 503 as the gate and the API say it.
pub(super) fn is_our_trouble(answer: &Answer, what: &str) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{what}: {}", answer.json());
    let seconds: u64 = answer.header("retry-after").expect(what).parse().unwrap();
    assert!((1..=60).contains(&seconds), "{what}");
    assert_eq!(answer.json()["code"], json!("auth_unavailable"), "{what}");
}

/// Asks until it is no more our trouble: that may be so for a while after the end of one.
pub(super) async fn soon(wanted: StatusCode, ask: impl AsyncFn() -> Answer) -> Answer {
    let since = Instant::now();
    loop {
        let answer = ask().await;
        if answer.status != StatusCode::SERVICE_UNAVAILABLE || since.elapsed() > RECOVERY {
            assert_eq!(answer.status, wanted, "{}", answer.json());
            return answer;
        }
        sleep(PAUSE).await;
    }
}

/// Waits until it is ready, or is not.
pub(super) async fn readiness(replica: &Subject, wanted: StatusCode) {
    let since = Instant::now();
    let asked = async {
        loop {
            let found = replica.probe("/readyz").await;
            if found.status == wanted {
                return;
            }
            let found = String::from_utf8_lossy(&found.body).into_owned();
            assert!(since.elapsed() < RECOVERY, "not {wanted} in {RECOVERY:?}: {found}");
            sleep(PAUSE).await;
        }
    };
    asked.await;
}
