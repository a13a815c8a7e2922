//! Where passages lead: upstreams, their servers, and which of them is next.
//!
//! Everything is built ahead; on the way of a request there is no look-up, no lock and no file.
//! In reading order: `server` (as configured, and its addresses), `peer` (one address),
//! `standing` (how it stands), `choice` (which is next), `budget` (what may be sent again), `probe`
//! (asking servers how they are). It must not know requests.

mod budget;
mod choice;
mod peer;
mod probe;
mod server;
mod standing;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use foldhash::HashMap;
use tokio::time::Instant;

pub(super) use self::choice::fingerprint;
pub(super) use self::peer::{Peer, Picked};
pub(super) use self::probe::keep_asking;

use self::budget::Budget;
use self::choice::Pool;
use self::server::Server;
use self::standing::Sentence;
use self::tls::ServerTls;
use super::tls::TlsError;
use crate::config::{Balance, Ejection, HealthCheck, Protocol, Settings};
use crate::telemetry::{Metrics, UpstreamMetrics};

/// A server that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The text is none of `host:port`, `http://…`, `https://…`, `unix:/path`.
    #[error("upstream {upstream}: {server} is not a server address")]
    Server {
        /// The upstream's name.
        upstream: String,
        /// The text as configured.
        server: String,
    },
    /// A certificate or key cannot be used.
    #[error("upstream {upstream}")]
    Tls {
        /// The upstream's name.
        upstream: String,
        /// Which file, and why.
        #[source]
        source: Box<TlsError>,
    },
}

/// All upstreams of one snapshot, by name.
#[derive(Debug)]
pub struct Upstreams(HashMap<String, Arc<Upstream>>);

/// One back end.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) balance: Balance,
    pub(super) retries: usize,
    protocol: Protocol,
    servers: Vec<Server>,
    /// Every address of every server.
    pool: ArcSwap<Pool>,
    turn: AtomicUsize,
    ejection: Ejection,
    health_check: Option<HealthCheck>,
    budget: Budget,
    /// 0: no limit, and nobody counts.
    max_requests: usize,
    under_way: AtomicUsize,
    began: Instant,
    pub(super) metrics: UpstreamMetrics,
    was_up: AtomicBool,
}

/// One of the requests that an upstream may have at a time.
#[derive(Debug)]
pub(super) struct Admitted(Option<Arc<Upstream>>);

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(upstream) = &self.0 {
            upstream.under_way.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Upstreams {
    /// Builds all peers. Names have no address until [`Upstreams::refresh`] was awaited once.
    pub fn new(settings: &Settings, metrics: &Metrics) -> Result<Self, UpstreamError> {
        let build = |configured| {
            let upstream = Upstream::new(configured, settings, metrics)?;
            Ok((upstream.name.clone(), Arc::new(upstream)))
        };
        Ok(Self(settings.upstreams.iter().map(build).collect::<Result<_, _>>()?))
    }

    /// Resolves every name once more. A name that fails keeps its last good addresses.
    pub async fn refresh(&self) {
        for upstream in self.0.values() {
            upstream.refresh().await;
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.0.get(name)
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.0.values()
    }
}

impl Upstream {
    fn new(
        configured: &crate::config::Upstream,
        settings: &Settings,
        metrics: &Metrics,
    ) -> Result<Self, UpstreamError> {
        let name = &configured.name;
        let tls = ServerTls::read(&configured.tls).map_err(|source| UpstreamError::Tls {
            upstream: name.clone(),
            source: Box::new(source),
        })?;
        let server = |text: &String| {
            Server::parse(text, configured, &tls, &settings.limits).ok_or_else(|| {
                UpstreamError::Server { upstream: name.clone(), server: text.clone() }
            })
        };
        let upstream = Self {
            name: name.clone(),
            balance: configured.balance,
            retries: configured.retries as usize,
            protocol: configured.protocol,
            servers: configured.servers.iter().map(server).collect::<Result<_, _>>()?,
            pool: ArcSwap::default(),
            turn: AtomicUsize::new(0),
            ejection: configured.ejection.clone(),
            health_check: configured.health_check.clone(),
            budget: Budget::default(),
            max_requests: configured.max_requests,
            under_way: AtomicUsize::new(0),
            began: Instant::now(),
            metrics: metrics.upstream(name),
            was_up: AtomicBool::new(true),
        };
        upstream.metrics.up.set(1);
        upstream.gather();
        Ok(upstream)
    }

    /// Takes one of the requests that it may have at a time; `None`: there are as many as may be.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Admitted> {
        if self.max_requests == 0 {
            return Some(Admitted(None));
        }
        if self.under_way.fetch_add(1, Ordering::Relaxed) >= self.max_requests {
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            self.metrics.refused.inc();
            return None;
        }
        Some(Admitted(Some(Arc::clone(self))))
    }

    /// Whether a connection to it can become a web socket.
    pub(super) fn can_upgrade(&self) -> bool {
        self.protocol != Protocol::Http2
    }

    /// Whether its servers speak HTTP/1 and nothing else.
    pub(super) fn is_http1(&self) -> bool {
        self.protocol == Protocol::Http1
    }

    /// The next peer that is not in `tried`. `who`: a fingerprint of who asks, if that counts.
    pub(super) fn pick(&self, tried: &[Arc<Peer>], who: Option<u64>) -> Option<Picked> {
        let pool = self.pool.load();
        if tried.is_empty() {
            self.budget.earn();
        }
        // Once: the second look below must not end up where the last request's first one did.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let next = |admits: &dyn Fn(&Peer) -> bool| {
            pool.next(self.balance, turn, who, |peer| !is_among(tried, peer) && admits(peer))
        };
        let picked = |peer: &Arc<Peer>| {
            Picked::new(Arc::clone(peer), self.balance == Balance::LeastConnections)
        };
        // Once more for each trial that another request was quicker to take.
        for _ in 0..pool.peers.len() {
            match next(&|peer| peer.standing.is_good(|| self.now())) {
                Some(peer) if peer.standing.enter(&self.ejection, || self.now()) => {
                    return Some(picked(peer));
                }
                Some(_) => {}
                None => break,
            }
        }
        // None is known to be well: perhaps it is us who are wrong, or it has come back by now.
        next(&|_| true).map(picked)
    }

    /// Whether a request that failed at all of `tried` may be sent to another server. That is
    /// counted.
    pub(super) fn may_repeat(&self, tried: &[Arc<Peer>]) -> bool {
        let may = tried.len() <= self.retries
            && self.pool.load().peers.iter().any(|peer| !is_among(tried, peer))
            && self.budget.spend();
        if may {
            self.metrics.retries.inc();
        }
        may
    }

    /// A peer answered a request.
    pub(super) fn answered(&self, peer: &Peer) {
        if peer.standing.succeeded() {
            tracing::info!(upstream = self.name, server = peer.label, "server answers again");
            self.count();
        }
        self.note(true);
    }

    /// A peer gave no answer to a request, or could not be connected to.
    pub(super) fn failed(&self, peer: &Peer) {
        let pool = self.pool.load();
        // Where there is no other, leaving it out would only be noise.
        if pool.peers.len() > 1
            && let Sentence::Out(millis) = peer.standing.failed(&self.ejection, self.now())
        {
            tracing::warn!(
                upstream = self.name,
                server = peer.label,
                millis,
                "server fails and is left out"
            );
            self.metrics.ejections.inc();
            self.count();
        }
        if !pool.peers.iter().any(|peer| !peer.standing.is_out()) || pool.peers.len() == 1 {
            self.note(false);
        }
    }

    /// The metric is touched only when that changes.
    fn note(&self, is_up: bool) {
        if self.was_up.load(Ordering::Relaxed) != is_up {
            self.was_up.store(is_up, Ordering::Relaxed);
            self.metrics.up.set(i64::from(is_up));
        }
    }

    /// Tells how many servers there are, in and out.
    fn count(&self) {
        let pool = self.pool.load();
        let out = pool.peers.iter().filter(|peer| peer.standing.is_out()).count();
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.servers_out.set(gauge(out));
        self.metrics.servers_in.set(gauge(pool.peers.len() - out));
    }

    /// Milliseconds since it was built.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn gather(&self) {
        let mut all = Vec::new();
        for server in &self.servers {
            server.gather(&mut all);
        }
        self.pool.store(Arc::new(Pool::new(all)));
        self.count();
    }

    async fn refresh(&self) {
        let mut changed = false;
        for server in &self.servers {
            changed |= server.resolve().await;
        }
        if changed {
            self.gather();
        }
    }
}

fn is_among(tried: &[Arc<Peer>], peer: &Peer) -> bool {
    tried.iter().any(|tried| tried.label == peer.label)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn upstream(change: impl FnOnce(&mut crate::config::Upstream)) -> Arc<Upstream> {
        let mut configured = crate::config::Upstream {
            name: "app".into(),
            servers: vec!["127.0.0.1:1".into(), "127.0.0.1:2".into()],
            ..crate::config::Upstream::default()
        };
        change(&mut configured);
        let settings = Settings { upstreams: vec![configured], ..Settings::default() };
        let upstreams = Upstreams::new(&settings, &Metrics::new()).unwrap();
        Arc::clone(upstreams.get("app").unwrap())
    }

    fn pick(app: &Upstream, tried: &[Arc<Peer>]) -> Option<Arc<Peer>> {
        app.pick(tried, None).map(|picked| Arc::clone(picked.peer()))
    }

    #[test]
    fn a_server_that_was_tried_is_passed_over() {
        let app = upstream(|_| ());
        let first = pick(&app, &[]).unwrap();
        let other = pick(&app, std::slice::from_ref(&first)).unwrap();
        assert_ne!(first.label, other.label);
        assert!(pick(&app, &[first, other]).is_none());
        assert!(pick(&upstream(|app| app.servers.clear()), &[]).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_fails_gets_nothing_until_one_request_has_tried_it() {
        let app = upstream(|_| ());
        let bad = pick(&app, &[]).unwrap();
        for _ in 0..3 {
            app.failed(&bad);
        }
        assert_eq!(
            (app.metrics.servers_in.get(), app.metrics.servers_out.get(), app.metrics.up.get()),
            (1, 1, 1)
        );
        assert!((0..10).all(|_| pick(&app, &[]).unwrap().label != bad.label));
        let good = pick(&app, &[]).unwrap();
        assert_eq!(pick(&app, &[good]).unwrap().label, bad.label, "better than none");
        tokio::time::advance(Duration::from_secs(5)).await;
        let tries = (0..10).filter(|_| pick(&app, &[]).unwrap().label == bad.label).count();
        assert_eq!(tries, 1);
        app.answered(&bad);
        let tries = (0..10).filter(|_| pick(&app, &[]).unwrap().label == bad.label).count();
        assert_eq!(tries, 5);
        assert_eq!((app.metrics.servers_in.get(), app.metrics.servers_out.get()), (2, 0));
    }

    #[test]
    fn where_all_are_left_out_all_are_used() {
        let app = upstream(|_| ());
        for _ in 0..3 {
            for peer in &app.pool.load().peers {
                app.failed(peer);
            }
        }
        assert_eq!((app.metrics.servers_out.get(), app.metrics.up.get()), (2, 0));
        let first = pick(&app, &[]).unwrap();
        assert_ne!(pick(&app, &[]).unwrap().label, first.label);
    }

    #[test]
    fn the_only_server_is_never_left_out() {
        let app = upstream(|app| app.servers.truncate(1));
        let only = pick(&app, &[]).unwrap();
        for _ in 0..10 {
            app.failed(&only);
        }
        assert_eq!(
            (app.metrics.servers_in.get(), app.metrics.servers_out.get(), app.metrics.up.get()),
            (1, 0, 0)
        );
        assert!(pick(&app, &[]).is_some());
        app.answered(&only);
        assert_eq!(app.metrics.up.get(), 1);
    }

    #[test]
    fn a_request_is_repeated_as_often_as_configured() {
        let app = upstream(|app| app.retries = 0);
        assert!(!app.may_repeat(&[pick(&app, &[]).unwrap()]));
        let app = upstream(|app| app.retries = 1);
        assert!(app.may_repeat(&[pick(&app, &[]).unwrap()]));
    }

    #[test]
    fn no_more_requests_are_admitted_than_there_may_be() {
        let app = upstream(|app| app.max_requests = 2);
        let first = app.admit().unwrap();
        let _second = app.admit().unwrap();
        assert!(app.admit().is_none());
        assert!(app.admit().is_none(), "a refused one does not count");
        drop(first);
        let _third = app.admit().unwrap();
        let unlimited = upstream(|_| ());
        assert!((0..100).all(|_| unlimited.admit().is_some()));
    }

    #[test]
    fn requests_on_their_way_are_counted_where_the_least_busy_is_next() {
        let app = upstream(|app| app.balance = Balance::LeastConnections);
        let (one, other) = (app.pick(&[], None).unwrap(), app.pick(&[], None).unwrap());
        assert_ne!(one.peer().label, other.peer().label);
        let free = one.peer().label.clone();
        drop(one);
        assert_eq!(app.pick(&[], None).unwrap().peer().label, free);
    }

    #[test]
    fn a_certificate_that_is_none_is_told_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, "nothing").unwrap();
        let mut configured = crate::config::Upstream {
            name: "app".into(),
            servers: vec!["https://app".into()],
            ..crate::config::Upstream::default()
        };
        configured.tls.ca.clone_from(&file);
        let settings = Settings { upstreams: vec![configured], ..Settings::default() };
        let error = Upstreams::new(&settings, &Metrics::new()).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(error.to_string(), "upstream app");
        assert!(source.contains(&file.display().to_string()), "{source}");
    }
}
