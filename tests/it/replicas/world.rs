//! Two replicas, and a Redis of the test's own where it is to be killed or frozen.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::{Method, StatusCode};
use portcullis::config::{Period, Pool, SecretText, Settings};
use portcullis::store::{DatabaseOptions, Store};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::servers::{PostgresDatabase, redis_url};
use crate::subject::{Answer, Ask, Subject};

/// Long enough that a test which waits for it fails: only hints are left.
pub(crate) const NEVER: Period = Period::seconds(3600);

/// Nothing takes this long that works.
const BOUND: Duration = Duration::from_secs(20);

/// The settings that two replicas have in common.
pub(crate) struct World {
    pub(crate) database: PostgresDatabase,
    pub(crate) secret: String,
    pub(crate) redis: String,
    pub(crate) tick: Period,
    pub(crate) timeout: Period,
    /// Whether replicas listen to the database.
    pub(crate) listen: bool,
}

/// A Redis of the test's own, on a socket in a folder.
pub(crate) struct OwnRedis {
    process: Option<Child>,
    folder: TempDir,
}

impl World {
    /// With the Redis of the run, and the database's hints.
    pub(crate) async fn new() -> Self {
        Self::on(PostgresDatabase::create().await).await
    }

    pub(crate) async fn on(database: PostgresDatabase) -> Self {
        let options =
            DatabaseOptions { url: database.url(), direct_url: String::new(), pooler: false };
        let store = Store::open(&options).await.unwrap();
        store.migrate().await.unwrap();
        store.close().await;
        Self {
            database,
            secret: "a secret of this installation, long enough".to_owned(),
            redis: redis_url(),
            tick: NEVER,
            // Far more than a Redis that is well needs on a machine that is busy.
            timeout: Period::seconds(2),
            listen: true,
        }
    }

    pub(crate) async fn replica(&self) -> Subject {
        self.replica_with(|_| {}).await
    }

    /// One replica, connected to everything that is there.
    pub(crate) async fn replica_with(&self, change: impl FnOnce(&mut Settings)) -> Subject {
        let replica = self.unconnected(change).await;
        if self.listen {
            wait_for(&replica, "database_hints", 1).await;
        }
        if !self.redis.is_empty() {
            wait_for(&replica, "redis", 1).await;
            wait_for(&replica, "redis_hints", 1).await;
        }
        replica
    }

    pub(crate) async fn unconnected(&self, change: impl FnOnce(&mut Settings)) -> Subject {
        Subject::with(|settings| {
            settings.secret_key = SecretText::from(&*self.secret);
            settings.database.url = SecretText::from(&*self.database.url());
            settings.database.migrate = false;
            if !self.listen {
                // Without a direct address nobody listens behind a pooler.
                settings.database.pool = Pool::Transaction;
            }
            settings.redis.url = SecretText::from(&*self.redis);
            settings.redis.timeout = self.timeout;
            settings.revocation.tick = self.tick;
            change(settings);
        })
        .await
    }

    pub(crate) async fn remove(self) {
        self.database.remove().await;
    }
}

impl OwnRedis {
    pub(crate) async fn start() -> Self {
        let mut redis = Self::absent();
        redis.run().await;
        redis
    }

    /// A place where one may be started later.
    pub(crate) fn absent() -> Self {
        Self { process: None, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("socket").display())
    }

    pub(crate) async fn run(&mut self) {
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--dir"])
            .arg(self.folder.path())
            .arg("--unixsocket")
            .arg(self.folder.path().join("socket"))
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server, as scripts/setup installs it");
        self.process = Some(process);
        let client = redis::Client::open(self.url()).unwrap();
        timeout(BOUND, async {
            while client.get_multiplexed_async_connection().await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("a redis-server that answers");
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// `STOP` or `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let process = self.process.as_ref().unwrap();
        let mut command = Command::new("kill");
        command.arg(format!("-{name}")).arg(process.id().to_string());
        assert!(command.status().unwrap().success());
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until a replica's metrics say that a dependency is up (1) or not (0).
pub(crate) async fn wait_for(replica: &Subject, dependency: &str, up: u8) {
    let line = format!("portcullis_dependency_up{{dependency=\"{dependency}\"}} {up}");
    until(&line, async || metrics(replica).await.lines().any(|found| found == line)).await;
}

pub(crate) async fn metrics(replica: &Subject) -> String {
    let answer = replica.probe("/metrics").await;
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// How often the shared level answered so: `hit`, `miss`, `away`, `forged`.
pub(crate) async fn tier(replica: &Subject, result: &str) -> u64 {
    let line =
        format!("portcullis_token_cache_requests_total{{result=\"{result}\",tier=\"redis\"}} ");
    let metrics = metrics(replica).await;
    let found = metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok());
    found.unwrap_or(0)
}

/// Asks again and again, for a while.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) -> Duration {
    let since = Instant::now();
    let ask = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(BOUND, ask).await.is_ok(), "not within {BOUND:?}: {what}");
    since.elapsed()
}

pub(crate) async fn get_opaque(replica: &Subject, path: &str, token: &str) -> Answer {
    let ask = Ask::new(Method::GET, path).header("Authorization", &format!("Token {token}"));
    replica.ask(ask).await
}

pub(crate) async fn log_out(replica: &Subject, token: &str) {
    let ask = Ask::new(Method::POST, "/auth/token/logout/")
        .header("Authorization", &format!("Token {token}"));
    assert_eq!(replica.ask(ask).await.status, StatusCode::NO_CONTENT);
}

/// Waits until a token is refused, and says how long that took.
pub(crate) async fn refused(replica: &Subject, token: &str) -> Duration {
    until("the token is refused", async || {
        let answer = get_opaque(replica, "/", token).await;
        match answer.status {
            StatusCode::OK => false,
            StatusCode::UNAUTHORIZED => true,
            other => panic!("{other}"),
        }
    })
    .await
}
