//! What the throttle lets through, and whom it spares.

use std::time::Duration;

use futures_util::FutureExt as _;

use super::here::RECORDS;
use super::*;
use crate::config::Rate;
use crate::model::Timestamp;

const HOME: &str = "192.0.2.1";
const STRANGER: &str = "198.51.100.7";

fn limits() -> Limits {
    let rate = |count, seconds| Rate { count, per: Duration::from_secs(seconds) };
    Limits {
        throttling: true,
        login_per_account: rate(10, 60),
        login_per_address: rate(60, 60),
        registration_per_address: rate(20, 3600),
        reset_per_account: rate(5, 3600),
        exempt: Vec::new(),
        ..Limits::default()
    }
}

fn clock() -> Clock {
    Clock::manual(Timestamp::from_seconds(1_700_000_000))
}

fn wait(clock: &Clock, seconds: u64) {
    clock.set(clock.now().plus(Duration::from_secs(seconds)));
}

fn throttle() -> (Throttle, Clock) {
    let clock = clock();
    (Throttle::new(&limits(), clock.clone()), clock)
}

fn ip(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// Without Redis there is nothing to wait for.
fn now<T>(counted: impl Future<Output = T>) -> T {
    counted.now_or_never().unwrap()
}

fn fail(throttle: &Throttle, account: &str, address: &str) -> Result<(), Throttled> {
    now(throttle.login(account, ip(address))).map(Attempt::failed)
}

fn log_in(throttle: &Throttle, account: &str, address: &str) -> Result<(), Throttled> {
    now(throttle.login(account, ip(address))).map(Attempt::succeeded)
}

fn after(seconds: u64, policy: &'static str) -> Result<(), Throttled> {
    Err(Throttled { retry_after: Duration::from_secs(seconds), policy })
}

#[test]
fn guessing_one_account_is_throttled_from_wherever_it_comes() {
    let (throttle, clock) = throttle();
    for i in 0..10 {
        assert_eq!(fail(&throttle, "ada", &format!("198.51.100.{i}")), Ok(()));
    }
    assert_eq!(fail(&throttle, "ada", STRANGER), after(6, "login_per_account"));
    assert_eq!(fail(&throttle, "bob", STRANGER), Ok(()), "another account");
    wait(&clock, 6);
    assert_eq!(fail(&throttle, "ada", STRANGER), Ok(()));
    assert_eq!(fail(&throttle, "ada", STRANGER), after(12, "login_per_account"));
}

#[test]
fn all_spellings_of_a_name_count_together() {
    let (throttle, _) = throttle();
    for name in ["fiona", "ﬁona", "FIONA", " Fiona ", "ＦＩＯＮＡ"].iter().cycle().take(10) {
        assert_eq!(fail(&throttle, name, STRANGER), Ok(()));
    }
    assert_eq!(fail(&throttle, "fiona", STRANGER), after(6, "login_per_account"));
}

#[test]
fn an_address_that_logged_in_before_is_spared_a_stranger_s_failures() {
    let (throttle, _) = throttle();
    assert_eq!(log_in(&throttle, "ada", HOME), Ok(()));
    for _ in 0..10 {
        assert_eq!(fail(&throttle, "ada", STRANGER), Ok(()));
    }
    assert_eq!(log_in(&throttle, "ada", STRANGER), after(6, "login_per_account"));
    assert_eq!(log_in(&throttle, "ada", HOME), Ok(()));
    assert_eq!(
        log_in(&throttle, "ada", STRANGER),
        after(6, "login_per_account"),
        "the owner's login does not give the stranger new tries"
    );
}

#[test]
fn an_address_that_logged_in_before_is_counted_by_itself() {
    let (throttle, _) = throttle();
    assert_eq!(log_in(&throttle, "ada", HOME), Ok(()));
    for _ in 0..10 {
        assert_eq!(fail(&throttle, "ada", HOME), Ok(()));
    }
    assert_eq!(fail(&throttle, "ada", HOME), after(6, "login_per_account"));
    assert_eq!(fail(&throttle, "ada", STRANGER), Ok(()));
    assert_eq!(fail(&throttle, "bob", HOME), Ok(()), "it is known to ada only");
}

#[test]
fn successful_logins_do_not_use_up_the_account_s_tries() {
    let (throttle, _) = throttle();
    for i in 0..200 {
        assert_eq!(log_in(&throttle, "ada", &format!("198.51.100.{i}")), Ok(()));
    }
}

#[test]
fn parallel_tries_count_before_they_have_failed() {
    let (throttle, _) = throttle();
    let attempts: Vec<_> =
        (0..10).map(|_| now(throttle.login("ada", ip(STRANGER))).unwrap()).collect();
    assert!(now(throttle.login("ada", ip(STRANGER))).is_err());
    drop(attempts);
    assert!(now(throttle.login("ada", ip(STRANGER))).is_ok(), "none of them was carried out");
}

#[test]
fn every_try_counts_against_its_address() {
    let (throttle, clock) = throttle();
    for i in 0..30 {
        assert_eq!(log_in(&throttle, &format!("ada{i}"), HOME), Ok(()));
        assert_eq!(fail(&throttle, &format!("bob{i}"), HOME), Ok(()));
    }
    assert_eq!(log_in(&throttle, "eve", HOME), after(1, "login_per_address"));
    assert_eq!(log_in(&throttle, "eve", STRANGER), Ok(()));
    wait(&clock, 1);
    assert_eq!(log_in(&throttle, "eve", HOME), Ok(()));
}

#[test]
fn one_host_is_one_address_however_it_is_written() {
    let same = [("192.0.2.1", "::ffff:192.0.2.1"), ("2001:db8::1", "2001:db8:0:0:ffff::")];
    for (one, other) in same {
        assert_eq!(ip(one).map(Network::of), ip(other).map(Network::of));
    }
    let others = [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8:0:1::1")];
    for (one, other) in others {
        assert_ne!(ip(one).map(Network::of), ip(other).map(Network::of));
    }
}

#[test]
fn registrations_are_throttled_by_address() {
    let (throttle, _) = throttle();
    for _ in 0..20 {
        assert_eq!(now(throttle.registration(ip(HOME))), Ok(()));
    }
    assert_eq!(now(throttle.registration(ip(HOME))), after(180, "registration_per_address"));
    assert_eq!(now(throttle.registration(ip(STRANGER))), Ok(()));
    assert_eq!(now(throttle.registration(None)), Ok(()));
}

#[test]
fn resets_are_throttled_by_account_and_by_address() {
    let (throttle, _) = throttle();
    for _ in 0..5 {
        assert_eq!(now(throttle.reset("Ada@example.org", ip(HOME))), Ok(()));
    }
    assert_eq!(
        now(throttle.reset("ada@EXAMPLE.org", ip(STRANGER))),
        after(720, "reset_per_account")
    );
    for i in 0..55 {
        assert_eq!(now(throttle.reset(&format!("{i}@example.org"), ip(HOME))), Ok(()));
    }
    assert_eq!(now(throttle.reset("new@example.org", ip(HOME))), after(1, "login_per_address"));
}

#[test]
fn exempt_addresses_are_not_counted() {
    let exempt = ["192.0.2.0/24", "2001:db8::7/128"].map(|net| net.parse().unwrap()).to_vec();
    let throttle = Throttle::new(&Limits { exempt, ..limits() }, clock());
    for address in [HOME, "::ffff:192.0.2.9", "2001:db8::7"] {
        for _ in 0..100 {
            assert_eq!(fail(&throttle, "ada", address), Ok(()));
            assert_eq!(now(throttle.registration(ip(address))), Ok(()));
            assert_eq!(now(throttle.reset("ada", ip(address))), Ok(()));
        }
    }
    for _ in 0..10 {
        assert_eq!(fail(&throttle, "ada", "2001:db8::8"), Ok(()));
    }
    assert_eq!(fail(&throttle, "ada", "2001:db8::8"), after(6, "login_per_account"));
}

#[test]
fn throttling_can_be_switched_off() {
    let throttle = Throttle::new(&Limits { throttling: false, ..limits() }, clock());
    for _ in 0..100 {
        assert_eq!(fail(&throttle, "ada", HOME), Ok(()));
        assert_eq!(now(throttle.registration(ip(HOME))), Ok(()));
        assert_eq!(now(throttle.reset("ada", ip(HOME))), Ok(()));
    }
}

#[test]
fn a_flood_of_names_does_not_make_an_attacked_account_forgotten() {
    let (throttle, _) = throttle();
    for _ in 0..10 {
        assert_eq!(fail(&throttle, "ada", STRANGER), Ok(()));
    }
    for i in 0..3 * RECORDS {
        now(throttle.login(&format!("flood {i}"), None)).unwrap().failed();
    }
    assert_eq!(fail(&throttle, "ada", STRANGER), after(6, "login_per_account"));
}
