//! What credentials need to know of a user's record, kept in memory for a while.
//!
//! One look-up for each user and replica, however many tokens he has. The log says when a
//! record changed; `cache.token_ttl` bounds how long one is believed without that. Password
//! hashes are not kept. It must not know what a record is needed for.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Settings;
use crate::model::{Timestamp, UserId};
use crate::store::Store;

use super::flight::Flights;
use super::outage::{Away, Outage};
use super::reach::Reach;
use super::revocation::Revocations;
use super::tier::{CachedUser, Found, LookedUp, Source, TokenCache, reach_of};
use super::ties::Stamp;
use super::values::HeaderValues;
use super::weight::{Texts, Weighed, bytes_of, weighed};

/// How long it is believed that a user does not exist: an import may bring him.
const MISSING: Duration = Duration::from_secs(10);

/// A record can be overtaken while it is read, but hardly this often.
pub(super) const ATTEMPTS: usize = 3;

/// What credentials need to know of a user's record.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) stamp: Stamp,
    pub(super) username: String,
    pub(super) is_active: bool,
    pub(super) is_staff: bool,
    pub(super) is_superuser: bool,
    pub(super) groups: Vec<String>,
    pub(super) cut_at: Option<Timestamp>,
    /// The claim `hash_password` of tokens made from now on; only with `check_revoke_token`.
    pub(super) password_mark: Option<String>,
    pub(super) values: HeaderValues,
    /// When it was asked for.
    pub(super) read: Timestamp,
}

/// Which parts of a record are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep {
    pub(super) unverified_email: bool,
    pub(super) password_mark: bool,
}

/// The records in memory, and the way to those that are not.
pub(super) struct Records {
    store: Store,
    clock: Clock,
    revocations: Arc<Revocations>,
    outage: Arc<Outage>,
    cache: Weighed<UserId, Slot>,
    look_ups: Flights<(UserId, Source), LookedUp<Arc<Record>>>,
    shared: Option<Arc<dyn TokenCache>>,
    ttl: Duration,
    pub(super) keep: Keep,
}

#[derive(Clone)]
enum Slot {
    Known(Arc<Record>),
    Missing(Timestamp),
}

impl Texts for Slot {
    fn bytes(&self) -> usize {
        match self {
            Self::Known(record) => record.username.len() + bytes_of(&record.groups),
            Self::Missing(_) => 0,
        }
    }
}

impl Record {
    pub(super) fn of(cached: &CachedUser, keep: Keep) -> Self {
        let user = &cached.user;
        Self {
            stamp: Stamp { user: user.id, generation: user.generation, version: user.version },
            username: user.username.clone(),
            is_active: user.is_active,
            is_staff: user.is_staff,
            is_superuser: user.is_superuser,
            groups: user.groups.clone(),
            cut_at: user.cut_at,
            password_mark: cached.password_mark.clone().filter(|_| keep.password_mark),
            values: HeaderValues::of_user(user, keep.unverified_email),
            read: cached.read,
        }
    }
}

impl Records {
    pub(super) fn new(
        settings: &Settings,
        store: Store,
        clock: Clock,
        revocations: Arc<Revocations>,
        outage: Arc<Outage>,
    ) -> Self {
        Self {
            store,
            clock,
            revocations,
            outage,
            cache: weighed(settings.cache.users),
            look_ups: Flights::new(),
            shared: None,
            ttl: *settings.cache.token_ttl,
            keep: Keep {
                unverified_email: settings.identity_headers.unverified_email,
                password_mark: settings.tokens.jwt.check_revoke_token,
            },
        }
    }

    /// Asks this level before the database.
    pub(super) fn share(&mut self, shared: Arc<dyn TokenCache>) {
        self.shared = Some(shared);
    }

    /// A user's record, if there is such a user. `generation`: one that a token carries; a record
    /// behind it is read again, for the log may not have reached us yet. `source`: whether what is
    /// held in memory or shared will do.
    pub(super) async fn by_id(
        &self,
        id: UserId,
        generation: Option<i64>,
        mut source: Source,
        reach: &mut Reach,
    ) -> Result<Option<Arc<Record>>, Away> {
        let new_enough = |record: &Record| {
            generation.is_none_or(|generation| record.stamp.generation >= generation)
        };
        match self.cache.get(&id).filter(|_| source == Source::Any) {
            Some(Slot::Known(record))
                if self.clock.now().since(record.read) < self.ttl
                    && !self.revocations.outdates(record.stamp)
                    && new_enough(&record) =>
            {
                return Ok(Some(record));
            }
            Some(Slot::Missing(since)) if self.clock.now().since(since) < MISSING.min(self.ttl) => {
                return Ok(None);
            }
            _ => {}
        }
        let mut found = None;
        for _ in 0..=ATTEMPTS {
            // A look-up that we joined may have begun before the change that we know of.
            let look_up = self.look_ups.join((id, source), self.look_up(id, source));
            let found_there = look_up.await;
            reach.extend(reach_of(&found_there));
            let Some(Found { value: record, source: from }) = found_there? else {
                return Ok(None);
            };
            source = Source::Database;
            let outdated = self.revocations.outdates(record.stamp);
            if !outdated && new_enough(&record) {
                return Ok(Some(record));
            }
            found = (!outdated && from == Source::Database).then_some(record);
        }
        // A token ahead of the database is for the caller to judge; a log ahead of the database
        // is nothing to build on.
        found.map(Some).ok_or(Away)
    }

    /// A user's record by his name. Tokens of trusted issuers only, so there is no index of names.
    pub(super) async fn by_name(
        &self,
        name: &str,
        reach: &mut Reach,
    ) -> Result<Option<Arc<Record>>, Away> {
        reach.extend(Reach::Database);
        let read = self.clock.now();
        let user = self.outage.note(Box::pin(self.store.user_by_username(name)).await)?;
        Ok(user.map(|user| self.remember(&CachedUser::of(user, self.keep.password_mark, read))))
    }

    /// Keeps a record that was read on the way to something else.
    pub(super) fn remember(&self, cached: &CachedUser) -> Arc<Record> {
        let record = Arc::new(Record::of(cached, self.keep));
        let newer = |slot: &Slot| match slot {
            Slot::Known(held) => {
                (held.stamp.version, held.read) > (record.stamp.version, record.read)
                    && record.read.since(held.read) < self.ttl
            }
            Slot::Missing(since) => *since > record.read,
        };
        if !self.cache.peek(&cached.user.id).is_some_and(|slot| newer(&slot)) {
            self.cache.insert(cached.user.id, Slot::Known(Arc::clone(&record)));
        }
        record
    }

    async fn look_up(&self, id: UserId, source: Source) -> LookedUp<Arc<Record>> {
        let read = self.clock.now();
        if source == Source::Any
            && let Some(shared) = &self.shared
            && let Some(cached) = shared.user(id, read).await
            && cached.suffices(self.keep.password_mark)
        {
            return Ok(Some(Found { value: self.remember(&cached), source: Source::Any }));
        }
        let Some(user) = self.outage.note(Box::pin(self.store.user(id)).await)? else {
            self.cache.insert(id, Slot::Missing(read));
            return Ok(None);
        };
        let cached = CachedUser::of(user, self.keep.password_mark, read);
        let record = self.remember(&cached);
        if let Some(shared) = &self.shared {
            shared.keep_user(cached);
        }
        Ok(Some(Found { value: record, source: Source::Database }))
    }
}
