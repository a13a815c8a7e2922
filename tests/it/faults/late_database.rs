//! A database that is away when the gateway starts, and comes later.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::process::{Process, Site};
use crate::servers::PostgresDatabase;
use crate::subject::{PASSWORD, echo};

async fn waits(process: &Process) {
    assert_eq!(process.probe("/livez").await, StatusCode::OK);
    for probe in ["/readyz", "/startupz"] {
        assert_eq!(process.probe(probe).await, StatusCode::SERVICE_UNAVAILABLE, "{probe}");
    }
}

async fn serves(process: &mut Process) {
    process.until_serving().await;
    let ready = async { while process.probe("/readyz").await != StatusCode::OK {} };
    tokio::time::timeout(Duration::from_secs(20), ready).await.expect("ready");
    let form = json!({"username": "ada", "password": PASSWORD});
    let made = process.post("/auth/users/", form).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_late_is_waited_for() {
    let database = PostgresDatabase::create().await;
    database.close_to_connections().await;
    let (upstream, _) = echo().await;
    let site = Site::with_database(upstream, "", Some(&database.url()));
    let mut process = Process::begin(&site.config).await;
    process.until_line("migrations: the database is away").await;
    waits(&process).await;
    database.open_to_connections().await;
    serves(&mut process).await;
    drop(process);
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_another_process_holds_is_waited_for() {
    let (upstream, _) = echo().await;
    let site = Site::new(upstream, "");
    let url = format!("sqlite://{}?mode=rwc", site.database().display());
    let mut holder = SqliteConnection::connect(&url).await.unwrap();
    let hold = "PRAGMA locking_mode = EXCLUSIVE; CREATE TABLE held (x); BEGIN EXCLUSIVE";
    sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut holder).await.unwrap();
    let mut process = Process::begin(&site.config).await;
    process.until_line("opening: the database is away").await;
    waits(&process).await;
    holder.close().await.unwrap();
    serves(&mut process).await;
}
