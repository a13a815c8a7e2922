//! Joins Redis to the rest, if there is to be one.
//!
//! It must not wait for it: a Redis that is away is no reason not to start.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::Notify;

use super::persist;
use crate::cluster::{Seen, Shared, SharedOptions, SharedTasks};
use crate::config::Settings;
use crate::secret::{KeyUse, RootKey};
use crate::store::Store;
use crate::telemetry::Metrics;

/// What Redis is used for; `None` without `redis.url`.
pub(super) async fn shared(
    settings: &Settings,
    store: &Store,
    root: &RootKey,
    wake: Arc<Notify>,
    seen: Seen,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Option<(Shared, SharedTasks)>> {
    if settings.redis.url.is_empty() {
        return Ok(None);
    }
    // Kept with the data it is about: two installations in one Redis have nothing in common,
    // not even with the same secret.
    let name = random_name()?;
    let installation = persist("installation", || store.ensure_meta("installation", &name)).await?;
    let counter = Arc::clone(metrics);
    let ca = redis_ca(settings)?;
    let (shared, mut tasks) = Shared::new(SharedOptions {
        url: settings.redis.url.expose(),
        ca: ca.as_deref(),
        timeout: *settings.redis.timeout,
        token_ttl: *settings.cache.token_ttl,
        key: &root.derive(KeyUse::SharedCache),
        installation: &installation,
        replica: random_name()?,
        wake,
        seen,
        counted: Arc::new(move |result| counter.token_cache("redis", result)),
    })?;
    tasks.connect().await;
    let refused = shared.refused();
    metrics.watch_total(
        "portcullis_redis_refused_commands_total",
        "Commands that Redis answered with an error: no memory, no permission.",
        refused,
    );
    metrics.token_caches("redis", &["hit", "miss", "away", "forged"]);
    Ok(Some((shared, tasks)))
}

/// The certificates that `redis.ca_file` names.
pub(crate) fn redis_ca(settings: &Settings) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(path) = &settings.redis.ca_file else { return Ok(None) };
    let pem = std::fs::read(path)
        .with_context(|| format!("redis.ca_file: {} cannot be read", path.display()))?;
    Ok(Some(pem))
}

fn random_name() -> anyhow::Result<String> {
    let mut name = [0; 16];
    aws_lc_rs::rand::fill(&mut name).ok().context("the system has no randomness")?;
    Ok(hex::encode(name))
}
