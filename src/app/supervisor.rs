//! Tells the service manager how the process fares, in systemd's words (`sd_notify(3)`).
//!
//! READY when connections are accepted, RELOADING around a reload, STOPPING at the end, and
//! WATCHDOG as long as the runtime turns. Nobody is told where `$NOTIFY_SOCKET` is not set: this
//! variable and `$WATCHDOG_USEC` are systemd's protocol, which its crate reads. A manager that
//! does not listen costs a line in the log and at most a moment, never the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How long a message may take that something waits for.
const MOMENT: Duration = Duration::from_secs(1);

/// While the database is waited for, the manager is asked this often for more time, and for this
/// much: its own limit is for a start that hangs.
const ASK_EVERY: Duration = Duration::from_secs(10);
const MORE_TIME_MICROS: u32 = 30_000_000;

/// Whoever started the process and watches it.
#[derive(Debug, Clone, Default)]
pub(super) struct Supervisor {
    /// Whether the last message was lost: told once, not for each.
    deaf: Arc<AtomicBool>,
}

impl Supervisor {
    /// Connections are accepted.
    pub(super) async fn ready(&self) {
        self.tell(vec![NotifyState::Ready, NotifyState::Status("serving")]).await;
    }

    /// The configuration is being read anew; [`Self::reloaded`] must follow.
    pub(super) async fn reloading(&self) {
        // Both in one message, or a reload counts as failed.
        let Ok(now) = NotifyState::monotonic_usec_now() else { return };
        self.tell(vec![NotifyState::Reloading, now]).await;
    }

    /// The reload is over. There is no word for one that changed nothing but the status.
    pub(super) async fn reloaded(&self, good: bool) {
        let status = if good {
            "serving"
        } else {
            "serving; the changed configuration has faults and is not used"
        };
        self.tell(vec![NotifyState::Ready, NotifyState::Status(status)]).await;
    }

    /// The end was asked for.
    pub(super) async fn stopping(&self) {
        self.tell(vec![NotifyState::Stopping, NotifyState::Status("finishing requests")]).await;
    }

    /// Asks for more time again and again, until it is dropped.
    pub(super) async fn ask_for_time(&self) {
        let mut ticks = interval(ASK_EVERY);
        loop {
            ticks.tick().await;
            let more = NotifyState::ExtendTimeoutUsec(MORE_TIME_MICROS);
            self.tell(vec![more, NotifyState::Status("starting")]).await;
        }
    }

    /// Gives a sign of life twice in the time after which the manager would take us for dead;
    /// returns at once if it does not watch.
    pub(super) async fn beat(&self) {
        let Some(every) = sd_notify::watchdog_enabled().map(|limit| limit / 2) else { return };
        if every.is_zero() {
            return;
        }
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tell(vec![NotifyState::Watchdog]).await;
        }
    }

    /// Sending waits while the manager's queue is full, so a thread does that.
    async fn tell(&self, states: Vec<NotifyState<'static>>) {
        let sent = tokio::task::spawn_blocking(move || sd_notify::notify(&states));
        let error = match timeout(MOMENT, sent).await {
            Ok(Ok(Ok(()))) => {
                self.deaf.store(false, Ordering::Relaxed);
                return;
            }
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(late) => late.to_string(),
        };
        if !self.deaf.swap(true, Ordering::Relaxed) {
            tracing::warn!(error, "the service manager cannot be told (NOTIFY_SOCKET)");
        }
    }
}
