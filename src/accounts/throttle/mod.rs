//! How often logins, registrations and resets may be tried.
//!
//! Guessing a password gets slower with each failure, but nobody can lock somebody else
//! out: an address from which an account has logged in before is counted by itself, so that
//! a stranger's failures do not count against it. Counted in Redis for all replicas together;
//! in memory (`here`) without it and while it is away. It must not know passwords, nor what a
//! refusal looks like.

mod here;
mod pace;
mod table;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use self::here::Here;
use self::pace::LONGEST_DELAY;
use crate::clock::Clock;
use crate::cluster::{LoginCount, LoginOutcome, LoginTry, RateOf, SharedCounts};
use crate::config::Limits;
use crate::fold::fold;
use crate::telemetry::Metrics;

/// Not now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("throttled by {policy} for {retry_after:?}")]
pub struct Throttled {
    /// When it may be tried again.
    pub retry_after: Duration,
    /// The setting that refused, for metrics and logs.
    pub policy: &'static str,
}

/// What a refusal may be for, by its setting.
const POLICIES: [&str; 4] =
    ["login_per_account", "login_per_address", "registration_per_address", "reset_per_account"];

/// Counts tries and refuses those that are too many. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Throttle {
    limits: Arc<Limits>,
    here: Here,
    shared: Option<SharedCounts>,
    metrics: Option<Arc<Metrics>>,
}

/// Addresses that one party can easily take turns with count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(IpAddr);

/// A login that may be tried. It counts against the account from the moment it is given,
/// so that parallel tries cannot outrun it, until its outcome is told. Dropped without
/// an outcome (the client hung up, the database was away) it counts for nothing: nobody
/// learned anything from it.
#[must_use]
pub struct Attempt(Counted);

enum Counted {
    /// From an address that is spared.
    Nowhere,
    Here(here::Attempt),
    Shared(SharedAttempt),
}

struct SharedAttempt {
    counts: SharedCounts,
    here: Here,
    login: LoginTry,
    network: Option<Network>,
    known: bool,
    told: bool,
}

// === impl Throttle ===

impl Throttle {
    /// Counts by these limits.
    #[must_use]
    pub fn new(limits: &Limits, clock: Clock) -> Self {
        let here = Here::new(limits, clock);
        Self { limits: Arc::new(limits.clone()), here, shared: None, metrics: None }
    }

    /// Counts for all replicas together.
    #[must_use]
    pub fn sharing(mut self, counts: SharedCounts) -> Self {
        self.shared = Some(counts);
        self
    }

    /// Has every refusal counted.
    #[must_use]
    pub fn counted_in(mut self, metrics: Arc<Metrics>) -> Self {
        metrics.throttles(&POLICIES);
        self.metrics = Some(metrics);
        self
    }

    /// A login with a password, by whichever endpoint. All spellings of the name count as one,
    /// and names that nobody has count like any other.
    ///
    /// # Errors
    /// It is to be tried later.
    pub async fn login(
        &self,
        account: &str,
        address: Option<IpAddr>,
    ) -> Result<Attempt, Throttled> {
        let attempt = self.try_login(account, address).await;
        attempt.inspect_err(|throttled| self.count(throttled))
    }

    async fn try_login(
        &self,
        account: &str,
        address: Option<IpAddr>,
    ) -> Result<Attempt, Throttled> {
        if self.spares(address) {
            return Ok(Attempt(Counted::Nowhere));
        }
        let (account, network) = (fold(account), address.map(Network::of));
        if let Some(counts) = &self.shared {
            let login = LoginTry {
                account: account.clone(),
                network: network.map(|network| network.0.to_string()),
                rate: self.limits.login_per_account,
                longest_delay: LONGEST_DELAY,
            };
            let refused = |retry_after, policy| Err(Throttled { retry_after, policy });
            match counts.login(&login, self.limits.login_per_address).await {
                Some(LoginCount::Let { known }) => {
                    let (counts, here) = (counts.clone(), self.here.clone());
                    let attempt =
                        SharedAttempt { counts, here, login, network, known, told: false };
                    return Ok(Attempt(Counted::Shared(attempt)));
                }
                Some(LoginCount::Address(wait)) => return refused(wait, "login_per_address"),
                Some(LoginCount::Account(wait)) => return refused(wait, "login_per_account"),
                None => {}
            }
        }
        self.here.login(account, network).map(|attempt| Attempt(Counted::Here(attempt)))
    }

    /// A registration whose form is good.
    ///
    /// # Errors
    /// It is to be tried later.
    pub async fn registration(&self, address: Option<IpAddr>) -> Result<(), Throttled> {
        let Some(address) = address.filter(|_| !self.spares(address)) else { return Ok(()) };
        let network = Network::of(address);
        let key = network.0.to_string();
        let rate = self.limits.registration_per_address;
        let rates = [RateOf { name: "registration", key: &key, rate }];
        let taken = match self.take(&rates, &["registration_per_address"]).await {
            Some(taken) => taken,
            None => self.here.registration(network),
        };
        taken.inspect_err(|throttled| self.count(throttled))
    }

    /// A mail that somebody asks for: a reset, another activation link. Counts by the text that was
    /// sent, whether or not anybody has it, and like a login by the address, since one that asks
    /// for many accounts' mails is a nuisance as well.
    ///
    /// # Errors
    /// It is to be tried later.
    pub async fn reset(
        &self,
        account_or_email: &str,
        address: Option<IpAddr>,
    ) -> Result<(), Throttled> {
        if self.spares(address) {
            return Ok(());
        }
        let (account, network) = (fold(account_or_email), address.map(Network::of));
        let address = network.map(|network| network.0.to_string());
        let mut rates = Vec::with_capacity(2);
        let mut policies = Vec::with_capacity(2);
        if let Some(key) = &address {
            rates.push(RateOf { name: "address", key, rate: self.limits.login_per_address });
            policies.push("login_per_address");
        }
        let rate = self.limits.reset_per_account;
        rates.push(RateOf { name: "reset", key: &account, rate });
        policies.push("reset_per_account");
        let taken = match self.take(&rates, &policies).await {
            Some(taken) => taken,
            None => self.here.reset(&account, network),
        };
        taken.inspect_err(|throttled| self.count(throttled))
    }

    fn count(&self, throttled: &Throttled) {
        if let Some(metrics) = &self.metrics {
            metrics.rate_limited(throttled.policy);
        }
    }

    /// `None`: Redis is not there.
    async fn take(
        &self,
        rates: &[RateOf<'_>],
        policies: &[&'static str],
    ) -> Option<Result<(), Throttled>> {
        let taken = self.shared.as_ref()?.take(rates).await?;
        Some(taken.map_err(|(place, retry_after)| {
            let policy = policies.get(place).copied().unwrap_or("throttling");
            Throttled { retry_after, policy }
        }))
    }

    fn spares(&self, address: Option<IpAddr>) -> bool {
        let exempt = |address: IpAddr| {
            let address = address.to_canonical();
            self.limits.exempt.iter().any(|net| net.contains(&address))
        };
        !self.limits.throttling || address.is_some_and(exempt)
    }
}

// === impl Attempt ===

impl Attempt {
    /// The name or the password was wrong.
    pub fn failed(self) {
        match self.0 {
            Counted::Nowhere => {}
            Counted::Here(attempt) => attempt.failed(),
            Counted::Shared(mut attempt) => attempt.tell(LoginOutcome::Failed),
        }
    }

    /// The password was right. The address is known to the account from now on.
    ///
    /// A stranger's failures stay counted: else an attacker could wait for the owner's logins
    /// to begin anew.
    pub fn succeeded(self) {
        match self.0 {
            Counted::Nowhere => {}
            Counted::Here(attempt) => attempt.succeeded(),
            Counted::Shared(mut attempt) => {
                if let Some(network) = attempt.network {
                    attempt.here.acquaint(&attempt.login.account, network);
                }
                attempt.tell(LoginOutcome::Succeeded);
            }
        }
    }
}

impl SharedAttempt {
    /// Beside the request: until it is told the try counts as one under way.
    fn tell(&mut self, outcome: LoginOutcome) {
        self.told = true;
        let (counts, login, known) = (self.counts.clone(), self.login.clone(), self.known);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { counts.settle(&login, known, outcome).await });
        }
    }
}

impl Drop for SharedAttempt {
    fn drop(&mut self) {
        if !self.told {
            self.tell(LoginOutcome::Released);
        }
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
