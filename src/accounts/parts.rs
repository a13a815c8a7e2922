//! What the use cases are made of, and what several of them share.
//!
//! It must not know any single use case.

use std::sync::Arc;

use crate::clock::Clock;
use crate::cluster::Announcer;
use crate::config::Settings;
use crate::identity::{Authenticator, JwtIssuer, Links, OpaqueTokens};
use crate::mail::Bell;
use crate::model::{LogEntry, UserId};
use crate::store::{Field, NameRules, Store};
use crate::telemetry::AuditLog;

use super::Trouble;
use super::audit_table::AuditTable;
use super::passwords::Passwords;
use super::throttle::Throttle;

/// What the use cases are made of.
pub struct AccountsParts {
    /// One snapshot of the settings.
    pub settings: Arc<Settings>,
    /// Where the truth is kept.
    pub store: Store,
    /// Proves credentials; here for refresh tokens and to forget what was logged out.
    pub authenticator: Arc<Authenticator>,
    /// Signs JWTs.
    pub issuer: Arc<JwtIssuer>,
    /// Makes opaque tokens.
    pub opaque: Arc<OpaqueTokens>,
    /// Checks the tokens of mailed links.
    pub links: Links,
    /// Hashes and verifies passwords in a bounded pool.
    pub passwords: Passwords,
    /// Counts attempts.
    pub throttle: Throttle,
    /// Wakes the outbox loop.
    pub bell: Bell,
    /// Applies what ended here, and tells the other replicas.
    pub announcer: Announcer,
    /// Tells who did what.
    pub audit: AuditLog,
    /// Keeps it, where no transaction does.
    pub audit_table: AuditTable,
    /// The time.
    pub clock: Clock,
}

/// The use cases.
pub struct Accounts {
    pub(super) parts: AccountsParts,
}

impl Accounts {
    /// Joins the parts.
    #[must_use]
    pub fn new(parts: AccountsParts) -> Self {
        Self { parts }
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.parts.settings
    }

    /// The public keys that our JWTs can be checked with (RFC 7517).
    #[must_use]
    pub fn key_set(&self) -> Arc<str> {
        self.parts.issuer.key_set()
    }

    /// Which of these another account holds already. Only a courtesy, so that a form learns of
    /// everything at once: the store decides when it writes. `of` names the account whose own
    /// name and address do not count; which names of the past it may take back, only the store
    /// can tell.
    ///
    /// # Errors
    /// The store could not be asked.
    pub async fn taken(
        &self,
        username: Option<&str>,
        email: Option<&str>,
        of: Option<UserId>,
    ) -> Result<Vec<Field>, Trouble> {
        let store = &self.parts.store;
        let rules = self.name_rules();
        let mut taken = Vec::new();
        if let Some(name) = username {
            let is_taken = match of {
                None => store.username_taken(name, rules).await?,
                Some(id) => store.user_by_username(name).await?.is_some_and(|user| user.id != id),
            };
            taken.extend(is_taken.then_some(Field::Username));
        }
        if let Some(address) = email.filter(|address| rules.unique_email && !address.is_empty()) {
            let is_taken = store.email_taken(address, of).await?;
            taken.extend(is_taken.then_some(Field::Email));
        }
        Ok(taken)
    }

    pub(super) fn name_rules(&self) -> NameRules {
        let accounts = &self.parts.settings.accounts;
        NameRules { unique_email: accounts.unique_email, reuse_usernames: accounts.reuse_usernames }
    }

    /// Makes what a transaction ended end here and everywhere. The transaction has committed:
    /// this can neither fail nor be skipped.
    pub(super) fn announce(&self, entries: &[LogEntry]) {
        if !entries.is_empty() {
            self.parts.announcer.announce(entries);
        }
    }
}
