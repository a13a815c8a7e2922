//! What is told of certificates: when they end, and whether renewed ones could be used.
//!
//! It must not know files or TLS.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec};

use super::maker::Maker;

/// The series of all certificates.
pub(super) struct CertificateSeries {
    expiry: IntGaugeVec,
    reloads: IntCounterVec,
    current: IntGauge,
}

impl CertificateSeries {
    pub(super) fn new(make: &Maker) -> Self {
        let current = make
            .gauge("tls_certificates_current", "0 if the files hold what cannot be used, else 1.");
        current.set(1);
        let reloads = make.counters(
            "tls_certificate_reloads_total",
            "Attempts to take changed certificates into use.",
            &["outcome"],
        );
        for outcome in ["success", "failure"] {
            reloads.with_label_values(&[outcome]);
        }
        Self {
            expiry: make.gauges(
                "tls_certificate_expiry_seconds",
                "When the certificate in use ends, in seconds since 1970.",
                &["sni"],
            ),
            reloads,
            current,
        }
    }

    /// Names and ends of those in use; what was told before is forgotten.
    pub(super) fn expire(&self, all: impl Iterator<Item = (String, i64)>) {
        self.expiry.reset();
        for (name, expires) in all {
            self.expiry.with_label_values(&[&name]).set(expires);
        }
        self.current.set(1);
    }

    pub(super) fn reloaded(&self, good: bool) {
        let outcome = if good { "success" } else { "failure" };
        self.reloads.with_label_values(&[outcome]).inc();
        self.current.set(i64::from(good));
    }
}
