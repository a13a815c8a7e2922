//! Redis servers of a test's own, on ports of their own.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use portcullis::config::Period;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::replicas::world::{World, get_opaque, log_out, refused, tier};
use crate::subject::Subject;

pub(super) struct Server {
    process: Child,
    pub(super) folder: TempDir,
    pub(super) port: u16,
}

impl Server {
    /// With these arguments besides the port.
    pub(super) async fn start(arguments: &[&str]) -> Self {
        Self::start_by(arguments, |port, _| vec!["--port".to_owned(), port.to_string()]).await
    }

    /// `more` writes down what depends on the port and the folder.
    pub(super) async fn start_by(
        arguments: &[&str],
        more: impl Fn(u16, &Path) -> Vec<String>,
    ) -> Self {
        for _ in 0..5 {
            let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
            let process = Command::new("redis-server")
                .args(more(port, folder.path()))
                .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"])
                .arg(folder.path())
                .args(arguments)
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-server, as scripts/setup installs it");
            let mut server = Self { process, folder, port };
            if server.answers().await {
                return server;
            }
        }
        panic!("no redis-server that answers");
    }

    /// False if it ended: somebody else took the port.
    async fn answers(&mut self) -> bool {
        for _ in 0..400 {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port))).is_ok() {
                return true;
            }
            sleep(Duration::from_millis(25)).await;
        }
        false
    }

    pub(super) async fn connect(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    pub(super) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One that is free now, with the one that is ten thousand higher: a cluster's nodes talk there.
fn free_port() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port() / 2 + 5_000;
        let taken = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_err();
        if !taken(port) && !taken(port + 10_000) {
            return port;
        }
    }
}

/// Replicas that hear of each other through this Redis only.
pub(super) async fn world(url: String) -> World {
    World { redis: url, listen: false, timeout: Period::seconds(1), ..World::new().await }
}

/// What one has looked up spares the other a look-up, and what ends on one ends on the other
/// by a hint: nobody ticks.
pub(super) async fn they_share(one: &Subject, other: &Subject, name: &str) {
    let token = one.opaque(name).await;
    assert_eq!(get_opaque(one, "/", &token).await.status, http::StatusCode::OK);
    let before = tier(other, "hit").await;
    // What was looked up is written beside the request.
    crate::replicas::world::until("the other is spared a look-up", async || {
        let token = one.opaque(name).await;
        assert_eq!(get_opaque(one, "/", &token).await.status, http::StatusCode::OK);
        sleep(Duration::from_millis(20)).await;
        assert_eq!(get_opaque(other, "/", &token).await.status, http::StatusCode::OK);
        tier(other, "hit").await > before
    })
    .await;
    assert_eq!(get_opaque(other, "/", &token).await.status, http::StatusCode::OK);
    log_out(one, &token).await;
    refused(other, &token).await;
}
