//! The gateway as clients and applications see it, byte for byte.
//!
//! Each test has a gateway of its own ([`Gateway::before`]), with a database of its own, in
//! front of a scripted [`App`]. `/api` wants a user, `/public` does not, `/deny` is for nobody.

use std::net::SocketAddr;

use portcullis::{app, config};
use tempfile::TempDir;

use crate::ledger;
use crate::raw::{App, Client};

mod bodies;
mod changes;
mod edge;
mod failures;
mod headers;
mod http2;
mod listeners;
mod stop;
mod targets;
mod tls;
mod upgrades;
mod upstream_tls;
mod upstreams;
mod watch;
mod ways;
mod ways_h2;

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) running: app::Running,
    _folder: TempDir,
}

impl Gateway {
    /// In front of one application.
    pub(crate) async fn before(app: &App) -> Self {
        Self::with(&[app.address.to_string()], "").await
    }

    /// In front of these servers; `more` is a second file, whose values win.
    pub(crate) async fn with(servers: &[String], more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("portcullis.db");
        let text = format!(
            r#"
            [server]
            listen = ["127.0.0.1:0"]
            telemetry_listen = "127.0.0.1:0"
            [database]
            url = "sqlite://{}"
            [[upstreams]]
            name = "app"
            servers = {servers:?}
            [[routes]]
            path = "/public/"
            access = "anonymous"
            upstream = "app"
            [[routes]]
            path = "/api/"
            access = "authenticated"
            upstream = "app"
            [[routes]]
            path = "/deny/"
            access = "deny"
            "#,
            database.display()
        );
        let file = folder.path().join("portcullis.toml");
        std::fs::write(&file, text).unwrap();
        let second = folder.path().join("more.toml");
        std::fs::write(&second, more).unwrap();
        let settings = config::load(&[file, second], Vec::new()).unwrap().settings;
        let running = app::start(settings).await.unwrap();
        Self { running, _folder: folder }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// Registers `ada` and gives her access token.
    pub(crate) async fn token(&self) -> String {
        const PASSWORD: &str = "Lantern-Orbit-7-Quill";
        let mut client = self.client().await;
        let user = serde_json::json!({
            "username": "ada", "email": "ada@example.com",
            "password": PASSWORD, "re_password": PASSWORD,
        });
        ledger::used(user.to_string());
        let answer = client.ask(post("/auth/users/", &user.to_string())).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let login = serde_json::json!({ "username": "ada", "password": PASSWORD });
        let answer = client.ask(post("/auth/jwt/create/", &login.to_string())).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        ledger::used(&answer.body);
        answer.json()["access"].as_str().unwrap().to_owned()
    }
}

/// A GET with these header lines, each ended by CRLF.
pub(crate) fn get(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: gate.example\r\n{lines}\r\n")
}

pub(crate) fn post(target: &str, json: &str) -> String {
    let length = json.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: gate.example\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{json}"
    )
}
