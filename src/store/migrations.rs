//! Brings the schema up to date, safely with several replicas starting at once.
//!
//! The migrations are part of the program. They only add, so a schema that is newer than the
//! program (a roll-out that is under way, or was rolled back) is taken as it is. It must not
//! know the store's transactions.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::Connection;
use sqlx::migrate::Migrator;

use super::errors::{Result, StoreError};
use super::{postgres, sqlite};

/// For all of them together; a large table may take a while to get an index.
const PATIENCE: Duration = Duration::from_mins(10);

/// Migrates a SQLite file.
pub(super) async fn migrate_sqlite(url: &str) -> Result<()> {
    let mut migrator = sqlx::migrate!("migrations/sqlite");
    let mut connection = sqlite::connect_to_migrate(url).await?;
    // The migrator's own lock does nothing on SQLite; this one holds until the commit.
    let mut tx = connection.begin_with("BEGIN EXCLUSIVE").await?;
    additive(&mut migrator).run_direct(None, &mut *tx, false).await?;
    tx.commit().await?;
    connection.close().await?;
    Ok(())
}

/// Migrates a PostgreSQL database, which must not be reached through a pooler.
pub(super) async fn migrate_postgres(url: &str) -> Result<()> {
    let mut migrator = sqlx::migrate!("migrations/postgres");
    let mut connection = postgres::connect_to_migrate(url).await?;
    let migrate = additive(&mut migrator).run_direct(None, &mut connection, false);
    let outcome = match tokio::time::timeout(PATIENCE, migrate).await {
        Ok(outcome) => outcome.map_err(StoreError::from),
        Err(_) => Err(StoreError::too_slow(PATIENCE)),
    };
    // However it went: closing gives the lock back. A server that does not say good-bye has
    // lost the connection anyway.
    drop(tokio::time::timeout(Duration::from_secs(1), connection.close()).await);
    outcome
}

/// The numbers of SQLite's.
pub(super) fn known_for_sqlite() -> BTreeSet<i64> {
    numbers(&sqlx::migrate!("migrations/sqlite"))
}

/// The numbers of PostgreSQL's.
pub(super) fn known_for_postgres() -> BTreeSet<i64> {
    numbers(&sqlx::migrate!("migrations/postgres"))
}

fn numbers(migrator: &Migrator) -> BTreeSet<i64> {
    migrator.iter().map(|migration| migration.version).collect()
}

fn additive(migrator: &mut Migrator) -> &mut Migrator {
    migrator.set_ignore_missing(true)
}
