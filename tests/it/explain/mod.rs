//! `portcullis explain`, as an operator runs it: the real program beside a gateway that serves.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use portcullis::config::{self, Settings};
use serde_json::Value;

use crate::subject::Subject;

mod credentials;
mod logged;
mod refusals;
mod untouched;

/// The routes of all these tests.
const ROUTES: &str = r#"
[[upstreams]]
name = "app"
servers = ["127.0.0.1:3000", "127.0.0.1:3001"]

[[routes]]
path = "/orders/"
credentials = ["bearer", "basic"]
upstream = "app"
set_request_headers = ["X-Environment: production"]
remove_request_headers = ["X-Debug"]

[[routes]]
path = "/orders/all/"
methods = ["GET"]
access = "staff"
upstream = "app"

[[routes]]
path = "/managers/"
groups = ["managers"]
upstream = "app"

[[routes]]
path = "/tokens/"
upstream = "app"

[[routes]]
path = "/shop/"
host = "shop.example"
access = "anonymous"
upstream = "app"

[[routes]]
path = "/new/"
access = "superuser"
mode = "observe"
upstream = "app"

[[routes]]
path = "/never/"
access = "deny"
"#;

/// A gateway with a configuration in a file, and what is said beside it.
pub(crate) struct Desk {
    pub(crate) subject: Subject,
    config: PathBuf,
}

/// What the program wrote, and its exit code.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Told {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The first line.
    pub(crate) fn summary(&self) -> &str {
        self.out.lines().next().unwrap_or_default()
    }

    /// What stands behind a subject, with the lines that go on with it.
    pub(crate) fn line(&self, subject: &str) -> Vec<&str> {
        let mut lines = self.out.lines().skip_while(|line| !line.starts_with(subject));
        let first = lines.next().map(|line| line[subject.len()..].trim());
        first.into_iter().chain(lines.map_while(|line| line.strip_prefix("            "))).collect()
    }
}

impl Desk {
    pub(crate) async fn open() -> Self {
        Self::with("[identity_headers]\nassertion = \"X-Portcullis-Assertion\"", |_| {}).await
    }

    /// Where the route with this path begins.
    pub(crate) fn at(&self, path: &str) -> String {
        let text = std::fs::read_to_string(&self.config).unwrap();
        let is_its = |line: &str| line == format!("path = {path:?}");
        // Counted from 1, and the table's name stands a line above.
        let line = text.lines().position(is_its).unwrap();
        format!("{}:{line}:1", self.config.display())
    }

    /// `more` stands in the file before the routes.
    pub(crate) async fn with(more: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let mut config = PathBuf::new();
        let subject = Subject::with(|settings| {
            let database = settings.database.url.expose().to_owned();
            config = Path::new(database.strip_prefix("sqlite://").unwrap())
                .with_file_name("portcullis.toml");
            let head = format!("[database]\nurl = {database:?}\n{more}\n");
            std::fs::write(&config, format!("{head}{ROUTES}")).unwrap();
            let loaded = config::load(std::slice::from_ref(&config), Vec::new()).unwrap().settings;
            let server = settings.server.clone();
            let argon2 = settings.accounts.argon2;
            *settings = loaded;
            settings.server = server;
            settings.accounts.argon2 = argon2;
            change(settings);
        })
        .await;
        Self { subject, config }
    }

    /// Runs `portcullis explain` with this on its standard input.
    pub(crate) async fn explain(&self, arguments: &[&str], input: &str) -> Told {
        run(&self.config, arguments, input).await
    }

    /// The same for a path with a token.
    pub(crate) async fn with_token(&self, path: &str, token: &str) -> Told {
        self.explain(&["--token-stdin", path], &format!("{token}\n")).await
    }
}

/// Runs `portcullis explain` with a configuration.
pub(crate) async fn run(config: &Path, arguments: &[&str], input: &str) -> Told {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.arg("explain").arg("--config").arg(config).args(arguments);
    command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let running = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // It may not want to hear it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    });
    let output = running.await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    Told { code, out: text(output.stdout), errors: text(output.stderr) }
}
