//! What a service manager is told by the real program: its socket is the test's.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use http::{Method, StatusCode};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tempfile::TempDir;

use super::process::{Process, Site};
use crate::subject::{Ask, echo};

const READY: &str = "READY=1\nSTATUS=serving\n";
const MORE_TIME: &str = "EXTEND_TIMEOUT_USEC=30000000\nSTATUS=starting\n";
const STOPPING: &str = "STOPPING=1\nSTATUS=finishing requests\n";

/// systemd, as far as the program sees it.
struct Manager {
    socket: tokio::net::UnixDatagram,
    path: PathBuf,
    _folder: TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket = tokio::net::UnixDatagram::from_std(socket).unwrap();
        Self { socket, path, _folder: folder }
    }

    async fn start(&self, site: &Site, more: &[(&str, &str)]) -> Process {
        let mut environment = vec![("NOTIFY_SOCKET", self.path.to_str().unwrap())];
        environment.extend(more);
        Process::begin_within(&site.config, &environment).await
    }

    async fn told_whatever(&self) -> String {
        let mut text = [0; 1024];
        let told = tokio::time::timeout(Duration::from_secs(30), self.socket.recv(&mut text));
        let length = told.await.expect("a message").unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    }

    /// The next message, but for those that ask for time to start.
    async fn told(&self) -> String {
        loop {
            let told = self.told_whatever().await;
            if told != MORE_TIME {
                return told;
            }
        }
    }

    /// When it was, by the clock that the manager compares.
    async fn told_of_a_reload(&self) -> u64 {
        let told = self.told().await;
        let rest = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&told);
        rest.strip_suffix('\n').and_then(|number| number.parse().ok()).expect(&told)
    }
}

async fn site() -> Site {
    Site::new(echo().await.0, "")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manager_is_told_of_start_reload_and_stop() {
    let (manager, site) = (Manager::new(), site().await);
    let mut process = manager.start(&site, &[]).await;
    assert_eq!(manager.told().await, READY);
    process.until_serving().await;
    let answer = process.ask(Ask::new(Method::GET, "/public/a")).await;
    assert_eq!(answer.status, StatusCode::OK);

    process.signal("HUP");
    let first = manager.told_of_a_reload().await;
    assert_eq!(manager.told().await, READY);
    process.signal("HUP");
    assert!(manager.told_of_a_reload().await > first);
    assert_eq!(manager.told().await, READY);

    process.signal("TERM");
    assert_eq!(manager.told().await, STOPPING);
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_is_refused_ends_with_a_status_that_says_so() {
    let (manager, site) = (Manager::new(), site().await);
    let mut process = manager.start(&site, &[]).await;
    assert_eq!(manager.told().await, READY);
    process.until_serving().await;
    std::fs::write(&site.config, "[server]\nlissen = []\n").unwrap();
    manager.told_of_a_reload().await;
    let refused = "READY=1\nSTATUS=serving; the changed configuration has faults and is not used\n";
    assert_eq!(manager.told().await, refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_no_start_and_no_hang() {
    let (manager, site) = (Manager::new(), site().await);
    let url = format!("sqlite://{}?mode=rwc", site.database().display());
    let mut holder = SqliteConnection::connect(&url).await.unwrap();
    let hold = "PRAGMA locking_mode = EXCLUSIVE; CREATE TABLE held (x); BEGIN EXCLUSIVE";
    sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut holder).await.unwrap();
    let mut process = manager.start(&site, &[]).await;
    process.until_line("opening: the database is away").await;
    // Twice: the second is ten seconds later, and nothing was said in between.
    assert_eq!(manager.told_whatever().await, MORE_TIME);
    assert_eq!(manager.told_whatever().await, MORE_TIME);
    holder.close().await.unwrap();
    assert_eq!(manager.told().await, READY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watchdog_is_given_signs_of_life() {
    let (manager, site) = (Manager::new(), site().await);
    let process = manager.start(&site, &[("WATCHDOG_USEC", "100000")]).await;
    while manager.told().await != READY {}
    for _ in 0..5 {
        assert_eq!(manager.told().await, "WATCHDOG=1\n");
    }
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watchdog_for_another_process_is_none_of_ours() {
    let (manager, site) = (Manager::new(), site().await);
    let watchdog = [("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")];
    let process = manager.start(&site, &watchdog).await;
    assert_eq!(manager.told().await, READY);
    process.signal("TERM");
    assert_eq!(manager.told().await, STOPPING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_is_gone_costs_a_line_and_not_the_service() {
    let site = site().await;
    let environment = [("NOTIFY_SOCKET", "/nonexistent/notify")];
    let mut process = Process::begin_within(&site.config, &environment).await;
    process.until_line("the service manager cannot be told").await;
    process.until_serving().await;
    process.signal("TERM");
    assert_eq!(process.ended().await.code(), Some(0));
}
