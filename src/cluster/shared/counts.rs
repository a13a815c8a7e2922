//! Counts of tries that replicas share.
//!
//! One script call for each try, by the server's clock. Names and addresses are not written
//! there: keys are keyed digests. It must not know who is spared, nor what a refusal looks
//! like.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use redis::Script;

use super::link::Link;
use crate::config::Rate;

/// How long an address is known to an account after a login.
const KNOWN: Duration = Duration::from_hours(30 * 24);

/// Counts of tries that replicas share. Cheap to clone.
#[derive(Clone)]
pub struct SharedCounts(Arc<Inner>);

struct Inner {
    link: Arc<Link>,
    key: Key,
    prefix: Arc<str>,
    take: Script,
    login: Script,
    settle: Script,
}

/// A login to be counted.
#[derive(Debug, Clone)]
pub struct LoginTry {
    /// The account, folded.
    pub account: String,
    /// Where it comes from.
    pub network: Option<String>,
    /// What an account may.
    pub rate: Rate,
    /// The longest delay after a failure.
    pub longest_delay: Duration,
}

/// What counting a login said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginCount {
    /// It may be tried, and counts until its outcome is told.
    Let {
        /// The account has logged in from there before.
        known: bool,
    },
    /// Too many from this address.
    Address(Duration),
    /// Too many for this account.
    Account(Duration),
}

/// How a login that was let through ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginOutcome {
    /// Name or password was wrong.
    Failed,
    /// They were right.
    Succeeded,
    /// Nobody knows.
    Released,
}

/// One steady rate and whom it is about.
#[derive(Debug, Clone, Copy)]
pub struct RateOf<'a> {
    /// Which rate; part of the key.
    pub name: &'static str,
    /// Whom it is about.
    pub key: &'a str,
    /// The rate.
    pub rate: Rate,
}

macro_rules! script {
    ($name:literal) => {
        Script::new(concat!(include_str!("pace.lua"), include_str!($name)))
    };
}

impl SharedCounts {
    pub(super) fn new(link: Arc<Link>, key: &[u8; 32], prefix: Arc<str>) -> Self {
        Self(Arc::new(Inner {
            link,
            key: Key::new(HMAC_SHA256, key),
            prefix,
            take: script!("take.lua"),
            login: script!("login.lua"),
            settle: script!("settle.lua"),
        }))
    }

    /// Takes one from each rate, up to the first that refuses: its place and how long to wait.
    /// `None`: Redis is away.
    pub async fn take(&self, rates: &[RateOf<'_>]) -> Option<Result<(), (usize, Duration)>> {
        let mut call = self.0.take.prepare_invoke();
        for rate in rates {
            call.key(self.name(rate.name, rate.key))
                .arg(rate.rate.count)
                .arg(millis(rate.rate.per));
        }
        let call = &call;
        let answer = self
            .0
            .link
            .call(|mut redis| async move { call.invoke_async::<(usize, u64)>(&mut redis).await });
        Some(match answer.await? {
            (0, _) => Ok(()),
            (place, wait) => Err((place - 1, Duration::from_millis(wait))),
        })
    }

    /// Counts a login; its outcome is to be told. `None`: Redis is away.
    pub async fn login(&self, login: &LoginTry, per_address: Rate) -> Option<LoginCount> {
        let mut call = self.0.login.prepare_invoke();
        let network = login.network.as_deref().unwrap_or_default();
        self.name_accounts(&mut call, login);
        call.key(self.name("address", network))
            .arg(login.rate.count)
            .arg(millis(login.rate.per))
            .arg(millis(login.longest_delay))
            .arg(millis(KNOWN))
            .arg(u8::from(login.network.is_some()))
            .arg(per_address.count)
            .arg(millis(per_address.per));
        let call = &call;
        let answer = self
            .0
            .link
            .call(|mut redis| async move { call.invoke_async::<(u8, u64, u8)>(&mut redis).await });
        Some(match answer.await? {
            (0, _, known) => LoginCount::Let { known: known == 1 },
            (1, wait, _) => LoginCount::Address(Duration::from_millis(wait)),
            (_, wait, _) => LoginCount::Account(Duration::from_millis(wait)),
        })
    }

    /// Tells the outcome of a login that was let through. `known`: as it was answered.
    pub async fn settle(&self, login: &LoginTry, known: bool, outcome: LoginOutcome) {
        let mut call = self.0.settle.prepare_invoke();
        self.name_accounts(&mut call, login);
        call.arg(match outcome {
            LoginOutcome::Failed => "failed",
            LoginOutcome::Succeeded => "succeeded",
            LoginOutcome::Released => "released",
        })
        .arg(login.rate.count)
        .arg(millis(login.rate.per))
        .arg(millis(login.longest_delay))
        .arg(millis(KNOWN))
        .arg(u8::from(known))
        .arg(u8::from(login.network.is_some()));
        let call = &call;
        let told =
            self.0.link.call(|mut redis| async move { call.invoke_async::<i64>(&mut redis).await });
        let _: Option<i64> = told.await;
    }

    fn name_accounts(&self, call: &mut redis::ScriptInvocation<'_>, login: &LoginTry) {
        let network = login.network.as_deref().unwrap_or_default();
        call.key(self.name("account", &login.account));
        // A NUL is in no address: no other pair reads the same.
        call.key(self.name("known", &format!("{network}\0{}", login.account)));
    }

    /// The part in braces is the same for all: a script's keys have to lie in one slot.
    fn name(&self, what: &str, whom: &str) -> String {
        let tag = sign(&self.0.key, format!("throttle {what} {whom}").as_bytes());
        let digest = hex::encode(tag.as_ref().get(..16).unwrap_or_default());
        format!("{}:{{throttle}}:{what}:{digest}", self.0.prefix)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
