//! `[database]`, `[redis]`, `[revocation]`, `[cache]`: where things are kept and for how long.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::forms;
use crate::config::values::{Period, SecretText};

/// Where users and logins are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Database {
    /// `sqlite://FILE` or `postgres://user:password@host/name`. Default
    /// `sqlite://portcullis.db`, in the current folder.
    pub url: SecretText,
    /// PostgreSQL past a `PgBouncer`, for migrations and `LISTEN`; empty: as `url`.
    pub direct_url: SecretText,
    /// What `url` leads to. Default `session`.
    pub pool: Pool,
    /// Whether `serve` and `user` apply migrations. Default true.
    pub migrate: bool,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: "sqlite://portcullis.db".into(),
            direct_url: SecretText::default(),
            pool: Pool::Session,
            migrate: true,
        }
    }
}

impl Database {
    /// The file of a SQLite database.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        let path = self.url.expose().strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path).split('?').next()?;
        (!path.is_empty() && path != ":memory:").then(|| path.into())
    }
}

/// What the database's address leads to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// The database itself, or a pooler that keeps sessions.
    #[default]
    Session,
    /// A `PgBouncer` in transaction mode.
    Transaction,
}

/// The cache that replicas share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Redis {
    /// `redis://`, `rediss://`, `redis+unix://`, `redis+sentinel://` or `redis+cluster://`;
    /// empty: none.
    pub url: SecretText,
    /// PEM file with the certificates that sign the server's, in the place of the system's;
    /// only with TLS (`rediss://`). Empty: none.
    #[serde(with = "forms::path_or_none")]
    #[schemars(with = "String")]
    pub ca_file: Option<PathBuf>,
    /// How long one call may take. Default 50ms.
    pub timeout: Period,
}

impl Default for Redis {
    fn default() -> Self {
        Self { url: SecretText::default(), ca_file: None, timeout: Period::millis(50) }
    }
}

/// How logouts and cuts reach other replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Revocation {
    /// How often the log is read where no hint came. Default 1s.
    pub tick: Period,
    /// How long a replica that cannot read the log believes what it knows; then it answers
    /// 503. Default 60s.
    pub max_staleness: Period,
}

impl Default for Revocation {
    fn default() -> Self {
        Self { tick: Period::seconds(1), max_staleness: Period::seconds(60) }
    }
}

/// What is kept in process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Cache {
    /// How many verified tokens. Default 100,000.
    pub tokens: usize,
    /// How many user records. Default 100,000.
    pub users: usize,
    /// After how long opaque tokens and user records are confirmed again. Default 60s.
    pub token_ttl: Period,
}

impl Default for Cache {
    fn default() -> Self {
        Self { tokens: 100_000, users: 100_000, token_ttl: Period::seconds(60) }
    }
}
