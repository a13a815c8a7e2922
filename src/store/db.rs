//! The narrow waist between the store's transactions and the two databases.
//!
//! Everything above it is written once. Here, and nowhere else, every store call gets its
//! time limit, a transaction of its own and, if another was in the way, a second attempt.
//! It must not know tables.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgPool, PgRow, Postgres};
use sqlx::sqlite::{Sqlite, SqlitePool, SqliteRow};
use sqlx::{Either, FromRow, Transaction};

use super::errors::{Result, StoreError};
use super::folder::{OpenedFile, TemporaryFolder};
use super::query::{Query, sql};

/// What a store call may take, with waiting for a connection and all attempts: no request waits
/// longer than two seconds for our own trouble.
pub(super) const PATIENCE: Duration = Duration::from_millis(1700);

/// How often a transaction that was in another's way is begun.
const ATTEMPTS: usize = 3;

/// The connections to one database. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Db {
    Sqlite {
        read: SqlitePool,
        /// One connection: its queue is fair, whereas SQLite's own waiting is polling.
        write: SqlitePool,
        file: Arc<OpenedFile>,
        /// Removed with the last handle; none for a real database.
        #[expect(dead_code, reason = "held, so that it lives as long as the pools")]
        folder: Option<Arc<TemporaryFolder>>,
    },
    Postgres {
        pool: PgPool,
        sharing: Sharing,
        access: Access,
    },
}

/// What may be done with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Whole,
    /// The database itself refuses whatever would write.
    ReadOnly,
}

/// Whose the server's side of a PostgreSQL connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Ours: statements stay prepared on it.
    Own,
    /// A pooler hands it to somebody else after each transaction. A statement prepared there
    /// would be answered for another client; that gives wrong rows without an error.
    PerTransaction,
}

/// An open transaction; rolled back unless committed.
pub(super) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>, Sharing),
}

/// The answer of a transaction that was committed; made by [`Tx::commit`] only, so that none
/// can be given without it.
pub(super) struct Done<T>(T);

/// A row type: `#[derive(FromRow)]` or a tuple.
pub(super) trait Record:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Record for T where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

// The limits are set in the transaction because a pooler refuses them at connect.
const POOLED_READ: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; \
    SET LOCAL statement_timeout = '1500ms'; SET LOCAL idle_in_transaction_session_timeout = '10s'";
const POOLED_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
    SET LOCAL statement_timeout = '1500ms'; SET LOCAL lock_timeout = '1s'; \
    SET LOCAL idle_in_transaction_session_timeout = '10s'";

impl Db {
    /// Runs `work`, which reads in one transaction.
    pub(super) async fn read<T, F>(&self, work: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<Done<T>>>,
    {
        self.read_within(PATIENCE, work).await
    }

    /// Runs `work`, which may read much, in steps that each keep to the database's own limits.
    pub(super) async fn read_within<T, F>(&self, limit: Duration, work: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<Done<T>>>,
    {
        within(limit, async { Ok(work().await?.0) }).await
    }

    /// Runs `work`, which writes in one transaction; again if another was in its way.
    pub(super) async fn write<T, F>(&self, work: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<Done<T>>>,
    {
        self.write_within(PATIENCE, work).await
    }

    /// Runs `work`, which may write much, in steps that each keep to the database's own limits.
    pub(super) async fn write_within<T, F>(
        &self,
        limit: Duration,
        work: impl Fn() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<Done<T>>>,
    {
        within(limit, async {
            let mut attempt = 1;
            loop {
                match work().await {
                    Ok(Done(value)) => return Ok(value),
                    Err(error) if error.is_conflict() && attempt < ATTEMPTS => attempt += 1,
                    Err(error) => return Err(error),
                }
            }
        })
        .await
    }

    /// A transaction that only reads.
    pub(super) async fn snapshot(&self) -> sqlx::Result<Tx> {
        Ok(match self {
            Self::Sqlite { read, file, .. } => {
                file.check()?;
                Tx::Sqlite(read.begin().await?)
            }
            Self::Postgres { pool, sharing, .. } => {
                let begin = match sharing {
                    Sharing::Own => "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY",
                    Sharing::PerTransaction => POOLED_READ,
                };
                Tx::Postgres(pool.begin_with(begin).await?, *sharing)
            }
        })
    }

    /// A transaction that writes.
    pub(super) async fn begin(&self) -> sqlx::Result<Tx> {
        Ok(match self {
            // The write lock at once: a transaction that began by reading could not get it later.
            Self::Sqlite { write, file, .. } => {
                file.check()?;
                Tx::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?)
            }
            Self::Postgres { access: Access::ReadOnly, .. } => return self.snapshot().await,
            Self::Postgres { pool, sharing, .. } => {
                let begin = match sharing {
                    Sharing::Own => "BEGIN ISOLATION LEVEL READ COMMITTED",
                    Sharing::PerTransaction => POOLED_WRITE,
                };
                Tx::Postgres(pool.begin_with(begin).await?, *sharing)
            }
        })
    }
}

impl Tx {
    /// Runs a statement; how many rows it touched.
    pub(super) async fn execute(&mut self, query: Query) -> sqlx::Result<u64> {
        match self {
            Self::Sqlite(tx) => {
                query.for_sqlite()?.execute(&mut **tx).await.map(|done| done.rows_affected())
            }
            Self::Postgres(tx, sharing) => {
                let query = query.for_postgres(*sharing == Sharing::Own)?;
                query.execute(&mut **tx).await.map(|done| done.rows_affected())
            }
        }
    }

    /// The one row that a statement yields.
    pub(super) async fn one<T: Record>(&mut self, query: Query) -> sqlx::Result<T> {
        self.optional(query).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// The first row that a statement yields, if any.
    pub(super) async fn optional<T: Record>(&mut self, query: Query) -> sqlx::Result<Option<T>> {
        let row = match self {
            Self::Sqlite(tx) => {
                query.for_sqlite()?.fetch_optional(&mut **tx).await?.map(Either::Left)
            }
            Self::Postgres(tx, sharing) => {
                let query = query.for_postgres(*sharing == Sharing::Own)?;
                query.fetch_optional(&mut **tx).await?.map(Either::Right)
            }
        };
        row.map(|row| row.either(|row| T::from_row(&row), |row| T::from_row(&row))).transpose()
    }

    /// All rows that a statement yields. The statement sees to it that they are not too many.
    pub(super) async fn all<T: Record>(&mut self, query: Query) -> sqlx::Result<Vec<T>> {
        match self {
            Self::Sqlite(tx) => {
                let rows = query.for_sqlite()?.fetch_all(&mut **tx).await?;
                rows.iter().map(T::from_row).collect()
            }
            Self::Postgres(tx, sharing) => {
                let query = query.for_postgres(*sharing == Sharing::Own)?;
                let rows = query.fetch_all(&mut **tx).await?;
                rows.iter().map(T::from_row).collect()
            }
        }
    }

    /// Holds `name` until the transaction ends, for rules that no constraint can express. Let
    /// the next statement read: on PostgreSQL it sees what the last holder committed.
    pub(super) async fn hold(&mut self, name: &str) -> sqlx::Result<()> {
        match self {
            // There is only one writer at a time.
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(..) => {
                let lock = sql("SELECT pg_advisory_xact_lock($1)").bind(lock_number(name));
                self.execute(lock).await.map(drop)
            }
        }
    }

    /// Makes it last. `value` is the answer that may be given then.
    pub(super) async fn commit<T>(self, value: T) -> Result<Done<T>> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx, _) => tx.commit().await?,
        }
        Ok(Done(value))
    }
}

/// Advisory locks have numbers. Two names that share one only wait for each other.
fn lock_number(name: &str) -> i64 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    let mut number = [0; 8];
    number.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    i64::from_be_bytes(number)
}

/// Bounds `work`.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(StoreError::too_slow(limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_the_same_number_on_every_replica() {
        assert_eq!(lock_number("ada"), lock_number("ada"));
        assert_ne!(lock_number("ada"), lock_number("adah"));
    }

    #[tokio::test]
    async fn a_call_ends_when_its_time_is_over() {
        let frozen = within(Duration::ZERO, std::future::pending::<Result<()>>()).await;
        assert!(matches!(frozen, Err(StoreError::Unavailable(sqlx::Error::Io(_)))));
        assert!(within(PATIENCE, async { Ok(1) }).await.is_ok());
    }
}
