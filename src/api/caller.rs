//! What the gateway knows of a request beyond its head and body.
//!
//! Handed in as an extension of the request. It must not hold anything that was only claimed,
//! but for the host, which says so.

use std::net::IpAddr;

/// Who sent a request, and how it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The client's address, as far as trusted proxies vouch for it.
    pub address: Option<IpAddr>,
    /// Names the request in logs.
    pub request_id: String,
    /// `http` or `https`, as the client sees it.
    pub scheme: &'static str,
    /// The header `Host`; only claimed.
    pub host: String,
}

impl Default for Caller {
    fn default() -> Self {
        Self { address: None, request_id: String::new(), scheme: "http", host: String::new() }
    }
}
