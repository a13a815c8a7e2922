//! Asks servers how they are, at their intervals.
//!
//! With Pingora's own connector and the very peers that requests go to: what answers here is
//! reached there too. Every question has a connection of its own, so that a server that takes no
//! new ones is found out. It must not know what a server's standing is used for.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Uri, header};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::{ErrorType, OrErr as _};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::peer::Peer;
use super::{Upstream, Upstreams};
use crate::config::HealthCheck;
use crate::gateway::live::Live;

/// How often it is looked whether somebody's interval is over.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// While nobody is to be asked, it is looked for a reload that changes that.
const LOOK_IDLY_EVERY: Duration = Duration::from_secs(1);

/// Asks the servers of whatever configuration is the current one, until `quieted`.
pub(in crate::gateway) async fn keep_asking(
    live: Arc<ArcSwap<Live>>,
    mut quieted: watch::Receiver<bool>,
) {
    // One for all: making it reads the system's authorities from the disk.
    let connector = Arc::new(Connector::new(None));
    tokio::select! {
        biased;
        _ = quieted.wait_for(|quieted| *quieted) => {}
        () = async {
            loop {
                let current = live.load_full();
                ask_while(&current.upstreams, &connector, || Arc::ptr_eq(&current, &live.load())).await;
            }
        } => {}
    }
}

async fn ask_while(
    upstreams: &Upstreams,
    connector: &Arc<Connector>,
    is_current: impl Fn() -> bool,
) {
    let mut asked: Vec<(&Arc<Upstream>, &HealthCheck, Instant)> = upstreams
        .all()
        .filter_map(|upstream| Some((upstream, upstream.health_check.as_ref()?, Instant::now())))
        .collect();
    let mut asking = JoinSet::new();
    while is_current() {
        for (upstream, check, due) in &mut asked {
            if *due <= Instant::now() {
                *due = Instant::now() + check.interval.0;
                asking.spawn(ask_all(Arc::clone(upstream), Arc::clone(connector)));
            }
        }
        while asking.try_join_next().is_some() {}
        sleep(if asked.is_empty() { LOOK_IDLY_EVERY } else { LOOK_EVERY }).await;
    }
}

async fn ask_all(upstream: Arc<Upstream>, connector: Arc<Connector>) {
    let Some(check) = &upstream.health_check else { return };
    let peers = upstream.pool.load_full();
    let asking = peers.peers.iter().map(|peer| async {
        let outcome = ask(peer, check, &connector).await;
        if peer.standing.checked(outcome.is_ok(), check).is_some() {
            let (upstream, server) = (&upstream.name, &peer.label);
            match outcome {
                Ok(()) => tracing::info!(upstream, server, "server says it is well"),
                Err(why) => tracing::warn!(upstream, server, why, "server is not well"),
            }
        }
    });
    futures_util::future::join_all(asking).await;
    upstream.count();
}

/// Why it is not well.
async fn ask(peer: &Peer, check: &HealthCheck, connector: &Connector) -> Result<(), String> {
    match timeout(check.timeout.0, exchange(peer, check, connector)).await {
        Ok(Ok(status)) if (200..400).contains(&status) => Ok(()),
        Ok(Ok(status)) => Err(format!("it answers {status}")),
        Ok(Err(error)) => Err(error.etype().as_str().to_owned()),
        Err(_) => Err("it does not answer in time".to_owned()),
    }
}

async fn exchange(peer: &Peer, check: &HealthCheck, connector: &Connector) -> pingora::Result<u16> {
    let mut http = peer.http.clone();
    // A connection that has room for one request is not kept for another.
    http.options.max_h2_streams = 1;
    let (mut session, _) = connector.get_http_session(&http).await?;
    let mut head = RequestHeader::build("GET", check.path.as_bytes(), None)?;
    let host = match (&check.host, &peer.host) {
        (host, _) if !host.is_empty() => host.clone(),
        (_, Some(own)) => own.to_str().unwrap_or_default().to_owned(),
        (_, None) if peer.http.sni.is_empty() => peer.label.clone(),
        (_, None) => peer.http.sni.clone(),
    };
    head.insert_header(header::USER_AGENT, "portcullis-health-check")?;
    if let HttpSession::H2(_) = &session {
        let scheme = if peer.http.is_tls() { "https" } else { "http" };
        let target = Uri::builder().scheme(scheme).authority(host).path_and_query(&*check.path);
        head.set_uri(target.build().or_err(ErrorType::InvalidHTTPHeader, "no such address")?);
        head.set_version(http::Version::HTTP_2);
    } else {
        head.insert_header(header::HOST, host)?;
        head.insert_header(header::CONNECTION, "close")?;
    }
    session.write_request_header(Box::new(head)).await?;
    session.finish_request_body().await?;
    session.read_response_header().await?;
    let status = session.response_header().map_or(0, |head| head.status.as_u16());
    session.shutdown().await;
    Ok(status)
}
