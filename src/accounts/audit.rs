//! What the use cases leave in the audit log.
//!
//! Who asks, and from where, is the same for everything that one request does, so the API says
//! it once, around its handler, and no use case has to hand it on. Work that nobody asked for
//! in that way is told of without. It must not know where lines go.

use std::net::IpAddr;

use crate::identity::Identity;
use crate::model::{User, UserId};
use crate::telemetry::{Actor, AuditRecord, Person};

use super::Accounts;

tokio::task_local! {
    static ASKER: Asker;
}

/// Who asks for what is done within [`Asker::asks`].
#[derive(Debug, Clone, Default)]
pub struct Asker {
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The request's id.
    pub request_id: String,
    /// The number, or `issuer:sub`, and the name of who was proved.
    pub user: Option<(String, String)>,
}

impl Asker {
    /// By the identity, if there is one.
    #[must_use]
    pub fn new(address: Option<IpAddr>, request_id: &str, identity: Option<&Identity>) -> Self {
        let user = identity.map(|identity| {
            let id = identity.values.user_id.to_str().unwrap_or_default();
            (id.to_owned(), identity.username.clone())
        });
        Self { address, request_id: request_id.to_owned(), user }
    }

    /// Does the work at this one's request.
    pub async fn asks<F: Future>(self, work: F) -> F::Output {
        ASKER.scope(self, work).await
    }
}

/// What was done, before it is known who asked.
#[derive(Debug, Clone)]
pub(super) struct Deed<'a> {
    action: &'static str,
    failure: Option<&'static str>,
    means: Option<&'static str>,
    target: Option<(UserId, Option<&'a str>)>,
    address: Option<IpAddr>,
}

impl<'a> Deed<'a> {
    pub(super) const fn new(action: &'static str) -> Self {
        Self { action, failure: None, means: None, target: None, address: None }
    }

    pub(super) const fn failed(mut self, reason: &'static str) -> Self {
        self.failure = Some(reason);
        self
    }

    pub(super) const fn by(mut self, means: &'static str) -> Self {
        self.means = Some(means);
        self
    }

    pub(super) fn to(mut self, user: Option<&'a User>) -> Self {
        self.target = user.map(|user| (user.id, Some(user.username.as_str())));
        self
    }

    /// To an account of which only the number is at hand.
    pub(super) const fn about(mut self, user: UserId) -> Self {
        self.target = Some((user, None));
        self
    }

    /// Where nobody was said to ask: a password that the gate had to check.
    pub(super) const fn from(mut self, address: Option<IpAddr>) -> Self {
        self.address = address;
        self
    }
}

impl Accounts {
    /// Writes a deed into the audit log.
    pub(super) fn audit(&self, deed: &Deed<'_>) {
        let asker = ASKER.try_with(Clone::clone).unwrap_or_default();
        let (id, name) = deed.target.map(|(id, name)| (id.to_string(), name)).unzip();
        let target = id.as_deref().map(|id| Person { id, name: name.flatten() });
        let proved = asker.user.as_ref().map(|(id, name)| Person { id, name: Some(name) });
        // Whoever logs in is not known yet but by the name; that is also who is done to.
        let is_login = deed.action == "identity.login";
        let (actor, target) = if is_login { (target, None) } else { (proved, target) };
        let client = asker.address.or(deed.address).map(|ip| ip.to_canonical().to_string());
        self.parts.audit.write(&AuditRecord {
            at: self.parts.clock.now(),
            action: deed.action,
            failure: deed.failure,
            means: deed.means,
            actor: actor.map_or(Actor::Anonymous, Actor::User),
            target,
            key: None,
            client: client.as_deref(),
            request_id: Some(asker.request_id.as_str()).filter(|id| !id.is_empty()),
        });
    }

    /// The same about the asker's own account.
    pub(super) fn audit_own(&self, action: &'static str) {
        self.audit(&Deed::new(action));
    }
}
