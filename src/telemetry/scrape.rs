//! What is read, and who is asked, when somebody scrapes.
//!
//! Most numbers of this kind are kept by some part anyway and only read. A few must be asked for
//! first, of the database say: whoever scrapes waits for them, and no request does. It must not
//! know what is asked.

use std::pin::Pin;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::RwLock;
use prometheus::TextEncoder;

use super::metrics::Metrics;
use super::pulled::{Kind, Pulled};

/// What has to be asked of somebody before a scrape is answered may take this long; what is late
/// is told at the next one.
const ASKING_TIME: Duration = Duration::from_secs(2);

/// Asks somebody for what a scrape will tell.
type Ask = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Reads how many lines a log has lost.
pub type LogLosses = Box<dyn Fn() -> u64 + Send + Sync>;

/// Who is to be asked before a scrape is answered.
pub(super) type Asking = RwLock<Vec<Ask>>;

impl Metrics {
    /// Has the age of the revocation set read at each scrape: a follower that stands still
    /// would otherwise leave its last good number standing.
    pub fn watch_revocation_age(&self, age: impl Fn() -> Duration + Send + Sync + 'static) {
        self.watch(
            "portcullis_revocation_set_age_seconds",
            "How long ago the log of revocations was read to its end.",
            move || age().as_secs_f64(),
        );
    }

    /// Has a number read at each scrape. The name in full; the second of a name is dropped.
    pub fn watch(&self, name: &str, help: &str, read: impl Fn() -> f64 + Send + Sync + 'static) {
        self.pull(name, Pulled::one(Kind::Gauge, (name, help), read));
    }

    /// The same for something that is counted.
    #[expect(clippy::cast_precision_loss, reason = "a metric is a floating-point number")]
    pub fn watch_count(
        &self,
        name: &str,
        help: &str,
        read: impl Fn() -> usize + Send + Sync + 'static,
    ) {
        self.watch(name, help, move || read() as f64);
    }

    /// The same for a number that only grows.
    #[expect(clippy::cast_precision_loss, reason = "a metric is a floating-point number")]
    pub fn watch_total(
        &self,
        name: &str,
        help: &str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        self.pull(name, Pulled::one(Kind::Counter, (name, help), move || read() as f64));
    }

    /// The same for one number for each value of a label, of which there are few.
    pub fn watch_each(
        &self,
        name: &str,
        help: &str,
        label: &'static str,
        read: impl Fn() -> Vec<(String, f64)> + Send + Sync + 'static,
    ) {
        self.pull(name, Pulled::each(Kind::Gauge, (name, help), label, read));
    }

    /// Has the losses of these logs read at each scrape.
    #[expect(clippy::cast_precision_loss, reason = "a metric is a floating-point number")]
    pub fn watch_losses(&self, logs: Vec<(&'static str, LogLosses)>) {
        let name = "portcullis_log_lines_dropped_total";
        let help = "Lines and entries that a log has lost: it could not be written fast enough.";
        let read = move || {
            let losses = logs.iter().map(|(log, read)| ((*log).to_owned(), read() as f64));
            losses.collect()
        };
        self.pull(name, Pulled::each(Kind::Counter, (name, help), "log", read));
    }

    fn pull(&self, name: &str, pulled: prometheus::Result<Pulled>) {
        let watched = pulled.and_then(|pulled| self.registry.register(Box::new(pulled)));
        if let Err(error) = watched {
            tracing::error!(metric = name, %error, "a metric cannot be watched");
        }
    }

    /// Has somebody asked, before a scrape is answered, for what it tells.
    pub fn ask_first<F>(&self, ask: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.asking.write().push(Box::new(move || Box::pin(ask())));
    }

    /// Asks everybody, all at once.
    pub async fn ask(&self) {
        let asked: Vec<_> = self.asking.read().iter().map(|ask| ask()).collect();
        let _ = tokio::time::timeout(ASKING_TIME, join_all(asked)).await;
    }

    /// The text that Prometheus reads (`text/plain; version=0.0.4`).
    #[must_use]
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(%error, "the metrics cannot be written");
            String::new()
        })
    }
}
