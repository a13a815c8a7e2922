//! The handle on the store: opening, migrating, closing.
//!
//! What can be asked of it stands in the files beside this one, by subject.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::db::{Access, Db, Sharing};
use super::errors::{Result, StoreError};
use super::query::sql;
use super::{migrations, postgres, sqlite};
use crate::model::Deed;

/// How long closing waits for calls that are under way.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How to reach the database. Its `Debug` shows no URL: they hold passwords.
#[derive(Clone)]
pub struct DatabaseOptions {
    /// `sqlite://path` or `postgres://…` (`database.url`).
    pub url: String,
    /// The same PostgreSQL database past a pooler, for migrations and hints; empty: [`Self::url`].
    pub direct_url: String,
    /// A pooler such as PgBouncer hands server connections out for one transaction each
    /// (`database.pool = "transaction"`).
    pub pooler: bool,
}

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) db: Db,
    pub(super) options: Arc<DatabaseOptions>,
    /// Whether deeds are written at all.
    pub(super) keeps_audit_log: bool,
    /// What the next transaction writes beside what it does.
    pub(super) deeds: Arc<[Deed]>,
}

impl Store {
    /// Opens the database. A SQLite file is made if it is not there; a PostgreSQL server is
    /// first spoken to by the first call, so that it may start later.
    ///
    /// # Errors
    /// The URL is no good, or the SQLite file cannot be opened.
    pub async fn open(options: &DatabaseOptions) -> Result<Self> {
        Self::open_for(options, Access::Whole).await
    }

    /// The same, to look at what a gateway has: nothing is made, and the database itself refuses
    /// whatever would write.
    ///
    /// # Errors
    /// The URL is no good, or there is no such SQLite file.
    pub async fn open_read_only(options: &DatabaseOptions) -> Result<Self> {
        Self::open_for(options, Access::ReadOnly).await
    }

    async fn open_for(options: &DatabaseOptions, access: Access) -> Result<Self> {
        let db = if is_sqlite(&options.url) {
            match access {
                Access::Whole => sqlite::open(&options.url).await?,
                Access::ReadOnly => sqlite::open_read_only(&options.url)?,
            }
        } else if is_postgres(&options.url) {
            let sharing = if options.pooler { Sharing::PerTransaction } else { Sharing::Own };
            postgres::open(&options.url, sharing, access)?
        } else {
            let text = "the URL of the database begins neither with sqlite: nor with postgres://";
            return Err(StoreError::misconfigured(text));
        };
        Ok(Self::new(db, options.clone()))
    }

    /// An empty database, migrated, that ends with its last handle: for tests and for trying
    /// things out. It is not durable.
    pub async fn open_temporary() -> Result<Self> {
        let (db, url) = sqlite::open_temporary().await?;
        let options = DatabaseOptions { url, direct_url: String::new(), pooler: false };
        let store = Self::new(db, options);
        store.migrate().await?;
        Ok(store)
    }

    fn new(db: Db, options: DatabaseOptions) -> Self {
        Self { db, options: Arc::new(options), keeps_audit_log: false, deeds: Arc::default() }
    }

    /// Brings the schema up to date. Any number of replicas may do so at once. A schema newer
    /// than this program is left alone.
    ///
    /// # Errors
    /// A migration that was applied reads differently now; the database is away, or older
    /// than PostgreSQL 13; it is behind a pooler and no direct URL is given.
    pub async fn migrate(&self) -> Result<()> {
        let options = &self.options;
        match &self.db {
            Db::Sqlite { .. } => migrations::migrate_sqlite(&options.url).await,
            Db::Postgres { .. } if !options.direct_url.is_empty() => {
                migrations::migrate_postgres(&options.direct_url).await
            }
            // Prepared statements and the migrator's lock would go to other clients.
            Db::Postgres { sharing: Sharing::PerTransaction, .. } => Err(
                StoreError::misconfigured("migrations need database.direct_url past the pooler"),
            ),
            Db::Postgres { .. } => migrations::migrate_postgres(&options.url).await,
        }
    }

    /// Whether the database answers and has our schema.
    pub async fn ping(&self) -> Result<()> {
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                tx.execute(sql("SELECT value FROM meta LIMIT 1")).await?;
                tx.commit(()).await
            })
            .await
    }

    /// Ends all connections, after the calls that are under way. Every later call fails.
    pub async fn close(&self) {
        let close = async {
            match &self.db {
                Db::Sqlite { read, write, .. } => {
                    // The last one out merges the write-ahead log into the file.
                    read.close().await;
                    write.close().await;
                }
                Db::Postgres { pool, .. } => pool.close().await,
            }
        };
        // A connection to a frozen server never comes back; the process ends all the same.
        drop(tokio::time::timeout(CLOSE_TIMEOUT, close).await);
    }
}

fn is_sqlite(url: &str) -> bool {
    url.starts_with("sqlite:")
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

impl fmt::Debug for DatabaseOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseOptions").field("pooler", &self.pooler).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> DatabaseOptions {
        DatabaseOptions { url: url.to_owned(), direct_url: String::new(), pooler: false }
    }

    #[tokio::test]
    async fn a_temporary_store_is_ready_for_use() {
        let store = Store::open_temporary().await.unwrap();
        store.ping().await.unwrap();
    }

    #[tokio::test]
    async fn temporary_stores_have_nothing_in_common() {
        let (one, other) = (Store::open_temporary().await, Store::open_temporary().await);
        assert_ne!(one.unwrap().options.url, other.unwrap().options.url);
    }

    #[tokio::test]
    async fn a_store_without_schema_does_not_ping() {
        let (db, url) = sqlite::open_temporary().await.unwrap();
        let store = Store::new(db, at(&url));
        assert!(matches!(store.ping().await, Err(StoreError::Refused(_))));
    }

    #[tokio::test]
    async fn other_databases_are_refused() {
        for url in ["mysql://localhost/x", "portcullis.db", ""] {
            let refused = Store::open(&at(url)).await;
            assert!(matches!(refused, Err(StoreError::Refused(_))), "{url}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_no_reason_not_to_open() {
        let store = Store::open(&at("postgres://nobody@127.0.0.1:1/none")).await.unwrap();
        assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    }

    #[tokio::test]
    async fn migrations_do_not_go_through_a_pooler() {
        let options = DatabaseOptions { pooler: true, ..at("postgres://nobody@127.0.0.1:1/none") };
        let refused = Store::open(&options).await.unwrap().migrate().await;
        assert!(matches!(refused, Err(StoreError::Refused(sqlx::Error::Configuration(_)))));
    }

    #[test]
    fn debug_shows_no_password() {
        let text = format!("{:?}", at("postgres://ada:hunter2@localhost/x"));
        assert_eq!(text, "DatabaseOptions { pooler: false, .. }");
    }
}
