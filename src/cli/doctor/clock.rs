//! Do the clocks agree: this one with those of the database, of Redis and of the gateway?
//!
//! How far they may differ without harm is told in docs/degradation.md. It must not know where
//! the times come from.

use super::finding::Findings;
use crate::model::Timestamp;

const CLOCK: &str = "clock";

/// `Date` has whole seconds, and a question takes its time.
const CLOSE_MICROS: u64 = 3_000_000;

/// What times in tokens are allowed to be off by, at the least.
const FAR_MICROS: u64 = 60_000_000;

/// Somebody's time, and ours when it was heard.
pub(super) struct Reading {
    pub(super) whose: &'static str,
    pub(super) theirs: Timestamp,
    pub(super) ours: Timestamp,
}

pub(super) fn check(readings: &[Reading], findings: &mut Findings) {
    for Reading { whose, theirs, ours } in readings {
        let off = theirs.micros().abs_diff(ours.micros());
        let seconds = off / 1_000_000;
        let way = if theirs > ours { "ahead of" } else { "behind" };
        let remedy = "have all machines follow the same time servers (chrony, systemd-timesyncd)";
        if off > FAR_MICROS {
            let text = format!(
                "{whose} is {seconds} s {way} this machine: good tokens are refused, and ended \
                 ones may live on"
            );
            findings.problem(CLOCK, text, remedy);
        } else if off > CLOSE_MICROS {
            findings.warning(CLOCK, format!("{whose} is {seconds} s {way} this machine"), remedy);
        } else {
            findings.ok(CLOCK, format!("{whose} and this machine agree"));
        }
    }
    if readings.is_empty() {
        let text = "nobody tells a time to compare with";
        findings.not_checked(CLOCK, text, "mend what else is told here, and run doctor again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_seconds_and_not_by_a_minute() {
        let told = |theirs: i64| {
            let ours = Timestamp::from_seconds(1_000);
            let theirs = Timestamp::from_seconds(theirs);
            let (mut findings, mut text) = (Findings::default(), Vec::new());
            check(&[Reading { whose: "the database", theirs, ours }], &mut findings);
            findings.write(&mut text).unwrap();
            String::from_utf8(text).unwrap().lines().next().unwrap().to_owned()
        };
        assert!(told(1_001).starts_with("ok           clock"));
        assert_eq!(
            told(1_010),
            "warning      clock             the database is 10 s ahead of this machine"
        );
        assert!(told(900).starts_with(
            "problem      clock             the database is 100 s behind this machine"
        ));
        let (mut findings, mut text) = (Findings::default(), Vec::new());
        check(&[], &mut findings);
        findings.write(&mut text).unwrap();
        assert!(text.starts_with(b"not checked  clock"));
    }
}
