//! Typed settings: what an operator may write, checked as a whole before anything starts.
//!
//! The only module that reads configuration files and the environment. It must not know
//! what the settings do; every other module may read its plain data.

mod load;

mod sections;
mod values;

mod forms;

mod sources;

mod tree;

mod refused;

mod secrets;

mod shape;

mod fit;

mod words;

mod defaults;

mod read;

mod check;

mod planned;

mod fault;

mod endpoint;

mod header_line;

mod pages;

mod example;

pub use endpoint::{Endpoint, ServerAddress};
pub use example::example;
pub use fault::{Fault, Faults, Warning};
pub use header_line::HeaderLine;
pub use load::{Loaded, load};
pub use pages::LinkPage;

pub use sections::{
    Access, Accounts, Argon2, AuditTarget, Balance, Cache, Compatibility, Cors, Database, Ejection,
    HealthCheck, IdentityHeaders, JwtTokens, Limits, ListenAddress, Listener, LogFormat, Mail,
    Mode, OpaqueScope, OpaqueTokens, PairError, Pool, Preset, Protocol, Redis, Registration,
    Revocation, Route, Scheme, Server, Settings, Tls, TlsCertificate, TlsVersion, Tokens, Traces,
    TrustedIssuer, TrustedUsers, UnderscoreHeaders, UntrustedParent, Upstream, UpstreamTls,
};
pub use shape::schema;
pub use values::{Lifetime, Period, Rate, SecretText};

#[cfg(test)]
mod tests;
