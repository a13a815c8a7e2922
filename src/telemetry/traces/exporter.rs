//! Carries spans from the queue to the collector, in packages, as long as there are any.
//!
//! A collector that is away costs spans, which are counted, and never requests. It must not know
//! what spans tell.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::trace::SpanData;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::collector::{Collector, Package, SendError};
use crate::telemetry::trace_series::TraceSeries;

/// How long spans gather before they are sent: waking for each request would cost it time.
const GATHER: Duration = Duration::from_millis(200);

/// Spans in a package, give or take those of one request.
const MOST_SPANS: usize = 1024;

/// How long to wait before a package is sent again, each time.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Carries spans to the collector.
pub struct Exporter {
    queue: mpsc::Receiver<Vec<SpanData>>,
    collector: Collector,
    series: Arc<TraceSeries>,
    /// What the end may take.
    farewell: Duration,
    /// Spans of the package that is on its way.
    in_hand: usize,
    /// Whether the last package came to nothing; told once.
    is_away: bool,
}

impl Exporter {
    pub(super) fn new(
        queue: mpsc::Receiver<Vec<SpanData>>,
        collector: Collector,
        series: Arc<TraceSeries>,
        farewell: Duration,
    ) -> Self {
        Self { queue, collector, series, farewell, in_hand: 0, is_away: false }
    }

    /// Carries spans until `stop` says `true` or goes away; then what is queued is still sent, once
    /// and within the time that a stop has.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let (limit, stopping) = (self.farewell, stop.clone());
        let too_late = async {
            let _ = stop.wait_for(|stop| *stop).await;
            sleep(limit).await;
        };
        tokio::select! {
            () = self.carry(stopping) => {}
            () = too_late => {}
        }
        self.queue.close();
        let mut left = self.in_hand;
        while let Ok(spans) = self.queue.try_recv() {
            left += spans.len();
        }
        self.series.dropped("stopped", left);
        if left > 0 {
            tracing::warn!(spans = left, "the last spans did not reach the collector");
        }
    }

    async fn carry(&mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let first = tokio::select! {
                biased;
                first = self.queue.recv() => first,
                _ = stop.wait_for(|stop| *stop) => None,
            };
            let Some(first) = first else { return };
            self.in_hand = first.len();
            tokio::select! {
                () = sleep(GATHER) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            let mut spans = first;
            while spans.len() < MOST_SPANS
                && let Ok(more) = self.queue.try_recv()
            {
                spans.extend(more);
                self.in_hand = spans.len();
            }
            let package = self.collector.pack(spans);
            self.deliver(&package, &mut stop).await;
            self.in_hand = 0;
        }
    }

    /// Sends a package, again if that may help; not again while stopping.
    async fn deliver(&mut self, package: &Package, stop: &mut watch::Receiver<bool>) {
        let mut pauses = PAUSES.into_iter();
        loop {
            let error = match self.collector.send(package).await {
                Ok(unwanted) => return self.delivered(package, unwanted),
                Err(error) => error,
            };
            let (Some(least), Some(pause)) = (error.pause(), pauses.next()) else {
                return self.lost(package, &error);
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return self.lost(package, &error),
                () = sleep(pause.max(least)) => {}
            }
        }
    }

    fn delivered(&mut self, package: &Package, unwanted: usize) {
        if std::mem::take(&mut self.is_away) {
            tracing::info!(collector = self.collector.name(), "traces reach the collector again");
        }
        self.series.exported(package.spans - unwanted);
        self.series.dropped("rejected", unwanted);
    }

    fn lost(&mut self, package: &Package, error: &SendError) {
        let reason = match error {
            SendError::Connection(_) | SendError::Http(_) | SendError::Slow => "unreachable",
            SendError::Busy(..) => "busy",
            SendError::Refused(_) => "refused",
        };
        self.series.dropped(reason, package.spans);
        if !std::mem::replace(&mut self.is_away, true) {
            let collector = self.collector.name();
            tracing::warn!(collector, %error, "traces do not reach the collector and are dropped");
        }
    }
}
