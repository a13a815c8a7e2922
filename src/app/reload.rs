//! Takes a changed configuration over while everything runs: all that can be, or nothing.
//!
//! On SIGHUP at once, and by itself when the files have changed and then stood still for a look:
//! by their content, so that links that are swapped count and half-written files do not. Routes,
//! upstreams, identity headers, CORS, trusted proxies, certificates' places and the bounds of
//! requests are swapped as one; requests under way end with what they began with. What was built
//! at the start (listeners, database, tokens, accounts, throttles) waits for a restart, and is
//! said to. A file with faults changes nothing. It must not know how settings are read.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::supervisor::Supervisor;
use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::config::{Faults, IdentityHeaders, Limits, Loaded, Server, Settings, Tls};
use crate::gate::{CorsPolicy, Gate};
use crate::gateway::{self, Live, Upstreams};
use crate::identity::{Authenticator, BasicAuthenticator, told_to_stop};
use crate::telemetry::Metrics;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

type Read = dyn Fn() -> Result<Loaded, Faults> + Send + Sync;

/// Where the configuration comes from, to be read again.
#[derive(Clone)]
pub struct Source {
    files: Arc<[PathBuf]>,
    read: Arc<Read>,
    wake: Arc<Notify>,
    /// What the files held at first.
    first: Arc<[u8]>,
}

impl Source {
    /// `read` reads the whole configuration anew, of which `files` are what can change. To be made
    /// before it is read for the first time: no change is missed then.
    #[must_use]
    pub fn new(
        files: &[PathBuf],
        read: impl Fn() -> Result<Loaded, Faults> + Send + Sync + 'static,
    ) -> Self {
        let first = fingerprint(files).into();
        Self { files: files.into(), read: Arc::new(read), wake: Arc::default(), first }
    }

    /// Notify this to have it read at once.
    #[must_use]
    pub fn waker(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// What the files hold now.
    async fn fingerprint(&self) -> Vec<u8> {
        let files = Arc::clone(&self.files);
        let taken = tokio::task::spawn_blocking(move || fingerprint(&files)).await;
        taken.unwrap_or_else(|_| self.first.to_vec())
    }
}

fn fingerprint(files: &[PathBuf]) -> Vec<u8> {
    let mut digest = Context::new(&SHA256);
    for file in files {
        // One that is away differs from an empty one.
        let content = std::fs::read(file);
        digest.update(&[u8::from(content.is_ok())]);
        let content = content.unwrap_or_default();
        digest.update(&content.len().to_be_bytes());
        digest.update(&content);
    }
    digest.finish().as_ref().to_vec()
}

/// What a new snapshot is made of, besides the settings.
pub(super) struct Reloader {
    pub(super) source: Source,
    pub(super) live: Arc<ArcSwap<Live>>,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) accounts: Arc<Accounts>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) supervisor: Option<Supervisor>,
}

/// How it went, for the metrics.
struct Outcome {
    good: AtomicBool,
    /// Microseconds.
    at: AtomicI64,
}

impl Reloader {
    /// Reloads until `stop` says `true` or goes away.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        let outcome = self.watched();
        let mut taken = self.source.first.to_vec();
        let mut last = taken.clone();
        loop {
            let asked = tokio::select! {
                () = told_to_stop(&mut stop) => return,
                () = self.source.wake.notified() => true,
                () = sleep(LOOK_EVERY) => false,
            };
            let now = self.source.fingerprint().await;
            let is_settled = now == last;
            last.clone_from(&now);
            if !asked && (!is_settled || now == taken) {
                continue;
            }
            taken = now;
            if let Some(supervisor) = &self.supervisor {
                supervisor.reloading().await;
            }
            let good = self.reload().await;
            if let Some(supervisor) = &self.supervisor {
                supervisor.reloaded(good).await;
            }
            outcome.good.store(good, Ordering::Relaxed);
            if good {
                outcome.at.store(self.clock.now().micros(), Ordering::Relaxed);
            }
        }
    }

    /// Whether the files could be taken over.
    async fn reload(&self) -> bool {
        let read = Arc::clone(&self.source.read);
        let loaded = match tokio::task::spawn_blocking(move || read()).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(faults)) => {
                for fault in &faults.0 {
                    tracing::error!(%fault, "the changed configuration has a fault");
                }
                tracing::error!("the changed configuration is not used, the one before stays");
                return false;
            }
            Err(error) => {
                tracing::error!(%error, "the configuration could not be read");
                return false;
            }
        };
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let current = self.live.load_full();
        let settings = Arc::new(taken_over(&current.settings, &loaded.settings));
        for section in waiting(&settings, &loaded.settings) {
            tracing::warn!(section, "changes of this section wait for a restart");
        }
        match self.snapshot(&current, &settings) {
            Ok(live) => {
                // Before it is asked: names have no address otherwise.
                live.upstreams.refresh().await;
                self.live.store(Arc::new(live));
                tracing::info!("the configuration was read anew and is in use");
                true
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the configuration is not used");
                false
            }
        }
    }

    fn snapshot(&self, current: &Live, settings: &Arc<Settings>) -> anyhow::Result<Live> {
        if let Some(tls) = &settings.server.tls {
            // They are taken into use a moment later, by whoever watches them: now it is all or
            // nothing.
            gateway::try_certificates(tls)?;
        }
        let authenticator = Arc::clone(&self.authenticator);
        // What it knows stays known: every client would have its password hashed at once.
        let is_wanted = BasicAuthenticator::is_wanted;
        let basic = if is_wanted(settings) == is_wanted(&current.settings) {
            Arc::clone(current.gate.basic())
        } else {
            let prover = Arc::clone(&self.accounts) as _;
            Arc::new(BasicAuthenticator::new(settings, Arc::clone(&authenticator), prover))
        };
        Ok(Live {
            settings: Arc::clone(settings),
            gate: Gate::new(settings, authenticator, basic)?,
            cors: CorsPolicy::new(&settings.cors),
            upstreams: Upstreams::new(settings, &self.metrics)?,
            api: current.api.clone(),
            replies: current.replies,
        })
    }

    fn watched(&self) -> Arc<Outcome> {
        let at = AtomicI64::new(self.clock.now().micros());
        let outcome = Arc::new(Outcome { good: AtomicBool::new(true), at });
        let (good, since) = (Arc::clone(&outcome), Arc::clone(&outcome));
        self.metrics.watch_count(
            "portcullis_config_last_reload_success",
            "Whether the configuration was taken over when it was last read: 1, or 0.",
            move || usize::from(good.good.load(Ordering::Relaxed)),
        );
        self.metrics.watch_count(
            "portcullis_config_last_reload_success_timestamp_seconds",
            "When the configuration in use was read, in seconds since 1970.",
            move || usize::try_from(since.at.load(Ordering::Relaxed) / 1_000_000).unwrap_or(0),
        );
        outcome
    }
}

/// The settings in effect: the new ones where they can be changed, else the old.
fn taken_over(old: &Settings, new: &Settings) -> Settings {
    let tls = match (&old.server.tls, &new.server.tls) {
        // How TLS is spoken was settled when the listeners were made.
        (Some(old), Some(new)) => Some(Tls { min_version: old.min_version, ..new.clone() }),
        (tls, _) => tls.clone(),
    };
    Settings {
        server: Server {
            trusted_proxies: new.server.trusted_proxies.clone(),
            shutdown_delay: new.server.shutdown_delay,
            drain_timeout: new.server.drain_timeout,
            tls,
            ..old.server.clone()
        },
        limits: Limits {
            throttling: old.limits.throttling,
            login_per_account: old.limits.login_per_account,
            login_per_address: old.limits.login_per_address,
            registration_per_address: old.limits.registration_per_address,
            reset_per_account: old.limits.reset_per_account,
            exempt: old.limits.exempt.clone(),
            hashing_threads: old.limits.hashing_threads,
            hashing_wait: old.limits.hashing_wait,
            ..new.limits.clone()
        },
        identity_headers: IdentityHeaders {
            // Read where records become identities.
            unverified_email: old.identity_headers.unverified_email,
            ..new.identity_headers.clone()
        },
        cors: new.cors.clone(),
        upstreams: new.upstreams.clone(),
        routes: new.routes.clone(),
        ..old.clone()
    }
}

/// The sections in which something else is wanted than is in effect.
fn waiting(effective: &Settings, wanted: &Settings) -> Vec<&'static str> {
    let sections = [
        ("compatibility", effective.compatibility != wanted.compatibility),
        ("secret_key", effective.secret_key != wanted.secret_key),
        ("server", effective.server != wanted.server),
        ("database", effective.database != wanted.database),
        ("redis", effective.redis != wanted.redis),
        ("revocation", effective.revocation != wanted.revocation),
        ("cache", effective.cache != wanted.cache),
        ("mail", effective.mail != wanted.mail),
        ("tokens", effective.tokens != wanted.tokens),
        ("accounts", effective.accounts != wanted.accounts),
        ("identity_headers", effective.identity_headers != wanted.identity_headers),
        ("limits", effective.limits != wanted.limits),
        ("traces", effective.traces != wanted.traces),
    ];
    sections.into_iter().filter(|(_, waits)| *waits).map(|(section, _)| section).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Period, Route};

    #[test]
    fn what_can_change_does_and_the_rest_is_named() {
        let old = Settings::default();
        let mut new = old.clone();
        new.routes.push(Route { path: "/new/".to_owned(), ..Route::default() });
        new.server.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        new.limits.body_bytes = 7;
        let effective = taken_over(&old, &new);
        assert_eq!(effective, new);
        assert_eq!(waiting(&effective, &new), [""; 0]);

        new.server.threads = 7;
        new.limits.throttling = !old.limits.throttling;
        new.tokens.jwt.access_lifetime = Period::seconds(7);
        new.identity_headers.unverified_email = !old.identity_headers.unverified_email;
        let effective = taken_over(&old, &new);
        assert_eq!(waiting(&effective, &new), ["server", "tokens", "identity_headers", "limits"]);
        assert_eq!(
            effective.identity_headers.unverified_email,
            old.identity_headers.unverified_email
        );
        assert_eq!((effective.server.threads, effective.limits.body_bytes), (0, 7));
        assert_eq!(effective.routes, new.routes);
    }

    #[tokio::test]
    async fn a_fingerprint_tells_files_apart_by_what_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let files = [folder.path().join("a"), folder.path().join("b")];
        let source = Source::new(&files, || Err(Faults(Vec::new())));
        let absent = source.fingerprint().await;
        std::fs::write(&files[0], "").unwrap();
        let empty = source.fingerprint().await;
        assert_ne!(absent, empty);
        std::fs::write(&files[0], "x").unwrap();
        let first = source.fingerprint().await;
        std::fs::write(&files[0], "").unwrap();
        std::fs::write(&files[1], "x").unwrap();
        assert_ne!(first, source.fingerprint().await);
        std::fs::remove_file(&files[1]).unwrap();
        assert_eq!(source.fingerprint().await, empty);
    }
}
