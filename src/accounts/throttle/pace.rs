//! The two ways to count: a steady rate, and a delay that grows with each failure.
//!
//! Pure arithmetic on times that are handed in. A wall clock can be set back; no record
//! then refuses for longer than it would have right after it was made. It must not know
//! who is counted.

use std::time::Duration;

use crate::config::Rate;
use crate::model::Timestamp;

use super::table::Record;

/// The longest delay after a failure, unless the rate by itself is slower: long enough to make
/// guessing hopeless, short enough that an owner who is under attack gets in.
pub(super) const LONGEST_DELAY: Duration = Duration::from_mins(5);

/// A steady rate (GCRA): `rate.count` at once, then one each `rate.per / rate.count`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steady {
    /// When everything so far would have been used up at the steady rate.
    used_until: Timestamp,
}

/// Failures in a row. The first `rate.count` are free, then each doubles the delay before the
/// next try. All are forgotten after a quiet time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streak {
    failures: u32,
    /// Tries that were let through and whose outcome is not known yet.
    pending: u32,
    last: Timestamp,
    /// How long after `last` they count.
    kept: Duration,
}

fn interval(rate: Rate) -> Duration {
    rate.per / rate.count.max(1)
}

// === impl Steady ===

impl Steady {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { used_until: now }
    }

    /// Takes one, or says how long to wait for it.
    pub(super) fn take(&mut self, rate: Rate, now: Timestamp) -> Result<(), Duration> {
        if rate.count == 0 {
            return Err(rate.per);
        }
        let used_until = self.used_until.clamp(now, now.plus(rate.per));
        let next = used_until.plus(interval(rate));
        let over = next.since(now.plus(rate.per));
        if over > Duration::ZERO {
            return Err(over);
        }
        self.used_until = next;
        Ok(())
    }
}

impl Record for Steady {
    fn weight(&self, now: Timestamp) -> u64 {
        u64::try_from(self.used_until.since(now).as_micros()).unwrap_or(u64::MAX)
    }
}

// === impl Streak ===

impl Streak {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { failures: 0, pending: 0, last: now, kept: Duration::ZERO }
    }

    /// Lets one try through, or says how long to wait for it.
    ///
    /// Tries count from now on: a hundred at once must not all pass before the first fails.
    /// Beyond the free ones only one try is under way at a time.
    pub(super) fn try_one(&mut self, rate: Rate, now: Timestamp) -> Result<(), Duration> {
        self.forget(now);
        if self.failures.saturating_add(self.pending) >= rate.count {
            let wait = self.last.plus(delay(self.failures, rate)).since(now);
            if wait > Duration::ZERO {
                return Err(wait);
            }
            if self.pending > 0 {
                return Err(interval(rate));
            }
        }
        self.pending = self.pending.saturating_add(1);
        Ok(())
    }

    /// A try that was let through failed.
    pub(super) fn fail(&mut self, rate: Rate, now: Timestamp) {
        self.release();
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        self.kept = rate.per.max(2 * delay(self.failures, rate));
    }

    /// A try that was let through did not fail, or was not carried out.
    pub(super) fn release(&mut self) {
        self.pending = self.pending.saturating_sub(1);
    }

    fn forget(&mut self, now: Timestamp) {
        // A clock that was set back must not make the wait longer than its delay.
        self.last = self.last.min(now);
        if self.is_over(now) {
            self.failures = 0;
        }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.last) >= self.kept
    }
}

impl Record for Streak {
    fn weight(&self, now: Timestamp) -> u64 {
        let failures = if self.is_over(now) { 0 } else { self.failures };
        let count = failures.saturating_add(self.pending);
        // Failures first; among equals the older one goes.
        let seconds = u64::try_from(self.last.seconds()).unwrap_or(0) & 0xffff_ffff;
        if count == 0 { 0 } else { u64::from(count) << 32 | seconds }
    }
}

/// How long to wait after the last of so many failures.
fn delay(failures: u32, rate: Rate) -> Duration {
    let Some(beyond) = failures.checked_sub(rate.count) else { return Duration::ZERO };
    let interval = interval(rate);
    let grown = interval.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX));
    grown.min(LONGEST_DELAY.max(interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_A_MINUTE: Rate = Rate { count: 10, per: Duration::from_mins(1) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_steady_rate_gives_its_count_at_once_and_then_one_each_interval() {
        let mut steady = Steady::new(at(0));
        for _ in 0..10 {
            assert_eq!(steady.take(TEN_A_MINUTE, at(0)), Ok(()));
        }
        assert_eq!(steady.take(TEN_A_MINUTE, at(0)), Err(secs(6)));
        assert_eq!(steady.take(TEN_A_MINUTE, at(5)), Err(secs(1)));
        assert_eq!(steady.take(TEN_A_MINUTE, at(6)), Ok(()));
        assert_eq!(steady.take(TEN_A_MINUTE, at(6)), Err(secs(6)));
        for _ in 0..10 {
            assert_eq!(steady.take(TEN_A_MINUTE, at(66)), Ok(()));
        }
        assert_eq!(steady.take(TEN_A_MINUTE, at(66)), Err(secs(6)));
    }

    #[test]
    fn a_rate_of_nothing_refuses_everything() {
        let none = Rate { count: 0, per: secs(60) };
        assert_eq!(Steady::new(at(0)).take(none, at(0)), Err(secs(60)));
        let mut streak = Streak::new(at(0));
        assert_eq!(streak.try_one(none, at(0)), Err(secs(60)));
    }

    fn fail(streak: &mut Streak, now: Timestamp) -> Result<(), Duration> {
        streak.try_one(TEN_A_MINUTE, now)?;
        streak.fail(TEN_A_MINUTE, now);
        Ok(())
    }

    #[test]
    fn the_delay_grows_with_each_failure_up_to_a_limit() {
        let mut streak = Streak::new(at(0));
        for _ in 0..10 {
            assert_eq!(fail(&mut streak, at(0)), Ok(()));
        }
        let mut now = 0;
        for wait in [6, 12, 24, 48, 96, 192, 300, 300] {
            let refused = Err(secs(wait));
            assert_eq!(fail(&mut streak, at(now)), refused, "after {now} s");
            assert_eq!(fail(&mut streak, at(now)), refused, "refused tries do not count");
            now += i64::try_from(wait).unwrap();
            assert_eq!(fail(&mut streak, at(now)), Ok(()));
        }
    }

    #[test]
    fn failures_are_forgotten_after_a_quiet_time() {
        let mut streak = Streak::new(at(0));
        for _ in 0..10 {
            assert_eq!(fail(&mut streak, at(0)), Ok(()));
        }
        assert_eq!(fail(&mut streak, at(59)), Ok(()), "the delay is over");
        assert_eq!(fail(&mut streak, at(59)), Err(secs(12)), "but nothing is forgotten");
        for _ in 0..10 {
            assert_eq!(fail(&mut streak, at(119)), Ok(()));
        }
        assert_eq!(fail(&mut streak, at(119)), Err(secs(6)));
    }

    #[test]
    fn tries_under_way_count() {
        let mut streak = Streak::new(at(0));
        for _ in 0..10 {
            assert_eq!(streak.try_one(TEN_A_MINUTE, at(0)), Ok(()));
        }
        assert_eq!(streak.try_one(TEN_A_MINUTE, at(0)), Err(secs(6)));
        streak.release();
        assert_eq!(streak.try_one(TEN_A_MINUTE, at(0)), Ok(()), "one did not fail");
    }

    #[test]
    fn beyond_the_free_ones_one_try_is_under_way_at_a_time() {
        let mut streak = Streak::new(at(0));
        for _ in 0..10 {
            assert_eq!(fail(&mut streak, at(0)), Ok(()));
        }
        assert_eq!(streak.try_one(TEN_A_MINUTE, at(6)), Ok(()));
        assert!(streak.try_one(TEN_A_MINUTE, at(6)).is_err());
        assert!(streak.try_one(TEN_A_MINUTE, at(12)).is_err());
    }

    #[test]
    fn tries_under_way_are_not_forgotten() {
        let mut streak = Streak::new(at(0));
        for _ in 0..10 {
            assert_eq!(streak.try_one(TEN_A_MINUTE, at(3600)), Ok(()));
        }
        assert_eq!(streak.try_one(TEN_A_MINUTE, at(3600)), Err(secs(6)));
    }

    #[test]
    fn a_streak_that_is_over_has_no_weight() {
        let mut streak = Streak::new(at(0));
        assert_eq!(streak.weight(at(0)), 0);
        assert_eq!(fail(&mut streak, at(0)), Ok(()));
        let one = streak.weight(at(0));
        assert_eq!(fail(&mut streak, at(0)), Ok(()));
        assert!(streak.weight(at(0)) > one && one > 0);
        assert_eq!(streak.weight(at(60)), 0);
    }

    #[test]
    fn a_clock_set_back_makes_no_wait_longer() {
        let mut steady = Steady::new(at(0));
        let mut streak = Streak::new(at(0));
        for _ in 0..10 {
            assert_eq!(steady.take(TEN_A_MINUTE, at(0)), Ok(()));
            assert_eq!(fail(&mut streak, at(0)), Ok(()));
        }
        assert_eq!(steady.take(TEN_A_MINUTE, at(-100_000)), Err(secs(6)));
        assert_eq!(streak.try_one(TEN_A_MINUTE, at(-100_000)), Err(secs(6)));
    }
}
