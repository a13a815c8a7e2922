//! What is told of upstreams: how long they take, and which of their servers are in use.
//!
//! An upstream asks once for its handles and keeps them. It must not know why a server is left
//! out.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::maker::Maker;
use super::metrics::REQUEST_BUCKETS;

/// The series of all upstreams.
pub(super) struct UpstreamSeries {
    durations: HistogramVec,
    retries: IntCounterVec,
    refused: IntCounterVec,
    ejections: IntCounterVec,
    up: IntGaugeVec,
    servers: IntGaugeVec,
}

/// The handles of one upstream.
#[derive(Debug, Clone)]
pub struct UpstreamMetrics {
    /// From the request sent to the answer's head, in seconds.
    pub durations: Histogram,
    /// Requests sent once more.
    pub retries: IntCounter,
    /// Requests refused because there were as many as may be.
    pub refused: IntCounter,
    /// How often a server was left out after failures.
    pub ejections: IntCounter,
    /// 1 if some server of it can be reached.
    pub up: IntGauge,
    /// Servers that get requests.
    pub servers_in: IntGauge,
    /// Servers that are left out, for failures or for what they said when asked.
    pub servers_out: IntGauge,
}

impl UpstreamSeries {
    pub(super) fn new(make: &Maker) -> Self {
        let labels = &["upstream"];
        Self {
            durations: make.histograms(
                "upstream_request_duration_seconds",
                "From the request sent to the answer's head.",
                &REQUEST_BUCKETS,
                labels,
            ),
            retries: make.counters("upstream_retries_total", "Requests sent once more.", labels),
            refused: make.counters(
                "upstream_refused_total",
                "Requests refused because there were as many under way as may be.",
                labels,
            ),
            ejections: make.counters(
                "upstream_ejections_total",
                "Servers that were left out for a while after failures.",
                labels,
            ),
            up: make.gauges("upstream_up", "1 if some server of it can be reached.", labels),
            servers: make.gauges(
                "upstream_servers",
                "Servers that get requests (in), and that are left out (out).",
                &["upstream", "state"],
            ),
        }
    }

    pub(super) fn of(&self, name: &str) -> UpstreamMetrics {
        UpstreamMetrics {
            durations: self.durations.with_label_values(&[name]),
            retries: self.retries.with_label_values(&[name]),
            refused: self.refused.with_label_values(&[name]),
            ejections: self.ejections.with_label_values(&[name]),
            up: self.up.with_label_values(&[name]),
            servers_in: self.servers.with_label_values(&[name, "in"]),
            servers_out: self.servers.with_label_values(&[name, "out"]),
        }
    }
}
