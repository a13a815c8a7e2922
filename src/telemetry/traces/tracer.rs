//! Begins and ends traces. What is recorded goes to a bounded queue, and a request never waits
//! for it.
//!
//! It must not know who sends what is queued.

use std::sync::Arc;

use http::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanKind, TraceFlags, TraceState};
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample as _, SpanData,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::spans::{self, Seen};
use super::trace::{Arrived, Trace, fresh_span, named};
use crate::config::{Traces, UntrustedParent};
use crate::telemetry::record::RequestRecord;
use crate::telemetry::trace_series::TraceSeries;

/// Whose word a request's headers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentBy {
    /// A trusted proxy's: its trace goes on.
    TrustedProxy,
    /// Anybody's: a new trace begins.
    Stranger,
}

/// Begins and ends traces.
#[derive(Debug)]
pub struct Tracer {
    sampler: Sampler,
    parent_based: bool,
    links_strangers: bool,
    tells_user: bool,
    queue: mpsc::Sender<Vec<SpanData>>,
    series: Arc<TraceSeries>,
}

impl Tracer {
    pub(super) fn new(
        settings: &Traces,
        queue: mpsc::Sender<Vec<SpanData>>,
        series: Arc<TraceSeries>,
    ) -> Self {
        Self {
            sampler: Sampler::TraceIdRatioBased(settings.sample_ratio),
            parent_based: settings.parent_based,
            links_strangers: settings.untrusted_parent == UntrustedParent::Link,
            tells_user: settings.user_id,
            queue,
            series,
        }
    }

    /// The place of a request in a trace.
    #[must_use]
    pub fn begin(&self, headers: &HeaderMap, sent_by: SentBy, arrived: Arrived) -> Trace {
        let named = named(headers);
        let (parent, link) = match sent_by {
            SentBy::TrustedProxy => (named, None),
            SentBy::Stranger => {
                (None, named.filter(|_| self.links_strangers).as_ref().map(stripped))
            }
        };
        let id = match &parent {
            Some(parent) => parent.trace_id(),
            None => RandomIdGenerator::default().new_trace_id(),
        };
        let is_sampled = match &parent {
            Some(parent) if self.parent_based => parent.is_sampled(),
            _ => {
                let kind = SpanKind::Server;
                let sampled = self.sampler.should_sample(None, id, "", &kind, &[], &[]);
                sampled.decision == SamplingDecision::RecordAndSample
            }
        };
        Trace {
            id,
            server: fresh_span(),
            parent: parent.as_ref().map(SpanContext::span_id),
            is_sampled,
            state: parent.map(|parent| parent.trace_state().clone()).unwrap_or_default(),
            link,
            arrived,
            begun: Instant::now(),
            endpoint: None,
            attempts: Vec::new(),
        }
    }

    /// Queues the spans of a finished request; drops them if the queue is full.
    pub fn end(&self, trace: &Trace, record: &RequestRecord<'_>, seen: &Seen<'_>) {
        if !trace.is_sampled {
            return;
        }
        match self.queue.try_reserve() {
            Ok(place) => place.send(spans::of(trace, record, seen, self.tells_user)),
            Err(mpsc::error::TrySendError::Full(())) => {
                self.series.dropped("queue_full", spans::count(trace, seen));
            }
            Err(mpsc::error::TrySendError::Closed(())) => {
                self.series.dropped("stopped", spans::count(trace, seen));
            }
        }
    }
}

/// Of a stranger's span its names only.
fn stripped(context: &SpanContext) -> SpanContext {
    let flags = TraceFlags::NOT_SAMPLED;
    SpanContext::new(context.trace_id(), context.span_id(), flags, true, TraceState::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use crate::telemetry::Metrics;
    use crate::telemetry::record::sample;

    fn arrived() -> Arrived {
        Arrived { at: Timestamp::from_micros(1_700_000_000_000_042), since: Instant::now() }
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_never_waits() {
        let metrics = Metrics::new();
        let (queue, mut queued) = mpsc::channel(1);
        let tracer = Tracer::new(&Traces::default(), queue, Arc::clone(metrics.traces()));
        let seen = Seen { judging: Some(std::time::Duration::ZERO), ..Seen::default() };
        for _ in 0..3 {
            let trace = tracer.begin(&HeaderMap::new(), SentBy::Stranger, arrived());
            tracer.end(&trace, &sample(), &seen);
        }
        assert_eq!(queued.try_recv().unwrap().len(), 2);
        drop(queued);
        let trace = tracer.begin(&HeaderMap::new(), SentBy::Stranger, arrived());
        tracer.end(&trace, &sample(), &seen);
        let text = metrics.render();
        for line in [
            r#"portcullis_traces_dropped_total{reason="queue_full"} 4"#,
            r#"portcullis_traces_dropped_total{reason="stopped"} 2"#,
        ] {
            assert!(text.lines().any(|seen| seen == line), "{text}");
        }
    }

    #[test]
    fn a_part_of_the_traces_is_recorded_where_no_more_is_wanted() {
        let settings = Traces { sample_ratio: 0.25, ..Traces::default() };
        let (queue, _queued) = mpsc::channel(1);
        let tracer = Tracer::new(&settings, queue, Arc::clone(Metrics::new().traces()));
        let begin = || tracer.begin(&HeaderMap::new(), SentBy::Stranger, arrived());
        let sampled = (0..4000).filter(|_| begin().is_sampled).count();
        assert!((800..1200).contains(&sampled), "{sampled}");
    }
}
