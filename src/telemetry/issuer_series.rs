//! What is counted of trusted issuers whose keys are fetched.
//!
//! Their names come from the settings: a handful. It must not know how keys are fetched.

use std::time::Duration;

use prometheus::{GaugeVec, IntCounterVec};

use super::maker::Maker;

/// The series of all issuers.
pub struct IssuerSeries {
    asked: IntCounterVec,
    age: GaugeVec,
}

impl IssuerSeries {
    pub(super) fn new(make: &Maker) -> Self {
        Self {
            asked: make.counters(
                "jwks_refresh_total",
                "Key sets of trusted issuers that were asked for.",
                &["issuer", "result"],
            ),
            age: make.real_gauges(
                "jwks_age_seconds",
                "How old a trusted issuer's keys were when they were last asked for.",
                &["issuer"],
            ),
        }
    }

    /// There is this issuer: what comes of asking it is counted from nought on.
    pub fn known(&self, issuer: &str) {
        for result in ["success", "error"] {
            self.asked.with_label_values(&[issuer, result]);
        }
    }

    /// An issuer was asked for its key set; `result` is `success` or `error`.
    pub fn asked(&self, issuer: &str, result: &'static str) {
        self.asked.with_label_values(&[issuer, result]).inc();
    }

    /// How old an issuer's keys are; `None`: there are none, which is no number.
    pub fn age(&self, issuer: &str, age: Option<Duration>) {
        let age = age.map_or(f64::NAN, |age| age.as_secs_f64());
        self.age.with_label_values(&[issuer]).set(age);
    }
}
