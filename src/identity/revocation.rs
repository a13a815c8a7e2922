//! What has ended, in memory; fed from the numbered log.
//!
//! Every entry that changes anything raises the epoch. Whatever was checked remembers the
//! epoch of its check: as long as nothing new has ended, a check is one atomic load however
//! much ended before. It must not know who reads the log, nor what hangs on an end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::model::{Change, CutReason, LogEntry, LoginId, Timestamp, UserId};

use super::ties::{Stamp, Ties};

/// What has ended, in memory; fed from the numbered log.
pub struct Revocations {
    // One lock will do: readers take it only for what they have not checked since the last
    // change, and never across an await.
    ended: RwLock<Ended>,
    epoch: AtomicU64,
    /// Microseconds; the time as of which the log was read to its end.
    synced: AtomicI64,
    max_staleness: Duration,
}

#[derive(Default)]
struct Ended {
    logins: HashMap<LoginId, Timestamp>,
    tokens: HashMap<String, Timestamp>,
    cuts: HashMap<UserId, Cut>,
    /// Not ends: the newest version of records that changed.
    versions: HashMap<UserId, (i64, Timestamp)>,
}

#[derive(Clone, Copy)]
struct Cut {
    generation: i64,
    reason: CutReason,
    at: Timestamp,
}

/// What a review of a credential found against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// Its login or the token itself ended.
    Ended,
    /// Its user was cut off after it was issued.
    Cut(CutReason),
    /// It may still be good, but the record it was checked against is not the newest.
    Outdated,
}

impl Revocations {
    /// Empty and not fresh: nothing can be vouched for before the log was read once.
    /// `max_staleness` is `revocation.max_staleness`.
    #[must_use]
    pub fn new(max_staleness: Duration) -> Self {
        Self {
            ended: RwLock::default(),
            epoch: AtomicU64::new(0),
            synced: AtomicI64::new(i64::MIN),
            max_staleness,
        }
    }

    /// Applies one entry. Idempotent; visible to every later request when it returns. The order
    /// of entries does not matter: the highest generation and version win. Whether it was news.
    pub fn apply(&self, entry: &LogEntry) -> bool {
        let news = self.ended.write().add(entry);
        // Raised after the change is visible: whoever has read the new epoch finds the change.
        if news {
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
        news
    }

    /// The log was read to its end as of `at`.
    pub fn synced(&self, at: Timestamp) {
        self.synced.store(at.micros(), Ordering::SeqCst);
    }

    /// Whether the log was read recently enough (`revocation.max_staleness`) to vouch for anything.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.synced_at().is_some_and(|synced| {
            // The second half: a clock that was put back must not vouch for hours to come.
            now.since(synced) <= self.max_staleness && synced.since(now) <= self.max_staleness
        })
    }

    /// The time as of which the log was read to its end; none before the first time.
    #[must_use]
    pub fn synced_at(&self) -> Option<Timestamp> {
        let synced = self.synced.load(Ordering::Relaxed);
        (synced != i64::MIN).then_some(Timestamp::from_micros(synced))
    }

    /// Raised by every applied entry that changed anything.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Forgets what happened before `before`: nothing cached or signed outlives it.
    pub fn prune(&self, before: Timestamp) {
        let mut ended = self.ended.write();
        ended.logins.retain(|_, at| *at >= before);
        ended.tokens.retain(|_, at| *at >= before);
        ended.cuts.retain(|_, cut| cut.at >= before);
        ended.versions.retain(|_, (_, at)| *at >= before);
    }

    /// How many ends and changes are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        let ended = self.ended.read();
        ended.logins.len() + ended.tokens.len() + ended.cuts.len() + ended.versions.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What speaks against a credential. `stamp`: the record it was checked against.
    pub(super) fn review(&self, ties: &Ties, stamp: Option<Stamp>) -> Option<Finding> {
        let ended = self.ended.read();
        if ties.login.is_some_and(|login| ended.logins.contains_key(&login))
            || ties.jti.as_ref().is_some_and(|jti| ended.tokens.contains_key(jti))
        {
            return Some(Finding::Ended);
        }
        if let Some(cut) = ties.user.and_then(|user| ended.cuts.get(&user))
            && ties.issued.is_ended_by(cut.generation, Some(cut.at))
        {
            return Some(Finding::Cut(cut.reason));
        }
        stamp.is_some_and(|stamp| ended.outdates(stamp)).then_some(Finding::Outdated)
    }

    /// Whether a newer record than this one is known to exist.
    pub(super) fn outdates(&self, stamp: Stamp) -> bool {
        self.ended.read().outdates(stamp)
    }
}

impl Ended {
    /// Whether the entry was news.
    fn add(&mut self, entry: &LogEntry) -> bool {
        let at = entry.at;
        match &entry.change {
            Change::LoginEnded { login } => self.logins.insert(*login, at).is_none(),
            Change::TokenEnded { jti } => self.tokens.insert(jti.clone(), at).is_none(),
            Change::UserCut { user, generation, reason } => {
                let new = Cut { generation: *generation, reason: *reason, at };
                match self.cuts.entry(*user) {
                    Entry::Vacant(place) => {
                        place.insert(new);
                        true
                    }
                    Entry::Occupied(mut held) if held.get().generation < new.generation => {
                        // Replicas' clocks differ: the later time counts for tokens without one.
                        let at = at.max(held.get().at);
                        held.insert(Cut { at, ..new });
                        true
                    }
                    Entry::Occupied(mut held) => {
                        let later = held.get().at < at;
                        held.get_mut().at = at.max(held.get().at);
                        later
                    }
                }
            }
            Change::ProfileChanged { user, version } => match self.versions.entry(*user) {
                Entry::Vacant(place) => {
                    place.insert((*version, at));
                    true
                }
                Entry::Occupied(mut held) if held.get().0 < *version => {
                    held.insert((*version, at));
                    true
                }
                Entry::Occupied(_) => false,
            },
        }
    }

    fn outdates(&self, stamp: Stamp) -> bool {
        self.cuts.get(&stamp.user).is_some_and(|cut| stamp.generation < cut.generation)
            || self.versions.get(&stamp.user).is_some_and(|(version, _)| stamp.version < *version)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ties::Issued;
    use super::*;

    const USER: UserId = UserId(7);

    fn revocations() -> Revocations {
        Revocations::new(Duration::from_mins(1))
    }

    fn entry(second: i64, change: Change) -> LogEntry {
        LogEntry { change, at: Timestamp::from_seconds(second) }
    }

    fn cut(second: i64, generation: i64, reason: CutReason) -> LogEntry {
        entry(second, Change::UserCut { user: USER, generation, reason })
    }

    fn ties(issued: Issued) -> Ties {
        Ties {
            user: Some(USER),
            issued,
            login: Some(LoginId([1; 16])),
            jti: Some("abc".to_owned()),
        }
    }

    #[test]
    fn nothing_is_fresh_before_the_log_was_read_or_too_long_after() {
        let revocations = revocations();
        assert!(!revocations.is_fresh(Timestamp::from_seconds(0)));
        revocations.synced(Timestamp::from_seconds(100));
        assert!(revocations.is_fresh(Timestamp::from_seconds(160)));
        assert!(!revocations.is_fresh(Timestamp::from_seconds(161)));
        assert!(revocations.is_fresh(Timestamp::from_seconds(40)), "a clock put back a little");
        assert!(!revocations.is_fresh(Timestamp::from_seconds(39)), "a clock put back far");
        assert_eq!(revocations.synced_at(), Some(Timestamp::from_seconds(100)));
    }

    #[test]
    fn a_login_or_token_that_ended_is_found_and_others_are_not() {
        let revocations = revocations();
        let ties = ties(Issued::Generation(0));
        revocations.apply(&entry(1, Change::LoginEnded { login: LoginId([2; 16]) }));
        revocations.apply(&entry(1, Change::TokenEnded { jti: "xyz".to_owned() }));
        assert_eq!(revocations.review(&ties, None), None);
        revocations.apply(&entry(1, Change::TokenEnded { jti: "abc".to_owned() }));
        assert_eq!(revocations.review(&ties, None), Some(Finding::Ended));
        let login = Ties { jti: None, ..ties };
        assert_eq!(revocations.review(&login, None), None);
        revocations.apply(&entry(1, Change::LoginEnded { login: LoginId([1; 16]) }));
        assert_eq!(revocations.review(&login, None), Some(Finding::Ended));
    }

    #[test]
    fn cuts_apply_in_any_order_and_any_number_of_times() {
        let first = cut(10, 2, CutReason::PasswordChanged);
        let second = cut(20, 3, CutReason::LoggedOut);
        for order in [[&first, &second, &first], [&second, &first, &second]] {
            let revocations = revocations();
            for entry in order {
                revocations.apply(entry);
            }
            let found = |issued| revocations.review(&ties(issued), None);
            assert_eq!(found(Issued::Generation(2)), Some(Finding::Cut(CutReason::LoggedOut)));
            assert_eq!(found(Issued::Generation(3)), None);
            assert_eq!(found(Issued::Second(20)), Some(Finding::Cut(CutReason::LoggedOut)));
            assert_eq!(found(Issued::Second(21)), None);
        }
    }

    #[test]
    fn a_changed_profile_ends_nothing_but_outdates_the_record() {
        let revocations = revocations();
        revocations.apply(&entry(1, Change::ProfileChanged { user: USER, version: 5 }));
        let ties = ties(Issued::Generation(0));
        let stamp = |version| Some(Stamp { user: USER, generation: 0, version });
        assert_eq!(revocations.review(&ties, stamp(4)), Some(Finding::Outdated));
        assert_eq!(revocations.review(&ties, stamp(5)), None);
        let other = Stamp { user: UserId(8), generation: 0, version: 0 };
        assert_eq!(revocations.review(&ties, Some(other)), None);
    }

    #[test]
    fn the_epoch_rises_with_news_only() {
        let revocations = revocations();
        let entries = [
            entry(1, Change::LoginEnded { login: LoginId([1; 16]) }),
            entry(1, Change::TokenEnded { jti: "abc".to_owned() }),
            cut(1, 2, CutReason::LoggedOut),
            entry(1, Change::ProfileChanged { user: USER, version: 2 }),
        ];
        for (known, entry) in entries.iter().enumerate() {
            assert_eq!(revocations.epoch(), known as u64);
            revocations.apply(entry);
        }
        for entry in &entries {
            revocations.apply(entry);
        }
        assert_eq!(revocations.epoch(), 4);
        assert_eq!(revocations.len(), 4);
    }

    #[test]
    fn pruning_forgets_the_old_and_keeps_the_young() {
        let revocations = revocations();
        revocations.apply(&entry(10, Change::LoginEnded { login: LoginId([1; 16]) }));
        revocations.apply(&entry(20, Change::TokenEnded { jti: "abc".to_owned() }));
        revocations.apply(&cut(10, 2, CutReason::LoggedOut));
        revocations.apply(&entry(10, Change::ProfileChanged { user: USER, version: 2 }));
        revocations.prune(Timestamp::from_seconds(20));
        assert_eq!(revocations.len(), 1);
        let ties = ties(Issued::Generation(0));
        assert_eq!(revocations.review(&ties, None), Some(Finding::Ended));
        revocations.prune(Timestamp::from_seconds(21));
        assert!(revocations.is_empty());
    }
}
