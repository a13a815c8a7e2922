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

mod pages;

mod example;

pub use endpoint::Endpoint;
pub use example::example;
pub use fault::{Fault, Faults, Warning};
pub use load::{Loaded, load};
pub use pages::LinkPage;

pub use sections::{
    Access, Accounts, Argon2, AuditTarget, Cache, Compatibility, Cors, Database, IdentityHeaders,
    JwtTokens, Limits, ListenAddress, Listener, LogFormat, Mail, OpaqueScope, OpaqueTokens, Pool,
    Preset, Redis, Registration, Revocation, Route, Scheme, Server, Settings, Tls, TlsCertificate,
    TlsVersion, Tokens, TrustedIssuer, TrustedUsers, UnderscoreHeaders, Upstream,
};
pub use shape::schema;
pub use values::{Lifetime, Period, Rate, SecretText};

#[cfg(test)]
mod tests;
