//! The servers that tests run against, and a database of its own in them for each test.
//!
//! `make test` starts them and says where they are. It is the only one who does: a test that
//! found no server would otherwise have to be skipped, and nobody would notice.

use std::io::{BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Holds the URL of a PostgreSQL server in which databases may be made.
const POSTGRES: &str = "PORTCULLIS_TEST_POSTGRES";

/// Holds the address of a `PgBouncer` in transaction mode before that server.
const PGBOUNCER: &str = "PORTCULLIS_TEST_PGBOUNCER";

/// Holds the URL of a Redis server. Whoever keeps something there has an installation, and with
/// it names, of its own.
const REDIS: &str = "PORTCULLIS_TEST_REDIS";

/// Where the Redis of the run is.
pub(crate) fn redis_url() -> String {
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
    let Ok(server) = std::env::var(REDIS) else {
        panic!("{REDIS} is not set: run `make test`, which starts Redis");
    };
    server
}

/// A fresh PostgreSQL database. [`PostgresDatabase::remove`] ends it; one that a failed test
/// leaves behind ends with the server.
pub(crate) struct PostgresDatabase {
    server: String,
    name: String,
}

impl PostgresDatabase {
    pub(crate) async fn create() -> Self {
        #[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
        let Ok(server) = std::env::var(POSTGRES) else {
            panic!("{POSTGRES} is not set: run `make test`, which starts PostgreSQL");
        };
        Self::create_in(server).await
    }

    /// In the server of which this is the maintenance database.
    pub(crate) async fn create_in(server: String) -> Self {
        let name = format!("test_{}", random_name());
        run(&server, &format!("CREATE DATABASE {name}")).await;
        Self { server, name }
    }

    /// Where the database is, for a client.
    pub(crate) fn url(&self) -> String {
        let (base, query) = self.server.split_once('?').unwrap_or((&self.server, ""));
        let host = base.rfind('/').map_or(base, |end| match &base[..end] {
            // `postgres://host` has no database to be replaced.
            scheme if scheme.ends_with('/') => base,
            server => server,
        });
        format!("{host}/{}?{query}", self.name)
    }

    /// The same through the `PgBouncer` of the run, which pools by transaction.
    pub(crate) fn pooled_url(&self) -> String {
        #[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
        let Ok(pooler) = std::env::var(PGBOUNCER) else {
            panic!("{PGBOUNCER} is not set: run `make test`, which starts PgBouncer");
        };
        format!("postgres://portcullis@{pooler}/{}", self.name)
    }

    /// From now on nobody is connected, and nobody can connect: a server that went away, as far
    /// as a client can tell.
    pub(crate) async fn close_to_connections(&self) {
        run(&self.server, &format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", self.name)).await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname =";
        run(&self.server, &format!("{end} '{}'", self.name)).await;
    }

    pub(crate) async fn open_to_connections(&self) {
        run(&self.server, &format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name)).await;
    }

    /// From now on everybody who connects may only read, and all have to connect anew.
    pub(crate) async fn set_read_only(&self, read_only: bool) {
        let (name, value) = (&self.name, if read_only { "on" } else { "off" });
        let set = format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}");
        run(&self.server, &set).await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname =";
        run(&self.server, &format!("{end} '{name}'")).await;
    }

    pub(crate) async fn remove(self) {
        run(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

/// A PostgreSQL server of one test, to be killed and frozen. It ends with its handle, and with
/// the test.
pub(crate) struct OwnPostgres {
    keeper: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    url: String,
}

impl OwnPostgres {
    pub(crate) fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/servers.py");
        let mut keeper = Command::new("python3")
            .args([script, "postgres"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3, as scripts/setup installs it");
        let orders = keeper.stdin.take().unwrap();
        let mut answers = BufReader::new(keeper.stdout.take().unwrap());
        let url = line(&mut answers);
        Self { keeper, orders, answers, url }
    }

    /// A database in it.
    pub(crate) async fn database(&self) -> PostgresDatabase {
        PostgresDatabase::create_in(self.url.clone()).await
    }

    /// `kill`, `start` again, `freeze` or `thaw`; done when this returns.
    pub(crate) fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
        self.orders.flush().unwrap();
        assert_eq!(line(&mut self.answers), format!("done: {order}"));
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        // The keeper ends the server when nobody can give it orders any more.
        let _ = writeln!(self.orders, "end");
        let _ = self.orders.flush();
        let _ = self.keeper.wait();
    }
}

fn line(from: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

async fn run(server: &str, command: &str) {
    let mut connection = PgConnection::connect(server)
        .await
        .unwrap_or_else(|error| panic!("the server that {POSTGRES} names: {error}"));
    sqlx::raw_sql(AssertSqlSafe(command)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn random_name() -> String {
    let mut name = [0; 8];
    aws_lc_rs::rand::fill(&mut name).unwrap();
    hex::encode(name)
}
