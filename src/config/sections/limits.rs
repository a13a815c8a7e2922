//! `[limits]`: bounds on attempts, sizes, times and connections.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::forms;
use crate::config::values::{Period, Rate};

/// Bounds, each with a safe default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Limits {
    /// Whether attempts are counted at all. Default true.
    pub throttling: bool,
    /// Failed logins for one account; the delay grows. Default 10/m.
    pub login_per_account: Rate,
    /// Logins from one address (IPv6: one /64). Default 60/m.
    pub login_per_address: Rate,
    /// Registrations from one address. Default 20/h.
    pub registration_per_address: Rate,
    /// Reset mails for one account. Default 5/h.
    pub reset_per_account: Rate,
    /// Networks that no throttle counts. Default: none.
    #[serde(with = "forms::networks")]
    #[schemars(with = "Vec<String>")]
    pub exempt: Vec<IpNet>,
    /// What happens to request headers with `_` in their names. Default `drop`.
    pub underscore_headers: UnderscoreHeaders,
    /// Bytes of a whole request head. Default 32 KiB.
    pub head_bytes: usize,
    /// Header lines of a request. Default 100.
    pub head_count: usize,
    /// How long the whole head may take. Default 10s.
    pub head_timeout: Period,
    /// Bytes of a body on the API. Default 64 KiB.
    pub auth_body_bytes: usize,
    /// How long a request on the API may take, with its body. Default 30s.
    pub auth_timeout: Period,
    /// Bytes of a proxied body; 0: no limit. Default 0.
    pub body_bytes: u64,
    /// How long a client may pause within a body. Default 30s.
    pub body_read_timeout: Period,
    /// How long a client may take no bytes of an answer. Default 30s.
    pub write_timeout: Period,
    /// How long a connection may wait for its next request. Default 30s.
    pub idle_timeout: Period,
    /// How long a web socket may be silent. Default 10m.
    pub websocket_idle_timeout: Period,
    /// Requests on one connection. Default 1,000.
    pub requests_per_connection: u32,
    /// Connections in total. Default 10,000.
    pub connections: usize,
    /// Connections from one address. Default 1,000.
    pub connections_per_address: usize,
    /// How long connecting to an upstream may take. Default 3s.
    pub connect_timeout: Period,
    /// How long an upstream may pause within an answer, and before it. Default 60s.
    pub upstream_read_timeout: Period,
    /// How long an upstream may take no bytes of a request. Default 30s.
    pub upstream_write_timeout: Period,
    /// How long an idle connection to an upstream is kept. Default 60s.
    pub upstream_idle_timeout: Period,
    /// Passwords hashed at the same time; 0: one for each CPU. Default 0.
    pub hashing_threads: usize,
    /// How long a login waits for its turn; then 503. Default 5s.
    pub hashing_wait: Period,
}

impl Default for Limits {
    fn default() -> Self {
        let a_minute = |count| Rate { count, per: *Period::minutes(1) };
        let an_hour = |count| Rate { count, per: *Period::minutes(60) };
        Self {
            throttling: true,
            login_per_account: a_minute(10),
            login_per_address: a_minute(60),
            registration_per_address: an_hour(20),
            reset_per_account: an_hour(5),
            exempt: Vec::new(),
            underscore_headers: UnderscoreHeaders::Drop,
            head_bytes: 32 * 1024,
            head_count: 100,
            head_timeout: Period::seconds(10),
            auth_body_bytes: 64 * 1024,
            auth_timeout: Period::seconds(30),
            body_bytes: 0,
            body_read_timeout: Period::seconds(30),
            write_timeout: Period::seconds(30),
            idle_timeout: Period::seconds(30),
            websocket_idle_timeout: Period::minutes(10),
            requests_per_connection: 1_000,
            connections: 10_000,
            connections_per_address: 1_000,
            connect_timeout: Period::seconds(3),
            upstream_read_timeout: Period::seconds(60),
            upstream_write_timeout: Period::seconds(30),
            upstream_idle_timeout: Period::seconds(60),
            hashing_threads: 0,
            hashing_wait: Period::seconds(5),
        }
    }
}

/// What happens to request headers with `_` in their names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnderscoreHeaders {
    /// They are dropped: many servers cannot tell `_` from `-`.
    #[default]
    Drop,
    /// They pass.
    Allow,
}
