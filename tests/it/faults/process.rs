//! The real program in a process of its own, on free ports, ended with its handle.
//!
//! Where it listens is read from its log.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::ledger;
use crate::subject::{Answer, Ask, exchange};

/// Far more than anything here takes, and an end all the same.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).env_clear();
    command
}

/// A configuration with a SQLite database beside it.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) config: PathBuf,
}

impl Site {
    /// `more` follows the sections; it may begin with keys of `[limits]`.
    pub(crate) fn new(upstream: SocketAddr, more: &str) -> Self {
        Self::with_database(upstream, more, None)
    }

    pub(crate) fn with_database(upstream: SocketAddr, more: &str, url: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portcullis.db");
        let url = url.map_or_else(|| format!("sqlite://{}", file.display()), str::to_owned);
        let text = format!(
            r#"
            secret_key = "a-secret-of-at-least-32-characters"
            [server]
            listen = ["127.0.0.1:0"]
            telemetry_listen = "127.0.0.1:0"
            threads = 2
            [database]
            url = "{url}"
            [revocation]
            tick = "50ms"
            [accounts]
            user_create_password_retype = false
            argon2 = {{ memory_kib = 8, iterations = 1, parallelism = 1 }}
            [[upstreams]]
            name = "app"
            servers = ["{upstream}"]
            [[routes]]
            path = "/public/"
            access = "anonymous"
            upstream = "app"
            [[routes]]
            path = "/"
            upstream = "app"
            [limits]
            throttling = false
            {more}
            "#
        );
        let config = folder.path().join("portcullis.toml");
        ledger::used(&text);
        std::fs::write(&config, text).unwrap();
        Self { folder, config }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("portcullis.db")
    }
}

/// `portcullis serve`.
pub(crate) struct Process {
    child: Child,
    log: mpsc::Receiver<Value>,
    pub(crate) telemetry: SocketAddr,
    /// Only known once it serves.
    traffic: Option<SocketAddr>,
}

impl Process {
    /// Starts it, and waits until it serves.
    pub(crate) async fn serve(config: &Path) -> Self {
        let mut process = Self::begin(config).await;
        process.until_serving().await;
        process
    }

    /// Starts it, and waits until it answers probes.
    pub(crate) async fn begin(config: &Path) -> Self {
        Self::begin_within(config, &[]).await
    }

    /// The same, with these variables in its environment.
    pub(crate) async fn begin_within(config: &Path, environment: &[(&str, &str)]) -> Self {
        let mut program = program();
        program.args(["serve", "--config"]).arg(config).envs(environment.iter().copied());
        program.stdout(ledger::voice_of_process("requests"));
        if let Some(path) = ledger::audit_log() {
            program.env("PORTCULLIS__SERVER__AUDIT_LOG", format!("file:{}", path.display()));
        }
        let mut child = program.spawn().expect("it starts");
        let log = read_log(&mut child);
        let telemetry = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut process = Self { child, log, telemetry, traffic: None };
        process.telemetry = process.until_logged("serving probes and metrics").await;
        process
    }

    pub(crate) async fn until_serving(&mut self) {
        self.traffic = Some(self.until_logged("serving traffic").await);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.traffic.expect("it serves")
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Answer {
        exchange(self.address(), ask).await
    }

    pub(crate) async fn post(&self, path: &str, json: Value) -> Answer {
        self.ask(Ask::new(Method::POST, path).json(&json)).await
    }

    pub(crate) async fn passes(&self, token: &str) -> StatusCode {
        self.ask(Ask::new(Method::GET, "/hello").bearer(token)).await.status
    }

    pub(crate) async fn probe(&self, path: &str) -> StatusCode {
        exchange(self.telemetry, Ask::new(Method::GET, path)).await.status
    }

    /// Waits for a line of the log with an address, and takes that.
    async fn until_logged(&mut self, message: &str) -> SocketAddr {
        let line = self.until_line(message).await;
        let told = line["address"].as_str().unwrap();
        // Of traffic the scheme is told as well.
        told.rsplit('/').next().unwrap_or(told).parse().unwrap()
    }

    /// Waits for a line of the log that begins so.
    pub(crate) async fn until_line(&mut self, message: &str) -> Value {
        let found = async {
            loop {
                let line = self.log.recv().await.unwrap_or_else(|| {
                    panic!("ended without a line {message:?}");
                });
                if line["message"].as_str().is_some_and(|text| text.starts_with(message)) {
                    return line;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .unwrap_or_else(|_| panic!("no line {message:?}"))
    }

    /// `TERM` or `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("it ends")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The log, read by a thread so that the process never waits for us. It ends with the process.
fn read_log(child: &mut Child) -> mpsc::Receiver<Value> {
    let (sender, log) = mpsc::channel(1024);
    let errors = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || {
        for line in errors.lines().map_while(Result::ok) {
            ledger::said("log", &line);
            // What nobody waits for is dropped.
            let _ = sender.try_send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
        }
    });
    log
}
