//! What is worth knowing of one finished request.
//!
//! Filled at the end of each request, read by the metrics and by the request log. It must
//! not own anything: a request that is neither counted nor logged costs nothing here.

use std::time::Duration;

use super::traces::SpanName;
use crate::model::Timestamp;

/// One finished request.
#[derive(Debug, Clone, Copy)]
pub struct RequestRecord<'a> {
    /// When it came in.
    pub at: Timestamp,
    /// The method as it was sent.
    pub method: &'a str,
    /// The path without its query; whatever follows a `?` is left out of the log.
    pub path: &'a str,
    /// The status that was answered; 0 if the client went away before.
    pub status: u16,
    /// From the first byte of the head to the last of the answer.
    pub duration: Duration,
    /// The connection's peer.
    pub peer: Option<&'a str>,
    /// The client, as far as proxies are trusted.
    pub client: Option<&'a str>,
    /// The request's id.
    pub request_id: &'a str,
    /// The route's label, or one of a few names for what we answer ourselves.
    pub route: Option<&'a str>,
    /// What was decided.
    pub decision: Decision,
    /// Why, in one word of a closed list.
    pub reason: &'static str,
    /// Whether its route only observes: then it passed, whatever was decided.
    pub is_observed: bool,
    /// What kind of credential was looked at: `jwt`, `opaque`, `basic` or `none`.
    pub credential: &'static str,
    /// What it took to know whose it is; `None` where no credential was looked at.
    pub check: Option<Check>,
    /// The user's number, or `issuer:sub`.
    pub user_id: Option<&'a str>,
    /// The user's name.
    pub user_name: Option<&'a str>,
    /// How another proxy asked about the request, which it holds: `forward-auth`, `auth-request`
    /// or `ext-authz`.
    pub asked_by: Option<&'static str>,
    /// The upstream that answered.
    pub upstream: Option<&'a str>,
    /// Its span, where it has one.
    pub span: Option<SpanName>,
}

impl RequestRecord<'_> {
    /// `enforce` or `observe`.
    #[must_use]
    pub const fn mode(&self) -> &'static str {
        if self.is_observed { "observe" } else { "enforce" }
    }
}

/// What the forms `ecs` and `combined` tell of a request beyond its record.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestHead<'a> {
    /// The version of HTTP: `1.1`, `2`.
    pub version: Option<&'a str>,
    /// The host that was asked for, perhaps with a port.
    pub host: Option<&'a str>,
    /// Where the client says that it comes from; whatever follows a `?` is left out of the log.
    pub referrer: Option<&'a str>,
    /// What the client says that it is.
    pub user_agent: Option<&'a str>,
    /// Bytes of the answer's body.
    pub bytes: Option<u64>,
}

/// What it took to know who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// The farthest place that was asked.
    pub tier: Tier,
    /// How long it took.
    pub took: Duration,
}

/// Where it was found out who asks: `l1`, `jwks`, `redis` or `db`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// In memory.
    Memory,
    /// By a signature that was not seen before, and memory.
    Keys,
    /// In Redis.
    Shared,
    /// In the database.
    Database,
}

impl Tier {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Keys, Self::Shared, Self::Database];

    /// Its word in labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "l1",
            Self::Keys => "jwks",
            Self::Shared => "redis",
            Self::Database => "db",
        }
    }
}

/// What became of a request at the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It went to the upstream.
    Allow,
    /// It was refused.
    Deny,
    /// It could not be decided: our own trouble.
    Error,
    /// We answered it ourselves; nothing was decided.
    Local,
}

impl Decision {
    /// `allow`, `deny`, `error` or `local`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Error => "error",
            Self::Local => "local",
        }
    }
}

#[cfg(test)]
pub(super) fn sample_head() -> RequestHead<'static> {
    RequestHead {
        version: Some("1.1"),
        host: Some("app.example:8443"),
        referrer: Some("https://app.example/from?token=secret"),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64)"),
        bytes: Some(2048),
    }
}

#[cfg(test)]
pub(super) fn sample() -> RequestRecord<'static> {
    RequestRecord {
        at: Timestamp::from_micros(1_700_000_000_000_042),
        method: "GET",
        path: "/app/x",
        status: 200,
        duration: Duration::from_micros(1_500),
        peer: Some("192.0.2.1"),
        client: Some("203.0.113.9"),
        request_id: "00ff",
        route: Some("/app"),
        decision: Decision::Allow,
        reason: "authenticated",
        is_observed: false,
        credential: "jwt",
        check: Some(Check { tier: Tier::Memory, took: Duration::from_micros(2) }),
        user_id: Some("7"),
        user_name: Some("ada"),
        asked_by: None,
        upstream: Some("app"),
        span: None,
    }
}
