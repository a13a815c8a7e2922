//! `[[upstreams]]`: the back ends, and how their servers are used.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::values::Period;

/// A back end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["name", "servers"]))]
pub struct Upstream {
    /// What routes call it.
    pub name: String,
    /// Its servers: `host:port`, `http://host[:port]`, `https://host[:port]` or `unix:/path`, each
    /// with ` weight=N` (1 to 100) behind it if they do not all get the same share.
    pub servers: Vec<String>,
    /// Which server is next. Default `round-robin`.
    pub balance: Balance,
    /// What is spoken to the servers. Default `http1`.
    pub protocol: Protocol,
    /// Whether servers see the client's `Host`; otherwise the name in `servers`. Default true.
    pub preserve_host: bool,
    /// Requests under way at a time, in each replica; one more is 503. 0: no limit. Default 0.
    pub max_requests: usize,
    /// How many other servers a request may be sent to after the first one failed. Requests that
    /// may have been acted upon are sent again only if their method is idempotent. Default 2.
    pub retries: u32,
    /// When a server that fails is left out for a while.
    pub ejection: Ejection,
    /// Asking the servers how they are. Without it, only their answers to requests count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// TLS to `https://` servers.
    pub tls: UpstreamTls,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            name: String::new(),
            servers: Vec::new(),
            balance: Balance::default(),
            protocol: Protocol::default(),
            preserve_host: true,
            max_requests: 0,
            retries: 2,
            ejection: Ejection::default(),
            health_check: None,
            tls: UpstreamTls::default(),
        }
    }
}

/// Which server is next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest requests under way, for its weight.
    LeastConnections,
    /// Always the same for a user; for a client's address where nobody is known.
    HashUser,
    /// Always the same for a client's address.
    HashAddress,
}

/// What is spoken to servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, also without TLS (prior knowledge): what gRPC servers speak.
    Http2,
    /// What the server prefers, by ALPN; needs TLS.
    Negotiate,
}

/// When a server that fails is left out for a while. Where all are, all are used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Ejection {
    /// After so many requests in a row that got no answer; 0: never. Default 3.
    pub failures: u32,
    /// For how long at first; doubled each time it fails again. Default 5s.
    pub time: Period,
    /// For how long at most. Default 1m.
    pub longest: Period,
}

impl Default for Ejection {
    fn default() -> Self {
        Self { failures: 3, time: Period::seconds(5), longest: Period::minutes(1) }
    }
}

/// Asking the servers how they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["path"]))]
pub struct HealthCheck {
    /// What is asked for, with GET; any answer from 200 to 399 is good.
    pub path: String,
    /// `Host` of the question; empty: the name in `servers`.
    pub host: String,
    /// How often. Default 5s.
    pub interval: Period,
    /// How long the answer may take. Default 2s.
    pub timeout: Period,
    /// Bad answers in a row after which a server gets no more requests. Default 2.
    pub failures: u32,
    /// Good answers in a row after which it gets some again. Default 2.
    pub successes: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            path: String::new(),
            host: String::new(),
            interval: Period::seconds(5),
            timeout: Period::seconds(2),
            failures: 2,
            successes: 2,
        }
    }
}

/// TLS to servers. Certificates are always checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct UpstreamTls {
    /// The name that certificates must carry, and that is asked for (SNI). Empty: the host in
    /// `servers`; with an address there it must be written.
    pub server_name: String,
    /// PEM file with the authorities to trust; none: those of the system.
    pub ca: PathBuf,
    /// PEM file with the certificate chain that is shown to servers; none: none is.
    pub certificate: PathBuf,
    /// PEM file with its private key.
    pub private_key: PathBuf,
}

impl UpstreamTls {
    /// Whether anything is written here.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
