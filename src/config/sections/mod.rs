//! One type for each section of the configuration, in the order of the example file.
//!
//! Plain data with the product's defaults: every section can be left out, every key too.
//! It must not know where values come from (`sources`) nor which combinations are faults
//! (`check`).

mod listeners;
mod server;
mod storage;

mod tokens;

mod accounts;

mod routing;

mod upstreams;

mod limits;

mod traces;

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use accounts::{Accounts, Argon2, Registration};
pub use limits::{Limits, UnderscoreHeaders};
pub use listeners::{ListenAddress, Listener, Tls, TlsCertificate, TlsVersion};
pub use routing::{Access, Cors, IdentityHeaders, Mode, Preset, Route, Scheme};
pub use server::{AuditTarget, LogFormat, Mail, Server};
pub use storage::{Cache, Database, Pool, Redis, Revocation};
pub use tokens::{JwtTokens, OpaqueScope, OpaqueTokens, Tokens, TrustedIssuer, TrustedUsers};
pub use traces::{PairError, Traces, UntrustedParent};
pub use upstreams::{Balance, Ejection, HealthCheck, Protocol, Upstream, UpstreamTls};

use super::values::SecretText;

/// Everything that can be set. The values are the effective ones: what `compatibility` and
/// `identity_headers.preset` stand for is already in them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "Portcullis")]
pub struct Settings {
    /// Whose defaults the keys marked (*) have: the product's, or those of djoser and
    /// simplejwt. Keys that are written out win over either.
    pub compatibility: Compatibility,
    /// The root secret, at least 32 bytes. Mail links, opaque tokens, sealed signing keys and
    /// cache entries hang on it. Empty: generated and kept beside the SQLite file; required
    /// with PostgreSQL.
    pub secret_key: SecretText,
    /// Listeners and the life of the process.
    pub server: Server,
    /// Where users and logins are kept.
    pub database: Database,
    /// The cache that replicas share.
    pub redis: Redis,
    /// How logouts and cuts reach other replicas.
    pub revocation: Revocation,
    /// What is kept in process.
    pub cache: Cache,
    /// Outgoing mail.
    pub mail: Mail,
    /// What a login hands out.
    pub tokens: Tokens,
    /// Registration, profiles and passwords: djoser's settings.
    pub accounts: Accounts,
    /// What back ends are told about the user.
    pub identity_headers: IdentityHeaders,
    /// Browsers on other origins.
    pub cors: Cors,
    /// The back ends.
    pub upstreams: Vec<Upstream>,
    /// What may go where. Needs authentication unless a route says otherwise.
    pub routes: Vec<Route>,
    /// Bounds: sizes, times, connections, attempts.
    pub limits: Limits,
    /// Traces, for a collector.
    pub traces: Traces,
}

/// Whose defaults count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compatibility {
    /// The product's.
    #[default]
    Portcullis,
    /// Those of djoser and simplejwt, where they differ.
    Djoser,
}

impl Settings {
    /// Whether `peer` is a proxy whose forwarding headers are believed.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        // A dual-stack listener sees IPv4 peers as ::ffff:a.b.c.d.
        let peer = peer.to_canonical();
        self.server.trusted_proxies.iter().any(|net| net.contains(&peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trusted_proxy_is_known_by_either_form_of_its_address() {
        let mut settings = Settings::default();
        assert!(!settings.trusts("10.0.0.7".parse().unwrap()));

        settings.server.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        assert!(settings.trusts("10.0.0.7".parse().unwrap()));
        assert!(settings.trusts("::ffff:10.0.0.7".parse().unwrap()));
        assert!(!settings.trusts("11.0.0.7".parse().unwrap()));
    }
}
