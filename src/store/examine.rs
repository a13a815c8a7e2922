//! What can be said about the database without changing it, for `portcullis doctor`.
//!
//! It must not know what is good and what is not.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::db::Db;
use super::errors::{Result, StoreError};
use super::handle::Store;
use super::migrations;
use super::postgres::CONNECTIONS;
use super::query::{sql, sql_by};
use crate::model::Timestamp;

/// Questions of which the fastest answer counts: the first one has to connect.
const QUESTIONS: usize = 5;

/// What a database says of itself.
#[derive(Debug, Clone)]
pub struct Examination {
    /// The product with its version.
    pub version: String,
    /// How long the smallest question takes.
    pub latency: Duration,
    /// How its schema stands to this program.
    pub schema: Schema,
    /// What only a server knows.
    pub server: Option<DatabaseServer>,
}

/// How a schema stands to this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// There is none.
    Missing,
    /// So many migrations are missing.
    Behind(usize),
    /// The same.
    Current,
    /// So many migrations are of a newer release.
    Newer(usize),
}

/// What only a server knows.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseServer {
    /// The time there, read in the middle of the question.
    pub now: Timestamp,
    /// Connections that it gives to anybody but superusers.
    pub most_connections: i64,
    /// Connections that there are.
    pub connections: i64,
    /// Connections that one gateway takes: those of its pool, and one that listens.
    pub ours: i64,
}

impl Store {
    /// Asks the database about itself.
    ///
    /// # Errors
    /// It is away.
    pub async fn examine(&self) -> Result<Examination> {
        let mut latency = Duration::MAX;
        for _ in 0..QUESTIONS {
            let began = Instant::now();
            self.answers().await?;
            latency = latency.min(began.elapsed());
        }
        let schema = match self.applied().await {
            Ok(applied) => compare(&applied, &self.known()),
            Err(StoreError::Refused(_)) => Schema::Missing,
            Err(error) => return Err(error),
        };
        let version = self.version().await?;
        let server = match &self.db {
            Db::Sqlite { .. } => None,
            Db::Postgres { .. } => Some(self.server().await?),
        };
        Ok(Examination { version, latency, schema, server })
    }

    async fn answers(&self) -> Result<()> {
        let ask = || async {
            let mut tx = self.db.snapshot().await?;
            tx.execute(sql("SELECT 1")).await?;
            tx.commit(()).await
        };
        self.db.read(ask).await
    }

    async fn version(&self) -> Result<String> {
        let ask = || async {
            let mut tx = self.db.snapshot().await?;
            let query = sql_by(
                "SELECT 'SQLite ' || sqlite_version()",
                "SELECT 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1)",
            );
            let (version,): (String,) = tx.one(query).await?;
            tx.commit(version).await
        };
        self.db.read(ask).await
    }

    async fn server(&self) -> Result<DatabaseServer> {
        let ask = || async {
            let mut tx = self.db.snapshot().await?;
            let query = sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, \
                 current_setting('max_connections')::bigint \
                 - current_setting('superuser_reserved_connections')::bigint, \
                 (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')");
            let (now, most_connections, connections): (i64, i64, i64) = tx.one(query).await?;
            let (now, ours) = (Timestamp::from_micros(now), i64::from(CONNECTIONS) + 1);
            tx.commit(DatabaseServer { now, most_connections, connections, ours }).await
        };
        self.db.read(ask).await
    }

    /// The migrations that this database has.
    async fn applied(&self) -> Result<BTreeSet<i64>> {
        let ask = || async {
            let mut tx = self.db.snapshot().await?;
            let query = sql("SELECT version FROM _sqlx_migrations WHERE success");
            let versions: Vec<(i64,)> = tx.all(query).await?;
            tx.commit(versions.into_iter().map(|(version,)| version).collect()).await
        };
        self.db.read(ask).await
    }

    /// The migrations that this program knows.
    fn known(&self) -> BTreeSet<i64> {
        match &self.db {
            Db::Sqlite { .. } => migrations::known_for_sqlite(),
            Db::Postgres { .. } => migrations::known_for_postgres(),
        }
    }
}

fn compare(applied: &BTreeSet<i64>, known: &BTreeSet<i64>) -> Schema {
    let missing = known.difference(applied).count();
    let newer = applied.difference(known).count();
    match (applied.len(), missing, newer) {
        (0, ..) => Schema::Missing,
        (_, 0, 0) => Schema::Current,
        (_, 0, newer) => Schema::Newer(newer),
        (_, missing, _) => Schema::Behind(missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_compared_migration_by_migration() {
        let set = |numbers: &[i64]| numbers.iter().copied().collect();
        let known = set(&[1, 2, 3]);
        for (applied, expected) in [
            (set(&[]), Schema::Missing),
            (set(&[1]), Schema::Behind(2)),
            (set(&[1, 2, 3]), Schema::Current),
            (set(&[1, 2, 3, 4]), Schema::Newer(1)),
            // Of a branch that never was: what is missing counts.
            (set(&[1, 2, 9]), Schema::Behind(1)),
        ] {
            assert_eq!(compare(&applied, &known), expected);
        }
    }

    #[tokio::test]
    async fn a_store_that_was_migrated_is_current() {
        let store = Store::open_temporary().await.unwrap();
        let found = store.examine().await.unwrap();
        assert_eq!(found.schema, Schema::Current);
        assert!(found.version.starts_with("SQLite 3."), "{}", found.version);
        assert!(found.server.is_none());
    }

    #[tokio::test]
    async fn a_store_without_schema_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("p.db").display());
        let options =
            super::super::DatabaseOptions { url, direct_url: String::new(), pooler: false };
        let store = Store::open(&options).await.unwrap();
        assert_eq!(store.examine().await.unwrap().schema, Schema::Missing);
    }
}
