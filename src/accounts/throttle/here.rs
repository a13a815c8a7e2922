//! Counts of tries in memory, by each replica for itself; a restart forgets them.
//!
//! Where there is no Redis, and while it is away. It must not know passwords, nor what a
//! refusal looks like.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Limits, Rate};
use crate::model::Timestamp;

use super::pace::{Steady, Streak};
use super::table::{Record, Table};
use super::{Network, Throttled};

/// Records in each of the five tables: some fifteen megabytes when all are full.
pub(super) const RECORDS: usize = 65_536;

/// Counts tries in memory. Cheap to clone; clones count together.
#[derive(Clone)]
pub(super) struct Here(Arc<Counts>);

struct Counts {
    limits: Limits,
    clock: Clock,
    /// Failed logins of an account from wherever it has not logged in before.
    strangers: Table<Streak>,
    /// Addresses from which an account has logged in, with the failures since.
    acquainted: Table<Acquaintance>,
    addresses: Table<Steady>,
    registrations: Table<Steady>,
    resets: Table<Steady>,
}

struct Acquaintance {
    streak: Streak,
    last_login: Timestamp,
}

/// A login that may be tried. It counts against the account from the moment it is given,
/// so that parallel tries cannot outrun it, until its outcome is told. Dropped without
/// an outcome (the client hung up, the database was away) it counts for nothing: nobody
/// learned anything from it.
#[must_use]
pub(super) struct Attempt {
    counted: Option<Counted>,
}

struct Counted {
    counts: Arc<Counts>,
    account: String,
    network: Option<Network>,
    by: Side,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Stranger,
    Acquainted(Network),
}

// === impl Here ===

impl Here {
    /// Counts by these limits.
    pub(super) fn new(limits: &Limits, clock: Clock) -> Self {
        Self(Arc::new(Counts {
            limits: limits.clone(),
            clock,
            strangers: Table::new(RECORDS),
            acquainted: Table::new(RECORDS),
            addresses: Table::new(RECORDS),
            registrations: Table::new(RECORDS),
            resets: Table::new(RECORDS),
        }))
    }

    /// A login with a password. `account` is folded.
    pub(super) fn login(
        &self,
        account: String,
        network: Option<Network>,
    ) -> Result<Attempt, Throttled> {
        let counts = &self.0;
        let now = counts.clock.now();
        counts.take_from_address(network, now)?;
        let rate = counts.limits.login_per_account;
        let acquainted = network.and_then(|network| {
            let try_one = |known: &mut Acquaintance| known.streak.try_one(rate, now);
            let let_through = counts.acquainted.with_known(&(&*account, network), try_one)?;
            Some((Side::Acquainted(network), let_through))
        });
        let (by, let_through) = acquainted.unwrap_or_else(|| {
            let try_one = |streak: &mut Streak| streak.try_one(rate, now);
            let fresh = || Streak::new(now);
            (Side::Stranger, counts.strangers.with(&*account, now, fresh, try_one))
        });
        let_through
            .map_err(|retry_after| Throttled { retry_after, policy: "login_per_account" })?;
        let counts = Arc::clone(counts);
        Ok(Attempt { counted: Some(Counted { counts, account, network, by }) })
    }

    /// The account has logged in from there, as Redis knows: should Redis go away, its owner is
    /// no stranger.
    pub(super) fn acquaint(&self, account: &str, network: Network) {
        self.0.acquaint(account, network);
    }

    pub(super) fn registration(&self, network: Network) -> Result<(), Throttled> {
        let counts = &self.0;
        let rate = counts.limits.registration_per_address;
        take(&counts.registrations, &network, rate, counts.clock.now())
            .map_err(|retry_after| Throttled { retry_after, policy: "registration_per_address" })
    }

    /// `account_or_email` is folded.
    pub(super) fn reset(
        &self,
        account_or_email: &str,
        network: Option<Network>,
    ) -> Result<(), Throttled> {
        let counts = &self.0;
        let now = counts.clock.now();
        counts.take_from_address(network, now)?;
        let rate = counts.limits.reset_per_account;
        take(&counts.resets, account_or_email, rate, now)
            .map_err(|retry_after| Throttled { retry_after, policy: "reset_per_account" })
    }
}

impl Counts {
    fn acquaint(&self, account: &str, network: Network) {
        let now = self.clock.now();
        let fresh = || Acquaintance { streak: Streak::new(now), last_login: now };
        self.acquainted.with(&(account, network), now, fresh, |known| *known = fresh());
    }

    fn take_from_address(&self, network: Option<Network>, now: Timestamp) -> Result<(), Throttled> {
        let Some(network) = network else { return Ok(()) };
        take(&self.addresses, &network, self.limits.login_per_address, now)
            .map_err(|retry_after| Throttled { retry_after, policy: "login_per_address" })
    }
}

fn take<K: Hash + ?Sized>(
    table: &Table<Steady>,
    key: &K,
    rate: Rate,
    now: Timestamp,
) -> Result<(), Duration> {
    table.with(key, now, || Steady::new(now), |steady| steady.take(rate, now))
}

// === impl Attempt ===

impl Attempt {
    /// The name or the password was wrong.
    pub(super) fn failed(mut self) {
        let Some(Counted { counts, account, by, .. }) = self.counted.take() else { return };
        let (rate, now) = (counts.limits.login_per_account, counts.clock.now());
        match by {
            Side::Acquainted(network) => {
                // If it was displaced meanwhile, so be it: the next try is a stranger's.
                let key = (&*account, network);
                counts.acquainted.with_known(&key, |known| known.streak.fail(rate, now));
            }
            Side::Stranger => {
                let fresh = || Streak::new(now);
                counts.strangers.with(&*account, now, fresh, |streak| streak.fail(rate, now));
            }
        }
    }

    /// The password was right. The address is known to the account from now on.
    ///
    /// A stranger's failures stay counted: else an attacker could wait for the owner's logins
    /// to begin anew.
    pub(super) fn succeeded(mut self) {
        let Some(counted) = self.counted.take() else { return };
        counted.release();
        if let Some(network) = counted.network {
            counted.counts.acquaint(&counted.account, network);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(counted) = self.counted.take() {
            counted.release();
        }
    }
}

impl Counted {
    fn release(&self) {
        match self.by {
            Side::Acquainted(network) => {
                let key = (&*self.account, network);
                self.counts.acquainted.with_known(&key, |known| known.streak.release());
            }
            Side::Stranger => {
                self.counts.strangers.with_known(&*self.account, Streak::release);
            }
        }
    }
}

impl Record for Acquaintance {
    fn weight(&self, _: Timestamp) -> u64 {
        // The longest unseen goes first. Never 0: knowing the address is what it is for.
        u64::try_from(self.last_login.micros()).unwrap_or(0).max(1)
    }
}
