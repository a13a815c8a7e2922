//! How often logins, registrations and resets may be tried.
//!
//! Guessing a password gets slower with each failure, but nobody can lock somebody else
//! out: an address from which an account has logged in before is counted by itself, so that
//! a stranger's failures do not count against it. Kept in memory, by each replica for itself;
//! a restart forgets it. It must not know passwords, nor what a refusal looks like.

mod pace;
mod table;

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Limits, Rate};
use crate::fold::fold;
use crate::model::Timestamp;

use self::pace::{Steady, Streak};
use self::table::{Record, Table};

/// Records in each of the five tables: some fifteen megabytes when all are full.
const RECORDS: usize = 65_536;

/// Not now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("throttled by {policy} for {retry_after:?}")]
pub struct Throttled {
    /// When it may be tried again.
    pub retry_after: Duration,
    /// The setting that refused, for metrics and logs.
    pub policy: &'static str,
}

/// Counts tries and refuses those that are too many. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Throttle(Arc<Counts>);

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

/// Addresses that one party can easily take turns with count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(IpAddr);

/// A login that may be tried. It counts against the account from the moment it is given,
/// so that parallel tries cannot outrun it, until its outcome is told. Dropped without
/// an outcome (the client hung up, the database was away) it counts for nothing: nobody
/// learned anything from it.
#[must_use]
pub struct Attempt {
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

// === impl Throttle ===

impl Throttle {
    /// Counts by these limits.
    #[must_use]
    pub fn new(limits: &Limits, clock: Clock) -> Self {
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

    /// A login with a password, by whichever endpoint. All spellings of the name count as one,
    /// and names that nobody has count like any other.
    pub fn login(&self, account: &str, address: Option<IpAddr>) -> Result<Attempt, Throttled> {
        let counts = &self.0;
        if counts.spares(address) {
            return Ok(Attempt { counted: None });
        }
        let (network, now) = (address.map(Network::of), counts.clock.now());
        counts.take_from_address(network, now)?;
        let account = fold(account);
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

    /// A registration whose form is good.
    pub fn registration(&self, address: Option<IpAddr>) -> Result<(), Throttled> {
        let counts = &self.0;
        let Some(address) = address.filter(|_| !counts.spares(address)) else { return Ok(()) };
        let rate = counts.limits.registration_per_address;
        take(&counts.registrations, &Network::of(address), rate, counts.clock.now())
            .map_err(|retry_after| Throttled { retry_after, policy: "registration_per_address" })
    }

    /// A mail that somebody asks for: a reset, another activation link. Counts by the text that was
    /// sent, whether or not anybody has it, and like a login by the address, since one that asks
    /// for many accounts' mails is a nuisance as well.
    pub fn reset(&self, account_or_email: &str, address: Option<IpAddr>) -> Result<(), Throttled> {
        let counts = &self.0;
        if counts.spares(address) {
            return Ok(());
        }
        let now = counts.clock.now();
        counts.take_from_address(address.map(Network::of), now)?;
        let rate = counts.limits.reset_per_account;
        take(&counts.resets, &*fold(account_or_email), rate, now)
            .map_err(|retry_after| Throttled { retry_after, policy: "reset_per_account" })
    }
}

impl Counts {
    fn spares(&self, address: Option<IpAddr>) -> bool {
        let exempt = |address: IpAddr| {
            let address = address.to_canonical();
            self.limits.exempt.iter().any(|net| net.contains(&address))
        };
        !self.limits.throttling || address.is_some_and(exempt)
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
    pub fn failed(mut self) {
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
    pub fn succeeded(mut self) {
        let Some(counted) = self.counted.take() else { return };
        counted.release();
        let Some(network) = counted.network else { return };
        let now = counted.counts.clock.now();
        let key = (&*counted.account, network);
        let fresh = || Acquaintance { streak: Streak::new(now), last_login: now };
        counted.counts.acquainted.with(&key, now, fresh, |known| *known = fresh());
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

// === impl Network ===

impl Network {
    /// IPv4 by address, also when written as IPv6; IPv6 by /64, which a single host usually has
    /// to itself.
    fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

#[cfg(test)]
mod tests;
