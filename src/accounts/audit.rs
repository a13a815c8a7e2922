//! What the use cases leave in the audit log, in its lines and in its table.
//!
//! Who asks, and from where, is the same for everything that one request does, so the API says
//! it once, around its handler, and no use case has to hand it on. Work that nobody asked for
//! in that way is told of without. It must not know where lines go.

use std::net::IpAddr;

use crate::identity::Identity;
use crate::model::{Actor, Deed, LogEntry, Person};
use crate::store::Store;

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

impl Accounts {
    /// A deed of whoever asks, done now.
    pub(super) fn deed(&self, action: &'static str) -> Deed {
        let asker = ASKER.try_with(Clone::clone).unwrap_or_default();
        let actor = match asker.user {
            Some((id, name)) => Actor::User(Person { id, name: Some(name) }),
            None => Actor::Anonymous,
        };
        Deed {
            actor,
            client: asker.address.map(text),
            request_id: Some(asker.request_id).filter(|id| !id.is_empty()),
            ..Deed::new(action, self.parts.clock.now())
        }
    }

    /// The same where perhaps nobody was said to ask: a password that the gate had to check.
    pub(super) fn deed_from(&self, action: &'static str, address: Option<IpAddr>) -> Deed {
        let deed = self.deed(action);
        Deed { client: deed.client.or_else(|| address.map(text)), ..deed }
    }

    /// The store, to do this by: whatever it changes by the next call, it writes this down with
    /// it. What was done is then told by [`Self::noted`].
    pub(super) fn noting(&self, deed: &Deed) -> Store {
        self.parts.store.noting(std::slice::from_ref(deed))
    }

    /// Tells of a deed that a transaction wrote down.
    pub(super) fn noted(&self, deed: &Deed) {
        self.parts.audit.write(deed);
    }

    /// Tells of a deed that a transaction wrote down if it changed anything.
    pub(super) fn noted_with(&self, entries: &[LogEntry], deed: Deed) {
        if entries.is_empty() { self.audit(deed) } else { self.noted(&deed) }
    }

    /// Tells of a deed that changed nothing: a refusal, a password that was only checked.
    pub(super) fn audit(&self, deed: Deed) {
        self.noted(&deed);
        self.parts.audit_table.push(deed);
    }
}

/// An address as it is told.
fn text(address: IpAddr) -> String {
    address.to_canonical().to_string()
}
