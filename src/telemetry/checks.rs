//! What checks of credentials cost, found without asking the registry.
//!
//! Few kinds of credentials and few places to ask: one series for each pair, held from the
//! start. It must not know how a credential is checked.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::record::{Check, Tier};

/// The kinds of credentials that can be looked at.
const CREDENTIALS: [&str; 3] = ["jwt", "opaque", "basic"];

/// The series of all checks.
pub(super) struct CheckSeries {
    durations: [[Histogram; Tier::ALL.len()]; CREDENTIALS.len()],
    hits: IntCounter,
    misses: IntCounter,
    caches: IntCounterVec,
}

impl CheckSeries {
    /// `durations` by credential and tier; `caches` by tier and result.
    pub(super) fn new(durations: &HistogramVec, caches: IntCounterVec) -> Self {
        Self {
            durations: CREDENTIALS.map(|credential| {
                Tier::ALL.map(|tier| durations.with_label_values(&[credential, tier.as_str()]))
            }),
            hits: caches.with_label_values(&[Tier::Memory.as_str(), "hit"]),
            misses: caches.with_label_values(&[Tier::Memory.as_str(), "miss"]),
            caches,
        }
    }

    /// A credential was looked at.
    pub(super) fn count(&self, credential: &str, check: Check) {
        match check.tier {
            Tier::Memory => self.hits.inc(),
            Tier::Keys | Tier::Shared | Tier::Database => self.misses.inc(),
        }
        let kind = CREDENTIALS.iter().position(|kind| *kind == credential);
        if let Some(durations) = kind.and_then(|kind| self.durations.get(kind)) {
            durations[check.tier as usize].observe(check.took.as_secs_f64());
        }
    }

    /// The counter of one cache and one result.
    pub(super) fn cache(&self, tier: &str, result: &str) -> IntCounter {
        self.caches.with_label_values(&[tier, result])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::metrics::Metrics;
    use super::super::record::{RequestRecord, sample};
    use super::*;

    #[test]
    fn what_memory_knew_is_a_hit_and_anything_beyond_it_a_miss() {
        let metrics = Metrics::new();
        metrics.request(&sample());
        for tier in [Tier::Keys, Tier::Shared, Tier::Database] {
            let check = Some(Check { tier, took: Duration::from_millis(1) });
            metrics.request(&RequestRecord { credential: "opaque", check, ..sample() });
        }
        metrics.request(&RequestRecord { credential: "none", check: None, ..sample() });
        let text = metrics.render();
        for line in [
            r#"portcullis_token_cache_requests_total{result="hit",tier="l1"} 1"#,
            r#"portcullis_token_cache_requests_total{result="miss",tier="l1"} 3"#,
            r#"portcullis_auth_check_duration_seconds_count{credential="jwt",tier="l1"} 1"#,
            r#"portcullis_auth_check_duration_seconds_count{credential="opaque",tier="jwks"} 1"#,
            r#"portcullis_auth_check_duration_seconds_count{credential="opaque",tier="redis"} 1"#,
            r#"portcullis_auth_check_duration_seconds_count{credential="opaque",tier="db"} 1"#,
            r#"portcullis_auth_check_duration_seconds_count{credential="opaque",tier="l1"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
