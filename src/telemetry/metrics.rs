//! Everything that is counted, under the names of `docs/metrics.md`.
//!
//! One registry of our own, so that tests do not meet. Labels have bounded values only:
//! names out of the configuration and words of closed lists, never paths or users. It must
//! not know who scrapes it.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
};

use super::certificates::CertificateSeries;
use super::checks::CheckSeries;
use super::issuer_series::IssuerSeries;
use super::maker::Maker;
use super::process;
use super::record::RequestRecord;
use super::scrape::Asking;
use super::series::RouteSeries;
use super::trace_series::TraceSeries;
use super::upstreams::{UpstreamMetrics, UpstreamSeries};

/// Seconds; OpenTelemetry's, with finer ones below for a proxy's own share.
pub(super) const REQUEST_BUCKETS: [f64; 17] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];

/// Seconds: from a look into memory to a database in trouble.
const CHECK_BUCKETS: [f64; 13] =
    [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];

/// Seconds: from a hint over a good network to a database that was away for as long as may be.
const PROPAGATION_BUCKETS: [f64; 12] =
    [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 5.0, 60.0];

/// Why connections and requests are refused before the gate sees them.
const SERVER_REFUSALS: [&str; 13] = [
    "connection_limit",
    "address_limit",
    "not_a_proxy",
    "proxy_header",
    "tls_handshake",
    "abandoned_streams",
    "bad_request",
    "request_timeout",
    "head_too_large",
    "method_not_allowed",
    "version_not_supported",
    "expectation_failed",
    "misdirected_request",
];

/// All metrics.
pub struct Metrics {
    pub(super) registry: Registry,
    pub(super) asking: Asking,
    ready: IntGauge,
    routes: RouteSeries,
    in_flight: IntGauge,
    connections: IntGauge,
    refused: IntCounterVec,
    upstreams: UpstreamSeries,
    checks: CheckSeries,
    identity_requests: IntCounterVec,
    rate_limited: IntCounterVec,
    spoofed_headers: IntCounterVec,
    hash_durations: HistogramVec,
    hash_queue: IntGauge,
    hash_rejected: IntCounter,
    dependency_up: IntGaugeVec,
    issuers: IssuerSeries,
    certificates: CertificateSeries,
    traces: Arc<TraceSeries>,
    degraded: IntGaugeVec,
    propagation: Histogram,
}

/// Counts as a request (or connection) under way until it is dropped.
#[derive(Debug)]
pub struct InFlight(IntGauge);

impl Metrics {
    /// Fresh metrics, all at nought.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let make = Maker::default();
        let routes = RouteSeries::made_by(&make);
        let build = make.gauges("build_info", "The version that runs.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let listener = |name, help| make.gauges(name, help, &["listener"]);
        process::register(&make.registry);
        let refused = make.counters(
            "server_refused_total",
            "Connections and requests that were refused before the gate saw them.",
            &["reason"],
        );
        // From nought on, so that a rate sees the first.
        for reason in SERVER_REFUSALS {
            refused.with_label_values(&[reason]);
        }
        Arc::new(Self {
            asking: Asking::default(),
            ready: make.gauge("ready", "1 if it should be sent requests, as /readyz says."),
            routes,
            in_flight: listener("http_requests_in_flight", "Requests under way.")
                .with_label_values(&["traffic"]),
            connections: listener("connections", "Connections open.")
                .with_label_values(&["traffic"]),
            refused,
            upstreams: UpstreamSeries::new(&make),
            checks: CheckSeries::new(
                &make.histograms(
                    "auth_check_duration_seconds",
                    "How long it took to judge a request with a credential, by the farthest place asked.",
                    &CHECK_BUCKETS,
                    &["credential", "tier"],
                ),
                make.counters(
                    "token_cache_requests_total",
                    "Look-ups of credentials.",
                    &["tier", "result"],
                ),
            ),
            identity_requests: make.counters(
                "identity_requests_total",
                "Requests to our own API.",
                &["endpoint", "outcome"],
            ),
            rate_limited: make.counters(
                "rate_limited_total",
                "Requests that a throttle refused.",
                &["policy"],
            ),
            spoofed_headers: make.counters(
                "spoofed_headers_total",
                "Identity headers of clients that were taken off.",
                &["header"],
            ),
            hash_durations: make.histograms(
                "password_hash_duration_seconds",
                "Hashing or checking one password, without waiting.",
                &REQUEST_BUCKETS,
                &["algorithm"],
            ),
            hash_queue: make.gauge("password_hash_queue_depth", "Passwords waiting."),
            hash_rejected: make
                .counter("password_hash_rejected_total", "Passwords that waited too long."),
            issuers: IssuerSeries::new(&make),
            dependency_up: make.gauges(
                "dependency_up",
                "1 if the database, Redis or the mail server answers.",
                &["dependency"],
            ),
            certificates: CertificateSeries::new(&make),
            traces: Arc::new(TraceSeries::new(&make)),
            degraded: make.gauges(
                "degraded",
                "1 if something is done without this, or not at all, that was to be done with it.",
                &["dependency"],
            ),
            propagation: propagation(&make),
            registry: make.registry,
        })
    }

    /// Counts a finished request.
    pub fn request(&self, record: &RequestRecord<'_>) {
        self.routes.count(record);
        if let Some(check) = record.check {
            self.checks.count(record.credential, check);
        }
    }

    /// Whether this process should be sent requests.
    pub fn is_ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    /// A request is under way.
    #[must_use]
    pub fn request_started(&self) -> InFlight {
        InFlight::new(&self.in_flight)
    }

    /// A connection is open.
    #[must_use]
    pub fn connection_opened(&self) -> InFlight {
        InFlight::new(&self.connections)
    }

    /// A connection or request was refused before the gate saw it.
    pub fn refused_by_server(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// When the certificates in use end, by the first name in each: seconds since 1970.
    pub fn certificates_expire(&self, all: impl Iterator<Item = (String, i64)>) {
        self.certificates.expire(all);
    }

    /// Changed certificates were taken into use, or could not be.
    pub fn certificates_reloaded(&self, good: bool) {
        self.certificates.reloaded(good);
    }

    /// The handles of an upstream: ask once and keep them.
    #[must_use]
    pub fn upstream(&self, name: &str) -> UpstreamMetrics {
        self.upstreams.of(name)
    }

    /// There is such a cache, and this may come of asking it: counted from nought on.
    pub fn token_caches(&self, tier: &'static str, results: &[&'static str]) {
        for result in results {
            self.checks.cache(tier, result);
        }
    }

    /// A cache of credentials beyond memory was asked; `result` is `hit` or `miss`.
    pub fn token_cache(&self, tier: &'static str, result: &'static str) {
        self.checks.cache(tier, result).inc();
    }

    /// Our own API has these endpoints: their requests are counted from nought on.
    pub fn identity_endpoints(&self, endpoints: impl IntoIterator<Item = &'static str>) {
        for endpoint in endpoints {
            for outcome in ["success", "throttled", "refused", "error"] {
                self.identity_requests.with_label_values(&[endpoint, outcome]);
            }
        }
    }

    /// A request to our own API was answered with this status. `endpoint`: its path below the
    /// prefix, as the router knows it.
    pub fn identity_request(&self, endpoint: &'static str, status: u16) {
        let outcome = match status {
            ..400 => "success",
            429 => "throttled",
            400..500 => "refused",
            _ => "error",
        };
        self.identity_requests.with_label_values(&[endpoint, outcome]).inc();
    }

    /// These throttles may refuse: counted from nought on.
    pub fn throttles(&self, policies: &[&'static str]) {
        for policy in policies {
            self.rate_limited.with_label_values(&[policy]);
        }
    }

    /// A throttle refused a request.
    pub fn rate_limited(&self, policy: &'static str) {
        self.rate_limited.with_label_values(&[policy]).inc();
    }

    /// A client's identity header was taken off; the name as the gate knows it, not as it
    /// was sent.
    pub fn spoofed_header(&self, header: &str) {
        self.spoofed_headers.with_label_values(&[header]).inc();
    }

    /// A password was hashed or checked.
    pub fn password_hashed(&self, algorithm: &'static str, took: Duration) {
        self.hash_durations.with_label_values(&[algorithm]).observe(took.as_secs_f64());
    }

    /// A password waits to be hashed.
    #[must_use]
    pub fn password_waiting(&self) -> InFlight {
        InFlight::new(&self.hash_queue)
    }

    /// A password waited too long.
    pub fn password_rejected(&self) {
        self.hash_rejected.inc();
    }

    /// Of trusted issuers whose keys are fetched.
    #[must_use]
    pub fn issuers(&self) -> &IssuerSeries {
        &self.issuers
    }

    /// Of spans.
    #[must_use]
    pub fn traces(&self) -> &Arc<TraceSeries> {
        &self.traces
    }

    /// Whether a dependency answers: `database`, `redis`, `mail`.
    pub fn dependency_is_up(&self, dependency: &'static str, up: bool) {
        self.dependency_up.with_label_values(&[dependency]).set(i64::from(up));
        self.degraded.with_label_values(&[dependency]).set(i64::from(!up));
    }

    /// An end on another replica holds here, so long after it was written. Replicas' clocks
    /// differ by as much.
    pub fn revocation_propagated(&self, after: Duration) {
        self.propagation.observe(after.as_secs_f64());
    }
}

fn propagation(make: &Maker) -> Histogram {
    let help = "From the end of a login, token or user on another replica to its end here.";
    make.histograms("revocation_propagation_seconds", help, &PROPAGATION_BUCKETS, &[])
        .with_label_values::<&str>(&[])
}

impl InFlight {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Decision, sample};
    use super::*;

    /// The lines of one metric, without comments and buckets.
    fn lines(metrics: &Metrics, name: &str) -> Vec<String> {
        let text = metrics.render();
        let of_it = text.lines().filter(|l| l.starts_with(name) && !l.contains("_bucket"));
        of_it.map(str::to_owned).collect()
    }

    #[test]
    fn requests_are_counted_by_route_method_and_code() {
        let metrics = Metrics::new();
        metrics.request(&sample());
        metrics.request(&sample());
        metrics.request(&RequestRecord { method: "BREW", status: 999, route: None, ..sample() });
        assert_eq!(
            lines(&metrics, "portcullis_http_requests_total"),
            [
                r#"portcullis_http_requests_total{code="0",listener="traffic",method="_OTHER",route="none"} 1"#,
                r#"portcullis_http_requests_total{code="200",listener="traffic",method="GET",route="/app"} 2"#,
            ]
        );
        assert_eq!(
            lines(&metrics, r"portcullis_http_request_duration_seconds")[2..],
            [
                r#"portcullis_http_request_duration_seconds_sum{code="200",listener="traffic",method="GET",route="/app"} 0.003"#,
                r#"portcullis_http_request_duration_seconds_count{code="200",listener="traffic",method="GET",route="/app"} 2"#,
            ]
        );
    }

    #[test]
    fn decisions_are_counted_by_reason_and_our_own_answers_are_none() {
        let metrics = Metrics::new();
        metrics.request(&sample());
        metrics.request(&RequestRecord { decision: Decision::Deny, reason: "expired", ..sample() });
        metrics.request(&RequestRecord { decision: Decision::Deny, reason: "expired", ..sample() });
        metrics.request(&RequestRecord { decision: Decision::Local, reason: "local", ..sample() });
        assert_eq!(
            lines(&metrics, "portcullis_auth_decisions_total"),
            [
                r#"portcullis_auth_decisions_total{credential="jwt",decision="allow",mode="enforce",reason="authenticated",route="/app"} 1"#,
                r#"portcullis_auth_decisions_total{credential="jwt",decision="deny",mode="enforce",reason="expired",route="/app"} 2"#,
            ]
        );
    }

    #[test]
    fn what_is_under_way_is_counted_until_it_is_dropped() {
        let metrics = Metrics::new();
        let one = metrics.request_started();
        let two = metrics.request_started();
        drop(one);
        let name = "portcullis_http_requests_in_flight";
        assert_eq!(lines(&metrics, name), [format!("{name}{{listener=\"traffic\"}} 1")]);
        drop(two);
        assert_eq!(lines(&metrics, name), [format!("{name}{{listener=\"traffic\"}} 0")]);
    }

    #[test]
    fn watched_numbers_are_read_at_each_scrape() {
        use std::sync::atomic::{AtomicU64, Ordering};
        let metrics = Metrics::new();
        let age = Arc::new(AtomicU64::new(1));
        let read = Arc::clone(&age);
        metrics.watch_revocation_age(move || Duration::from_secs(read.load(Ordering::SeqCst)));
        let name = "portcullis_revocation_set_age_seconds";
        assert_eq!(lines(&metrics, name), [format!("{name} 1")]);
        age.store(60, Ordering::SeqCst);
        assert_eq!(lines(&metrics, name), [format!("{name} 60")]);
    }

    #[test]
    fn every_metric_has_its_place() {
        let metrics = Metrics::new();
        let took = Duration::from_millis(1);
        metrics.refused_by_server("connections");
        let app = metrics.upstream("app");
        app.durations.observe(0.001);
        app.retries.inc();
        app.up.set(1);
        app.servers_out.set(1);
        metrics.request(&sample());
        metrics.token_cache("redis", "miss");
        metrics.identity_request("/token/login/", 200);
        metrics.rate_limited("login_per_account");
        metrics.spoofed_header("x-forwarded-user");
        metrics.password_hashed("argon2id", took);
        let _held = (metrics.password_waiting(), metrics.connection_opened());
        metrics.password_rejected();
        metrics.certificates_expire([("a.example".to_owned(), 1)].into_iter());
        metrics.certificates_reloaded(false);
        metrics.dependency_is_up("redis", false);
        metrics.revocation_propagated(Duration::from_millis(3));
        let text = metrics.render();
        for line in [
            r#"portcullis_server_refused_total{reason="connections"} 1"#,
            r#"portcullis_upstream_request_duration_seconds_count{upstream="app"} 1"#,
            r#"portcullis_upstream_retries_total{upstream="app"} 1"#,
            r#"portcullis_upstream_up{upstream="app"} 1"#,
            r#"portcullis_upstream_servers{state="out",upstream="app"} 1"#,
            r#"portcullis_upstream_ejections_total{upstream="app"} 0"#,
            r#"portcullis_upstream_refused_total{upstream="app"} 0"#,
            r#"portcullis_auth_check_duration_seconds_count{credential="jwt",tier="l1"} 1"#,
            r#"portcullis_token_cache_requests_total{result="hit",tier="l1"} 1"#,
            r#"portcullis_token_cache_requests_total{result="miss",tier="redis"} 1"#,
            r#"portcullis_identity_requests_total{endpoint="/token/login/",outcome="success"} 1"#,
            r#"portcullis_rate_limited_total{policy="login_per_account"} 1"#,
            r#"portcullis_spoofed_headers_total{header="x-forwarded-user"} 1"#,
            r#"portcullis_password_hash_duration_seconds_count{algorithm="argon2id"} 1"#,
            "portcullis_password_hash_queue_depth 1",
            "portcullis_password_hash_rejected_total 1",
            r#"portcullis_connections{listener="traffic"} 1"#,
            r#"portcullis_dependency_up{dependency="redis"} 0"#,
            r#"portcullis_degraded{dependency="redis"} 1"#,
            "portcullis_revocation_propagation_seconds_count 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(text.contains("portcullis_build_info{version=\""));
    }
}
