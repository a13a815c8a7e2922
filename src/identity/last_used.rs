//! Notes when opaque tokens were last used, beside the requests that use them.
//!
//! A bounded queue that drops rather than waits: a lost note is written with the next use. It
//! must not know what the time is good for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::model::{LoginId, Timestamp};
use crate::store::Store;

use super::outage::Outage;
use super::stop::told_to_stop;

const QUEUE: usize = 1024;

/// At most this often is a token's time written.
const LONGEST_INTERVAL: Duration = Duration::from_hours(1);

/// Where uses are noted.
pub(super) struct LastUsed {
    notes: mpsc::Sender<(LoginId, Timestamp)>,
    interval: Duration,
}

/// Writes what was noted. To be run beside the listeners; without it uses go unnoticed.
pub struct LastUsedWriter {
    notes: mpsc::Receiver<(LoginId, Timestamp)>,
    store: Store,
    outage: Arc<Outage>,
}

/// `idle`: after this time without use a token ends.
pub(super) fn last_used(
    store: Store,
    outage: Arc<Outage>,
    idle: Option<Duration>,
) -> (LastUsed, LastUsedWriter) {
    let (sender, notes) = mpsc::channel(QUEUE);
    // What is not written for an interval looks idle that much longer than it is.
    let interval = idle.map_or(LONGEST_INTERVAL, |idle| (idle / 8).min(LONGEST_INTERVAL));
    (LastUsed { notes: sender, interval }, LastUsedWriter { notes, store, outage })
}

impl LastUsed {
    /// Notes a use, if the last written one is old enough.
    pub(super) fn note(&self, login: LoginId, written: Timestamp, now: Timestamp) {
        if now.since(written) >= self.interval {
            let _ = self.notes.try_send((login, now));
        }
    }
}

impl LastUsedWriter {
    /// Writes until `stop` says `true` or goes away.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = told_to_stop(&mut stop) => return,
                note = self.notes.recv() => {
                    let Some((login, at)) = note else { return };
                    // Lost with the database away, and written with the next use.
                    let _ = self.outage.note(Box::pin(self.store.touch_login(login, at)).await);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(idle: Option<Duration>) -> (LastUsed, mpsc::Receiver<(LoginId, Timestamp)>) {
        let (notes, receiver) = mpsc::channel(1);
        let interval = idle.map_or(LONGEST_INTERVAL, |idle| (idle / 8).min(LONGEST_INTERVAL));
        (LastUsed { notes, interval }, receiver)
    }

    #[test]
    fn a_use_is_noted_once_an_hour_and_a_full_queue_holds_nobody() {
        let (uses, mut notes) = channel(None);
        let (login, start) = (LoginId([1; 16]), Timestamp::from_seconds(0));
        uses.note(login, start, Timestamp::from_seconds(3599));
        assert!(notes.try_recv().is_err());
        uses.note(login, start, Timestamp::from_seconds(3600));
        uses.note(login, start, Timestamp::from_seconds(3601));
        assert_eq!(notes.try_recv(), Ok((login, Timestamp::from_seconds(3600))));
        assert!(notes.try_recv().is_err());
    }

    #[test]
    fn a_short_idle_time_wants_more_notes() {
        let (uses, mut notes) = channel(Some(Duration::from_secs(80)));
        let (login, start) = (LoginId([1; 16]), Timestamp::from_seconds(0));
        uses.note(login, start, Timestamp::from_seconds(10));
        assert!(notes.try_recv().is_ok());
    }
}
