//! Django databases to import from, and a place to import into.

use clap::Parser;
use portcullis::cli::import::{ImportCommand, ImportError, Progress, import};
use portcullis::clock::Clock;
use portcullis::config::Settings;
use portcullis::model::{Timestamp, User, UserId};
use portcullis::store::{DatabaseOptions, Store};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

use crate::ledger;

/// Users, tokens and a blacklist, as Django 6.1 wrote them.
pub(super) const SAMPLE: &str = include_str!("../../conformance/django-import/sample.sql");

/// While the sample's refresh tokens were still good.
pub(super) const THEN: Timestamp = Timestamp::from_seconds(1_795_400_000);

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: ImportCommand,
}

/// A Django database in a file, and a database of ours beside it.
pub(super) struct Move {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) clock: Clock,
    folder: TempDir,
}

impl Move {
    /// From the sample.
    pub(super) async fn of_sample() -> Self {
        let new = Self::from("");
        let file = new.folder.path().join("django.sqlite3");
        let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
        options.connect().await.unwrap().close().await.unwrap();
        let new = Self { from: new.file("django.sqlite3"), ..new };
        new.change(SAMPLE).await;
        ledger::used(SAMPLE);
        new
    }

    /// From elsewhere.
    pub(super) fn from(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let to = format!("sqlite://{}", folder.path().join("portcullis.db").display());
        Self { from: url.to_owned(), to, clock: Clock::manual(THEN), folder }
    }

    pub(super) fn file(&self, name: &str) -> String {
        format!("sqlite://{}", self.folder.path().join(name).display())
    }

    /// Runs commands in the source.
    pub(super) async fn change(&self, commands: &str) {
        let commands = sqlx::raw_sql(AssertSqlSafe(commands.to_owned()));
        if self.from.starts_with("sqlite:") {
            let mut connection = SqliteConnection::connect(&self.from).await.unwrap();
            commands.execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        } else {
            let mut connection = PgConnection::connect(&self.from).await.unwrap();
            commands.execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }

    pub(super) async fn store(&self) -> Store {
        let (url, direct_url) = (self.to.clone(), String::new());
        let store = Store::open(&DatabaseOptions { url, direct_url, pooler: false }).await.unwrap();
        store.migrate().await.unwrap();
        store
    }

    /// Imports; the report.
    pub(super) async fn run(&self, flags: &str) -> Result<String, ImportError> {
        let words = ["import", "django", "--from", &self.from];
        let words = words.into_iter().chain(flags.split_whitespace());
        let ImportCommand::Django(arguments) = Cli::try_parse_from(words).unwrap().command;
        let (settings, store) = (Settings::default(), self.store().await);
        let mut out = Vec::new();
        let quiet = Progress::Silent;
        let done = import(&arguments, &settings, &store, &self.clock, quiet, &mut out).await;
        store.close().await;
        ledger::said("shell", format!("{done:?}\n{}", String::from_utf8_lossy(&out)));
        done.map(|()| String::from_utf8(out).unwrap())
    }
}

pub(super) async fn user(store: &Store, id: i64) -> User {
    store.user(UserId(id)).await.unwrap().unwrap()
}
