//! What became of spans.
//!
//! It must not know what a span is.

use prometheus::{IntCounter, IntCounterVec};

use super::maker::Maker;

/// Spans that reached the collector, and those that did not.
#[derive(Debug)]
pub struct TraceSeries {
    exported: IntCounter,
    dropped: IntCounterVec,
}

impl TraceSeries {
    pub(super) fn new(make: &Maker) -> Self {
        Self {
            exported: make.counter("traces_exported_total", "Spans that the collector took."),
            dropped: make.counters(
                "traces_dropped_total",
                "Spans that did not reach the collector.",
                &["reason"],
            ),
        }
    }

    /// The collector took them.
    pub(super) fn exported(&self, spans: usize) {
        self.exported.inc_by(whole(spans));
    }

    /// It will never see them.
    pub(super) fn dropped(&self, reason: &'static str, spans: usize) {
        if spans > 0 {
            self.dropped.with_label_values(&[reason]).inc_by(whole(spans));
        }
    }
}

fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
