//! `[server]` and `[mail]`: how the process meets the world.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Listener, Tls};
use crate::config::forms;
use crate::config::values::{Lifetime, Period, SecretText};

/// Listeners and the life of the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Server {
    /// Addresses for traffic and the API. Default `127.0.0.1:8000`.
    #[serde(with = "forms::addresses")]
    #[schemars(with = "Vec<String>")]
    pub listen: Vec<SocketAddr>,
    /// Address of `/livez`, `/readyz`, `/startupz` and `/metrics`; empty: none. Default
    /// `127.0.0.1:9464`.
    #[serde(with = "forms::address_or_none")]
    #[schemars(with = "String")]
    pub telemetry_listen: Option<SocketAddr>,
    /// Worker threads; 0: one for each CPU that the process may use.
    pub threads: usize,
    /// Networks of proxies whose `X-Forwarded-*` headers are believed. Default: none.
    #[serde(with = "forms::networks")]
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
    /// Hosts that mailed links may follow; empty: the listen addresses and localhost.
    pub allowed_hosts: Vec<String>,
    /// Where the API is served. Default `/auth`.
    pub auth_prefix: String,
    /// Whether the API is described below it, at `schema/` and `docs/`. Default true.
    pub api_description: bool,
    /// Where the gateway's own end points are served. Default `/_portcullis`.
    pub reserved_prefix: String,
    /// How long to keep serving, not ready, before the listeners close. Default 0s.
    pub shutdown_delay: Period,
    /// How long requests in flight may take to end after that. Default 30s.
    pub drain_timeout: Period,
    /// How the request log is written: `json`, `ecs` or `combined`.
    pub log_format: LogFormat,
    /// Where it is written who did what to whom: `stderr`, `file:/path`; empty: nowhere.
    pub audit_log: AuditTarget,
    /// Whether the database keeps it as well. Default false.
    pub audit_table: bool,
    /// How long the database keeps it; `never`: without end. Default 90d.
    pub audit_retention: Lifetime,
    /// Certificates of the traffic listeners; none: plain HTTP.
    pub tls: Option<Tls>,
    /// Listeners beside `listen`, each with settings of its own.
    pub listeners: Vec<Listener>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8000))],
            telemetry_listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9464))),
            threads: 0,
            trusted_proxies: Vec::new(),
            allowed_hosts: Vec::new(),
            auth_prefix: "/auth".to_owned(),
            api_description: true,
            reserved_prefix: "/_portcullis".to_owned(),
            shutdown_delay: Period::seconds(0),
            drain_timeout: Period::seconds(30),
            log_format: LogFormat::Json,
            audit_log: AuditTarget::Nowhere,
            audit_table: false,
            audit_retention: Lifetime::For(*Period::days(90)),
            tls: None,
            listeners: Vec::new(),
        }
    }
}

/// The form of a request's line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A flat JSON object.
    #[default]
    Json,
    /// A nested JSON object, a document of the Elastic Common Schema.
    Ecs,
    /// The line that Apache and nginx call combined.
    Combined,
}

/// Where the audit log is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum AuditTarget {
    /// Nowhere.
    #[default]
    Nowhere,
    /// `stderr`, beside our own log.
    Stderr,
    /// `file:/path`.
    File(PathBuf),
}

impl TryFrom<String> for AuditTarget {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match (text.as_str(), text.strip_prefix("file:")) {
            ("", _) => Ok(Self::Nowhere),
            ("stderr", _) => Ok(Self::Stderr),
            (_, Some(path)) if path.starts_with('/') && !path.ends_with('/') => {
                Ok(Self::File(path.into()))
            }
            _ => Err(format!(
                "`{text}` is no place for the audit log; write stderr, file:/path, or leave it empty"
            )),
        }
    }
}

impl From<AuditTarget> for String {
    fn from(target: AuditTarget) -> Self {
        match target {
            AuditTarget::Nowhere => Self::new(),
            AuditTarget::Stderr => "stderr".to_owned(),
            AuditTarget::File(path) => format!("file:{}", path.display()),
        }
    }
}

/// Outgoing mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Mail {
    /// `log:`, `file:DIR`, `smtp://user:password@host:port` or `smtps://…`. Default `log:`.
    pub url: SecretText,
    /// Sender, as `Name <address>`. Default `Portcullis <noreply@localhost>`.
    pub from: String,
    /// Folder with templates that replace the built-in ones; empty: none.
    #[serde(with = "forms::path_or_none")]
    #[schemars(with = "String")]
    pub templates: Option<PathBuf>,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            url: "log:".into(),
            from: "Portcullis <noreply@localhost>".to_owned(),
            templates: None,
        }
    }
}
