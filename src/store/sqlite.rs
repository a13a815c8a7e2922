//! SQLite, the embedded default: one file, durable before a call answers.
//!
//! Never on a network file system: its locks and shared memory do not work there. It must
//! not know tables.

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::pool::PoolOptions;
use sqlx::sqlite::{
    Sqlite, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Pool};

use super::db::Db;
use super::errors::{Result, StoreError};
use super::folder::{OpenedFile, TemporaryFolder, create_private};

/// How long one process waits for another that writes (the shell's commands beside the
/// gateway). Below the patience of a store call, so that the database's own error is seen.
const BUSY_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long a migration waits for another replica's.
const MIGRATION_BUSY_TIMEOUT: Duration = Duration::from_secs(30);

const READERS: u32 = 8;

/// How much a crash of the machine may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Nothing that was answered: a logout must not be undone by a power cut.
    Full,
    /// Everything: for data that ends with the process.
    None,
}

/// Opens the file, and makes it if it is not there.
pub(super) async fn open(url: &str) -> Result<Db> {
    let options = parse(url, Durability::Full)?;
    // A place where no file can be made is a fault of the settings, and no reason to wait.
    let made = create_private(options.get_filename());
    made.map_err(|error| StoreError::Refused(sqlx::Error::Io(error)))?;
    connect(&options, None).await
}

/// Opens a file that is there, to read only: nothing is made, and SQLite itself refuses writes.
pub(super) fn open_read_only(url: &str) -> Result<Db> {
    let options = parse(url, Durability::Full)?.read_only(true);
    let file = OpenedFile::note(options.get_filename());
    let file = file.map_err(|error| StoreError::Refused(sqlx::Error::Io(error)))?;
    let (read, write) = (pool(READERS), pool(1));
    let write = write.connect_lazy_with(options.clone());
    let read = read.connect_lazy_with(options);
    Ok(Db::Sqlite { read, write, file: Arc::new(file), folder: None })
}

/// An empty database that ends with its last handle.
pub(super) async fn open_temporary() -> Result<(Db, String)> {
    let folder = TemporaryFolder::create().map_err(sqlx::Error::Io)?;
    let url = format!("sqlite://{}", folder.path().join("portcullis.db").display());
    let options = parse(&url, Durability::None)?;
    create_private(options.get_filename()).map_err(sqlx::Error::Io)?;
    Ok((connect(&options, Some(Arc::new(folder))).await?, url))
}

/// A connection of its own for the migrations.
pub(super) async fn connect_to_migrate(url: &str) -> Result<SqliteConnection> {
    let options = parse(url, Durability::Full)?.busy_timeout(MIGRATION_BUSY_TIMEOUT);
    Ok(options.connect().await?)
}

async fn connect(
    options: &SqliteConnectOptions,
    folder: Option<Arc<TemporaryFolder>>,
) -> Result<Db> {
    // The writer first: a read-only connection can neither create the file nor switch to WAL.
    let write = connect_writer(options).await?;
    let read = pool(READERS).connect_lazy_with(options.clone().read_only(true));
    let file = OpenedFile::note(options.get_filename()).map_err(sqlx::Error::Io)?;
    Ok(Db::Sqlite { read, write, file: Arc::new(file), folder })
}

/// Waits for a replica that migrates, as migrations wait for each other.
async fn connect_writer(options: &SqliteConnectOptions) -> Result<Pool<Sqlite>> {
    let began = Instant::now();
    loop {
        match pool(1).connect_with(options.clone()).await {
            // It waited for as long as the database's own time limit is.
            Err(error) if is_busy(&error) && began.elapsed() < MIGRATION_BUSY_TIMEOUT => {}
            outcome => return Ok(outcome?),
        }
    }
}

/// `SQLITE_BUSY`, with or without more about it in the higher bits; or the pool did not wait for
/// the database to say it.
fn is_busy(error: &sqlx::Error) -> bool {
    if matches!(error, sqlx::Error::PoolTimedOut) {
        return true;
    }
    let code = error.as_database_error().and_then(|error| error.code()?.parse().ok());
    code.is_some_and(|code: u32| code & 0xff == 5)
}

fn pool(connections: u32) -> PoolOptions<Sqlite> {
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(BUSY_TIMEOUT)
        // There is no network in between that could have lost a connection.
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}

fn parse(url: &str, durability: Durability) -> Result<SqliteConnectOptions> {
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err(StoreError::misconfigured("SQLite in memory is not supported: name a file"));
    }
    let options = SqliteConnectOptions::from_str(url)?;
    if options.get_filename().as_os_str().is_empty() {
        return Err(StoreError::misconfigured("the URL of the SQLite database names no file"));
    }
    Ok(options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(match durability {
            // In WAL mode, NORMAL would lose the last commits at power loss.
            Durability::Full => SqliteSynchronous::Full,
            Durability::None => SqliteSynchronous::Off,
        })
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // The log of a burst of writes need not stay that long on the disk for ever.
        .pragma("journal_size_limit", "67108864")
        .disable_statement_logging())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_another_replica_migrates_for_long_is_opened_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("portcullis.db").display());
        let options = SqliteConnectOptions::from_str(&url).unwrap().create_if_missing(true);
        let mut other = options.journal_mode(SqliteJournalMode::Delete).connect().await.unwrap();
        sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
        let opening = tokio::spawn(async move { open(&url).await.map(drop) });
        // Longer than the database itself waits.
        tokio::time::sleep(BUSY_TIMEOUT + Duration::from_millis(500)).await;
        assert!(!opening.is_finished());
        sqlx::Connection::close(other).await.unwrap();
        opening.await.unwrap().unwrap();
    }

    #[test]
    fn a_url_names_a_file() {
        let name = |url| parse(url, Durability::Full).map(|it| it.get_filename().to_owned());
        assert_eq!(name("sqlite://a/b.db").unwrap().as_os_str(), "a/b.db");
        assert_eq!(name("sqlite:///a/b.db").unwrap().as_os_str(), "/a/b.db");
        for url in ["sqlite::memory:", "sqlite://x?mode=memory", "sqlite://", "sqlite://x?y=z"] {
            assert!(matches!(name(url), Err(StoreError::Refused(_))), "{url}");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_opened_to_read_is_neither_made_nor_written() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("portcullis.db").display());
        assert!(matches!(open_read_only(&url), Err(StoreError::Refused(_))));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let Db::Sqlite { write, .. } = open(&url).await.unwrap() else {
            panic!("another database")
        };
        sqlx::query("CREATE TABLE seen (x)").execute(&write).await.unwrap();
        let Db::Sqlite { read, write, .. } = open_read_only(&url).unwrap() else {
            panic!("another database")
        };
        for pool in [&read, &write] {
            sqlx::query("SELECT x FROM seen").fetch_all(pool).await.unwrap();
            assert!(sqlx::query("INSERT INTO seen VALUES (1)").execute(pool).await.is_err());
        }
    }

    #[tokio::test]
    async fn a_commit_is_on_the_disk_before_it_is_answered() {
        let folder = TemporaryFolder::create().unwrap();
        let url = format!("sqlite://{}", folder.path().join("portcullis.db").display());
        let Db::Sqlite { read, write, .. } = open(&url).await.unwrap() else {
            panic!("another database")
        };
        for (pool, pragma, expected) in [
            (&write, "SELECT journal_mode FROM pragma_journal_mode", "wal"),
            (&read, "SELECT journal_mode FROM pragma_journal_mode", "wal"),
            (&write, "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous", "2"),
            (&write, "SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys", "1"),
        ] {
            let (found,): (String,) = sqlx::query_as(pragma).fetch_one(pool).await.unwrap();
            assert_eq!(found, expected, "{pragma}");
        }
        let written = sqlx::query("CREATE TABLE readers_do_not_write (x)").execute(&read).await;
        assert!(written.is_err());
    }
}
