//! The counters of each route, found without asking the registry.
//!
//! The registry hashes every label on each look-up; a request needs three series, always
//! the same few for a route. So each route keeps its own short list. It must not know what
//! the series are called.

use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::RwLock;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::maker::Maker;
use super::metrics::REQUEST_BUCKETS;
use super::record::{Decision, RequestRecord};

/// More routes than any configuration has; the rest are counted together.
const MAX_ROUTES: usize = 20_000;

/// The listener that clients reach; the other one is not counted.
const LISTENER: &str = "traffic";

/// The series of all routes.
pub(super) struct RouteSeries {
    requests: IntCounterVec,
    durations: HistogramVec,
    decisions: IntCounterVec,
    routes: RwLock<HashMap<Box<str>, Arc<Series>>>,
}

/// The series of one route; a handful each, so that walking along them is fastest.
#[derive(Default)]
struct Series {
    answers: RwLock<Vec<Answers>>,
    decisions: RwLock<Vec<Decisions>>,
}

struct Answers {
    method: &'static str,
    status: u16,
    count: IntCounter,
    duration: Histogram,
}

struct Decisions {
    credential: &'static str,
    decision: Decision,
    reason: &'static str,
    mode: &'static str,
    count: IntCounter,
}

impl RouteSeries {
    /// With the series that a registry keeps.
    pub(super) fn made_by(make: &Maker) -> Self {
        let answers = ["listener", "route", "method", "code"];
        Self::new(
            make.counters("http_requests_total", "Requests answered.", &answers),
            make.histograms(
                "http_request_duration_seconds",
                "From the first byte of the head to the last of the answer.",
                &REQUEST_BUCKETS,
                &answers,
            ),
            make.counters(
                "auth_decisions_total",
                "What the gate decided, and why.",
                &["route", "credential", "decision", "reason", "mode"],
            ),
        )
    }

    fn new(requests: IntCounterVec, durations: HistogramVec, decisions: IntCounterVec) -> Self {
        Self { requests, durations, decisions, routes: RwLock::default() }
    }

    pub(super) fn count(&self, record: &RequestRecord<'_>) {
        let name = record.route.unwrap_or("none");
        let route = self.route(name);
        self.count_answer(&route, name, record);
        if record.decision != Decision::Local {
            self.count_decision(&route, name, record);
        }
    }

    fn route(&self, name: &str) -> Arc<Series> {
        if let Some(route) = self.routes.read().get(name) {
            return Arc::clone(route);
        }
        let mut routes = self.routes.write();
        let name = if routes.len() < MAX_ROUTES { name } else { "_OTHER" };
        Arc::clone(routes.entry(name.into()).or_default())
    }

    fn count_answer(&self, route: &Series, name: &str, record: &RequestRecord<'_>) {
        let (method, status) = (method_label(record.method), status_label(record.status));
        let is_it = |a: &Answers| a.status == status && a.method == method;
        let observe = |answers: &Answers| {
            answers.count.inc();
            answers.duration.observe(record.duration.as_secs_f64());
        };
        if let Some(answers) = route.answers.read().iter().find(|a| is_it(a)) {
            return observe(answers);
        }
        let code = status.to_string();
        let labels = [LISTENER, name, method, code.as_str()];
        let answers = Answers {
            method,
            status,
            count: self.requests.with_label_values(&labels),
            duration: self.durations.with_label_values(&labels),
        };
        observe(&answers);
        let mut all = route.answers.write();
        if !all.iter().any(is_it) {
            all.push(answers);
        }
    }

    fn count_decision(&self, route: &Series, name: &str, record: &RequestRecord<'_>) {
        let is_it = |d: &Decisions| {
            d.decision == record.decision
                && d.credential == record.credential
                && d.reason == record.reason
                && d.mode == record.mode()
        };
        if let Some(decisions) = route.decisions.read().iter().find(|d| is_it(d)) {
            return decisions.count.inc();
        }
        let RequestRecord { credential, decision, reason, .. } = *record;
        let mode = record.mode();
        let labels = [name, credential, decision.as_str(), reason, mode];
        let count = self.decisions.with_label_values(&labels);
        count.inc();
        let mut all = route.decisions.write();
        if !all.iter().any(is_it) {
            all.push(Decisions { credential, decision, reason, mode, count });
        }
    }
}

/// A known method, or `_OTHER`: clients make up what they like.
/// The method, if it is one that everybody knows.
pub(super) fn method_label(method: &str) -> &'static str {
    const KNOWN: [&str; 9] =
        ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}

/// A status of HTTP, or 0: upstreams answer what they like.
fn status_label(status: u16) -> u16 {
    if (100..600).contains(&status) { status } else { 0 }
}
