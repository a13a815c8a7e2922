//! `portcullis check --connect`: can everything be reached that the settings name?
//!
//! Tries each target once and tells about all of them. It must not change anything anywhere.

use std::io::Write;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::check::{Target, targets};
use crate::app;
use crate::cluster;
use crate::config::{Endpoint, Settings};
use crate::mail::Transport;
use crate::telemetry;

const PATIENCE: Duration = Duration::from_secs(5);

/// Tries every target; fails if one of them could not be reached.
pub(super) async fn try_all(settings: &Settings, out: &mut impl Write) -> anyhow::Result<()> {
    let mut missing = 0;
    for target in targets(settings) {
        let tried = timeout(PATIENCE, try_one(settings, &target)).await;
        let (name, outcome) = (describe(&target), tried.context("no answer within 5 s"));
        match outcome.and_then(|outcome| outcome) {
            Ok(()) => writeln!(out, "ok       {name}")?,
            Err(error) => {
                missing += 1;
                writeln!(out, "missing  {name}: {error:#}")?;
            }
        }
    }
    anyhow::ensure!(missing == 0, "{missing} could not be reached");
    writeln!(out, "configuration is good")?;
    Ok(())
}

/// Addresses may hold passwords: only upstreams are named by theirs.
fn describe(target: &Target) -> String {
    match target {
        Target::Database(_) => "database".to_owned(),
        Target::Redis(_) => "redis".to_owned(),
        Target::Smtp(_) => "mail server".to_owned(),
        Target::Collector => "collector of traces".to_owned(),
        Target::Upstream { name, server } => format!("upstream {name} at {server}"),
    }
}

async fn try_one(settings: &Settings, target: &Target) -> anyhow::Result<()> {
    match target {
        Target::Database(_) => {
            let store = app::open_store(settings).await?;
            store.ping().await.context("it does not answer, or its schema is not there yet")
        }
        Target::Redis(url) => {
            let (ca, timeout) = (app::redis_ca(settings)?, *settings.redis.timeout);
            Ok(cluster::try_redis(url.expose(), ca.as_deref(), timeout).await?)
        }
        Target::Smtp(url) => Ok(Transport::from_url(url.expose())?.test().await?),
        Target::Collector => Ok(telemetry::try_collector(&settings.traces).await?),
        Target::Upstream { server: Endpoint::Tcp { host, port, .. }, .. } => {
            TcpStream::connect((host.as_str(), *port)).await?;
            Ok(())
        }
        Target::Upstream { server: Endpoint::Unix(path), .. } => {
            UnixStream::connect(path).await?;
            Ok(())
        }
    }
}
