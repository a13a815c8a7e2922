//! How one server stands: whether requests should go to it at present.
//!
//! Two voices count. What happens to requests (passive): so many failures in a row leave it out
//! for a while, then one request at a time tries whether it is back. And what it says when it is
//! asked (active), see `probe`. Nothing here locks: on the way of a request to a server that is
//! well, it is two loads. It must not know what a failure is.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::config::{Ejection, HealthCheck};

/// How one server stands.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Failures in a row since it last answered or was left out.
    failures: AtomicU32,
    /// How often in a row it was left out.
    ejections: AtomicU32,
    /// Milliseconds of the upstream's clock; 0: not left out. When it is over, one request may try.
    out_until: AtomicU64,
    /// It said itself that it is not well.
    is_unwell: AtomicBool,
    /// How often in a row it said otherwise.
    dissent: AtomicU32,
}

/// What a failure came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sentence {
    /// It stays.
    Stays,
    /// It is left out for so many milliseconds.
    Out(u64),
}

impl Standing {
    /// Whether a request may go there; `now` is asked for only if there is a doubt.
    pub(super) fn is_good(&self, now: impl FnOnce() -> u64) -> bool {
        let until = self.out_until.load(Ordering::Relaxed);
        !self.is_unwell.load(Ordering::Relaxed) && (until == 0 || until <= now())
    }

    /// Takes the one trial that there is after a time out; true where there is no need of one.
    pub(super) fn enter(&self, ejection: &Ejection, now: impl FnOnce() -> u64) -> bool {
        let until = self.out_until.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        let next = now().saturating_add(millis(ejection.time.0)).max(1);
        until < next
            && self
                .out_until
                .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// It answered. Whether it had been left out.
    pub(super) fn succeeded(&self) -> bool {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.out_until.load(Ordering::Relaxed) == 0 {
            return false;
        }
        self.ejections.store(0, Ordering::Relaxed);
        self.out_until.swap(0, Ordering::Relaxed) != 0
    }

    /// A request to it failed.
    pub(super) fn failed(&self, ejection: &Ejection, now: u64) -> Sentence {
        if ejection.failures == 0 {
            return Sentence::Stays;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let was_trial = self.out_until.load(Ordering::Relaxed) != 0;
        if failures < ejection.failures && !was_trial {
            return Sentence::Stays;
        }
        self.failures.store(0, Ordering::Relaxed);
        let before = self.ejections.fetch_add(1, Ordering::Relaxed).min(16);
        let time = millis(ejection.time.0).saturating_mul(1 << before);
        let time = time.min(millis(ejection.longest.0));
        self.out_until.store(now.saturating_add(time).max(1), Ordering::Relaxed);
        Sentence::Out(time)
    }

    /// It was asked. What is new of it, if anything: whether it is well now.
    pub(super) fn checked(&self, is_well: bool, check: &HealthCheck) -> Option<bool> {
        let was_well = !self.is_unwell.load(Ordering::Relaxed);
        if is_well == was_well {
            self.dissent.store(0, Ordering::Relaxed);
            return None;
        }
        let needed = if is_well { check.successes } else { check.failures };
        if self.dissent.fetch_add(1, Ordering::Relaxed).saturating_add(1) < needed {
            return None;
        }
        self.dissent.store(0, Ordering::Relaxed);
        self.is_unwell.store(!is_well, Ordering::Relaxed);
        Some(is_well)
    }

    /// Whether it is left out, for either reason.
    pub(super) fn is_out(&self) -> bool {
        self.is_unwell.load(Ordering::Relaxed) || self.out_until.load(Ordering::Relaxed) != 0
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Period;

    fn ejection() -> Ejection {
        Ejection { failures: 2, time: Period::seconds(5), longest: Period::seconds(12) }
    }

    #[test]
    fn failures_in_a_row_leave_a_server_out_and_an_answer_in_between_does_not() {
        let (standing, ejection) = (Standing::default(), ejection());
        assert_eq!(standing.failed(&ejection, 100), Sentence::Stays);
        assert!(!standing.succeeded());
        assert_eq!(standing.failed(&ejection, 100), Sentence::Stays);
        assert!(standing.is_good(|| 100));
        assert_eq!(standing.failed(&ejection, 100), Sentence::Out(5_000));
        assert!(!standing.is_good(|| 5_099));
        assert!(standing.is_good(|| 5_100));
    }

    #[test]
    fn after_the_time_one_request_tries_and_its_failure_doubles_it() {
        let (standing, ejection) = (Standing::default(), ejection());
        standing.failed(&ejection, 0);
        standing.failed(&ejection, 0);
        for (now, out) in [(5_000, 10_000), (15_000, 12_000), (27_000, 12_000)] {
            assert!(standing.is_good(|| now));
            assert!(standing.enter(&ejection, || now));
            assert!(!standing.is_good(|| now), "one at a time");
            assert_eq!(standing.failed(&ejection, now), Sentence::Out(out));
        }
        assert!(standing.enter(&ejection, || 39_000));
        assert!(standing.succeeded());
        assert!(standing.is_good(|| 39_000));
        assert!(standing.enter(&ejection, || 39_000));
        // It begins anew.
        standing.failed(&ejection, 40_000);
        assert_eq!(standing.failed(&ejection, 40_000), Sentence::Out(5_000));
    }

    #[test]
    fn a_trial_that_never_ends_is_followed_by_another() {
        let (standing, ejection) = (Standing::default(), ejection());
        standing.failed(&ejection, 0);
        standing.failed(&ejection, 0);
        assert!(standing.enter(&ejection, || 5_000));
        assert!(!standing.is_good(|| 9_999));
        assert!(standing.is_good(|| 10_000));
    }

    #[test]
    fn without_a_count_nothing_is_left_out() {
        let never = Ejection { failures: 0, ..ejection() };
        let standing = Standing::default();
        for _ in 0..10 {
            assert_eq!(standing.failed(&never, 0), Sentence::Stays);
        }
        assert!(standing.is_good(|| 0));
    }

    #[test]
    fn a_server_that_says_it_is_unwell_gets_nothing_until_it_says_otherwise() {
        let check = HealthCheck { failures: 2, successes: 3, ..HealthCheck::default() };
        let standing = Standing::default();
        let says = |answers: &[bool]| -> Vec<Option<bool>> {
            answers.iter().map(|is_well| standing.checked(*is_well, &check)).collect()
        };
        assert_eq!(says(&[true, false, true, false]), [None; 4], "not twice in a row");
        assert_eq!(says(&[false]), [Some(false)]);
        assert!(standing.is_out() && !standing.is_good(|| 0));
        assert_eq!(says(&[false, true, true, false, true, true]), [None; 6]);
        assert_eq!(says(&[true]), [Some(true)]);
        assert!(!standing.is_out() && standing.is_good(|| 0));
    }
}
