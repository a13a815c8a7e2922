//! How far the import is: a bar on a terminal, a line now and then elsewhere.
//!
//! Written to standard error, so that the report can be kept by itself.

use std::io::{IsTerminal as _, Write as _};

use crate::model::Timestamp;

/// Users between two lines where there is no terminal.
const STEP: u64 = 100_000;
const WIDTH: u64 = 30;

/// Where progress is shown.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    /// A bar that is drawn over and over.
    Bar,
    /// A line at every hundred thousand users.
    Lines,
    /// Nowhere.
    Silent,
}

impl Progress {
    /// A bar if somebody watches.
    #[must_use]
    pub fn on_terminal() -> Self {
        if std::io::stderr().is_terminal() { Self::Bar } else { Self::Lines }
    }

    /// `done` of `all` users after some time; `before` at the last call. A terminal that went
    /// away is no reason to stop.
    pub(super) fn show(self, before: u64, done: u64, all: u64, since: Timestamp, now: Timestamp) {
        let all = all.max(done).max(1);
        let millis = u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = done.saturating_mul(1000) / millis;
        let percent = done * 100 / all;
        let mut err = std::io::stderr().lock();
        let _ = match self {
            Self::Bar => {
                let full = usize::try_from(done * WIDTH / all).unwrap_or_default();
                let (full, rest) = ("#".repeat(full), ".".repeat(30_usize.saturating_sub(full)));
                write!(err, "\r[{full}{rest}] {percent:>3}% {done} of {all} users, {rate}/s ")
                    .and_then(|()| err.flush())
            }
            Self::Lines if done / STEP > before / STEP => {
                writeln!(err, "{done} of {all} users ({percent}%), {rate}/s")
            }
            Self::Lines | Self::Silent => Ok(()),
        };
    }

    /// Leaves the bar's line.
    pub(super) fn end(self) {
        if matches!(self, Self::Bar) {
            let _ = writeln!(std::io::stderr());
        }
    }
}
