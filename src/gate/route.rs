//! One route, ready for use.
//!
//! Where it applies is the table's business ([`super::routes`]); here is what it is called,
//! whom it lets through and where it leads.

use std::sync::Arc;
use std::time::Duration;

use super::BuildError;
use super::access::Rule;
use super::changes::{HeaderChanges, Prefix};
use crate::config::{self, Access, Mode, Scheme};

/// A route's stable name for logs and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteLabel {
    /// Methods, host and path as configured: `GET example.org/public/`.
    pub name: String,
    /// Its place in the configuration, from 0.
    pub index: usize,
    /// What it asks for.
    pub access: Access,
    /// Which credentials it takes.
    pub accepts: Accepts,
    /// Whether what is decided is also done.
    pub mode: Mode,
}

/// Which credentials a route takes; others it does not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// Tokens after `Bearer` or `Token`.
    Bearer,
    /// A name with a password or a token after `Basic`.
    Basic,
    /// Either.
    Both,
}

/// A route, ready for use.
#[derive(Debug)]
pub struct Route {
    pub(super) label: RouteLabel,
    pub(super) rule: Rule,
    /// None where it leads nowhere, or only others forward.
    pub(super) upstream: Option<Arc<str>>,
    pub(super) forward_credential: bool,
    /// Not seen by the upstream.
    pub(super) prefix: Option<Prefix>,
    pub(super) request_changes: HeaderChanges,
    pub(super) response_changes: HeaderChanges,
    /// In place of `limits.body_bytes`.
    pub(super) body_bytes: Option<u64>,
    /// In place of `limits.upstream_read_timeout`.
    pub(super) upstream_read_timeout: Option<Duration>,
}

impl Route {
    pub(super) fn new(index: usize, route: &config::Route) -> Result<Self, BuildError> {
        let fault =
            |what: &str| BuildError::Route { origin: route.origin.clone(), what: what.to_owned() };
        let rule = Rule::new(route.access, &route.groups)
            .ok_or_else(|| fault("groups need an identity"))?;
        let accepts = Accepts::of(&route.credentials)
            .ok_or_else(|| fault("the route takes no credentials at all"))?;
        let prefix = match route.strip_prefix.as_str() {
            "" => None,
            text => Some(Prefix::new(text).ok_or_else(|| fault("a prefix that is none"))?),
        };
        let changes = |set: &[String], removed: &[String]| {
            HeaderChanges::new(set, removed).ok_or_else(|| fault("a header that is none"))
        };
        Ok(Self {
            label: RouteLabel {
                name: label(route),
                index,
                access: route.access,
                accepts,
                mode: route.mode,
            },
            rule,
            upstream: route.upstream.as_deref().map(Arc::from),
            forward_credential: route.forward_credential,
            prefix,
            request_changes: changes(&route.set_request_headers, &route.remove_request_headers)?,
            response_changes: changes(&route.set_response_headers, &route.remove_response_headers)?,
            body_bytes: route.body_bytes,
            upstream_read_timeout: route.upstream_read_timeout.map(|time| time.0),
        })
    }

    /// Its stable name.
    #[must_use]
    pub fn label(&self) -> &RouteLabel {
        &self.label
    }
}

impl Accepts {
    /// `None` if it is nothing.
    fn of(schemes: &[Scheme]) -> Option<Self> {
        match (schemes.contains(&Scheme::Bearer), schemes.contains(&Scheme::Basic)) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Bearer),
            (false, true) => Some(Self::Basic),
            (false, false) => None,
        }
    }
}

/// What logs and metrics call a route.
#[must_use]
pub fn label(route: &config::Route) -> String {
    let mut name = route.methods.join(",");
    if !name.is_empty() {
        name.push(' ');
    }
    name.push_str(&route.hosts.join(","));
    name.push_str(&route.path);
    name
}
