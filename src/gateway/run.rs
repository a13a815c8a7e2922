//! Serves until told to stop, then stops without losing a request.
//!
//! The order of a stop: not ready, but serving, for `server.shutdown_delay` (load balancers
//! need that long to notice), with every answer the last on its connection, so that clients who
//! hold one move, too; then no new connections, idle ones closed, requests in flight finished
//! within `server.drain_timeout`; then what is left is dropped. It must not know what a request is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::connectors::TransportConnector;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::accept::{Edge, Ends, Rules};
use super::caps::Caps;
use super::direct::{Direct, Kept};
use super::health::Health;
use super::listen::{Door, Listeners};
use super::live::Live;
use super::phases::Phases;
use super::record::Recorder;
use super::tls::Certificates;
use super::upstreams::keep_asking;
use super::workers::Workers;
use crate::clock::Clock;
use crate::telemetry::{Metrics, RequestLog, Tracer};

/// How often upstream names are resolved again.
const RESOLVE_EVERY: Duration = Duration::from_secs(10);

/// Idle connections to upstreams that each worker keeps.
const UPSTREAM_POOL: usize = 1024;

/// Attempts at one request, whatever its upstream says.
pub(super) const MOST_ATTEMPTS: usize = 16;

/// How long dropped connections may take to be gone.
const CUT_TIME: Duration = Duration::from_secs(1);

/// Everything that serving takes.
pub struct Gateway {
    /// The running configuration; swapping it is a reload. Resolve its upstreams first.
    pub live: Arc<ArcSwap<Live>>,
    /// What the probes tell.
    pub health: Arc<Health>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// One line per request.
    pub log: Arc<RequestLog>,
    /// The time.
    pub clock: Clock,
    /// Makes traces, if any are wanted.
    pub tracer: Option<Arc<Tracer>>,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request was finished.
    Whole,
    /// So many connections were still busy at the deadline, and were dropped.
    Cut(usize),
}

impl Gateway {
    /// Serves on `listeners` with each of the workers until `stop` turns true (or its sender is
    /// gone), then drains.
    ///
    /// # Errors
    /// If the sockets cannot be used in the workers' runtimes.
    pub async fn run(
        self,
        listeners: Listeners,
        workers: &Workers,
        mut stop: watch::Receiver<bool>,
    ) -> io::Result<Drained> {
        let Self { live, health, metrics, log, clock, tracer } = self;
        let (leave, leaving) = watch::channel(false);
        let (refuse, refusing) = watch::channel(false);
        let (close, closing) = watch::channel(false);
        let (quiet, quieted) = watch::channel(false);
        let recorder = Recorder { metrics: Arc::clone(&metrics), log, clock, tracer };
        let caps = Arc::new(Caps::default());
        let Listeners { doors, certificates, .. } = listeners;
        // One for all: making it reads the system's authorities from the disk.
        let connector = Arc::new(TransportConnector::new(None));
        let (mut accepting, mut helpers) = (JoinSet::new(), JoinSet::new());
        for worker in workers.handles() {
            let ends = Ends {
                leaving: leaving.clone(),
                refusing: refusing.clone(),
                closing: closing.clone(),
            };
            // Of its own: connections to upstreams belong to the runtime that made them.
            let kept = Arc::new(Kept::new(UPSTREAM_POOL));
            let ways = (Arc::clone(&connector), Arc::clone(&kept));
            let edge = edge(&live, recorder.clone(), &caps, certificates.clone(), ways, ends);
            let mut quieted = quieted.clone();
            helpers.spawn_on(
                async move {
                    tokio::select! {
                        _ = quieted.wait_for(|quieted| *quieted) => {}
                        () = kept.sweep() => {}
                    }
                },
                worker,
            );
            for Door { socket, manner } in &doors {
                let listening = {
                    let _entered = worker.enter();
                    socket.listen()?
                };
                let accept = Arc::clone(&edge).accept(listening, manner.clone());
                accepting.spawn_on(accept, worker);
            }
        }
        helpers.spawn(resolve(Arc::clone(&live), quieted.clone()));
        helpers.spawn(keep_asking(Arc::clone(&live), quieted.clone()));
        if let Some(certificates) = certificates {
            let current = Arc::clone(&live);
            let tls = move || current.load().settings.server.tls.clone();
            helpers.spawn(certificates.keep_fresh(tls, metrics, quieted));
        }

        let _ = stop.wait_for(|stop| *stop).await;
        health.set_draining();
        leave.send_replace(true);
        let server = live.load().settings.server.clone();
        sleep(server.shutdown_delay.0).await;
        refuse.send_replace(true);
        drop(doors);
        let mut connections = Vec::new();
        while let Some(ended) = accepting.join_next().await {
            connections.extend(ended);
        }
        // The loops have dropped their listeners: the system refuses connections by now.
        close.send_replace(true);
        let drained = match timeout(server.drain_timeout.0, caps.emptied()).await {
            Ok(()) => Drained::Whole,
            Err(_) => Drained::Cut(caps.open()),
        };
        drop(connections);
        let _ = timeout(CUT_TIME, caps.emptied()).await;
        quiet.send_replace(true);
        let _ = timeout(CUT_TIME, async { while helpers.join_next().await.is_some() {} }).await;
        Ok(drained)
    }
}

fn edge(
    live: &Arc<ArcSwap<Live>>,
    recorder: Recorder,
    caps: &Arc<Caps>,
    certificates: Option<Certificates>,
    (connector, kept): (Arc<TransportConnector>, Arc<Kept>),
    ends: Ends,
) -> Arc<Edge<HttpProxy<Phases>>> {
    let configuration = ServerConf {
        threads: 1,
        // A bound for what upstreams decide: stale connections and other servers.
        max_retries: MOST_ATTEMPTS,
        upstream_keepalive_pool_size: UPSTREAM_POOL,
        ..ServerConf::default()
    };
    let leaving = ends.leaving.clone();
    let phases = Phases { live: Arc::clone(live), recorder: recorder.clone(), leaving };
    let (rules, trust) = (Arc::clone(live), Arc::clone(live));
    Arc::new(Edge {
        direct: Some(Direct { phases: phases.clone(), connector, kept }),
        app: Arc::new(http_proxy(&Arc::new(configuration), phases)),
        rules: Box::new(move || Rules::of(&rules.load())),
        is_trusted: Box::new(move |address| trust.load().settings.trusts(address)),
        certificates,
        caps: Arc::clone(caps),
        recorder,
        ends,
    })
}

/// Keeps the addresses of upstream names fresh.
async fn resolve(live: Arc<ArcSwap<Live>>, mut quieted: watch::Receiver<bool>) {
    loop {
        let current = live.load_full();
        tokio::select! {
            biased;
            _ = quieted.wait_for(|quieted| *quieted) => return,
            () = async {
                current.upstreams.refresh().await;
                sleep(RESOLVE_EVERY).await;
            } => {}
        }
    }
}
