//! Tells probes and metrics what to look at.
//!
//! Numbers that some part keeps anyway are read from it at the scrape; what only the database
//! knows is asked of it then, by whoever scrapes and by no request. It must not judge what is seen.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::RwLock;

use crate::clock::Clock;
use crate::config::Settings;
use crate::gateway::{Health, Live};
use crate::identity::{Authenticator, Keys, Revocations, retires_for};
use crate::model::Timestamp;
use crate::store::{KeyState, Outbox, SigningKey, Store};
use crate::telemetry::Metrics;

/// Digits of the settings' digest that are told: enough to tell a few apart.
const HASH_DIGITS: usize = 16;

/// What is looked at for as long as the gateway serves.
pub(super) struct Watched<'a> {
    pub(super) store: &'a Store,
    pub(super) clock: &'a Clock,
    pub(super) revocations: &'a Arc<Revocations>,
    pub(super) authenticator: &'a Arc<Authenticator>,
    pub(super) keys: &'a Arc<Keys>,
    pub(super) live: &'a Arc<ArcSwap<Live>>,
    pub(super) workers: usize,
}

impl Watched<'_> {
    /// Everything.
    pub(super) fn by(&self, health: &Health, metrics: &Metrics) {
        self.readiness(health);
        self.held(metrics);
        self.settings(metrics);
        self.outbox(metrics);
        if self.keys.are_stored() {
            self.signing_keys(metrics);
        }
    }

    fn readiness(&self, health: &Health) {
        let store = self.store.clone();
        health.check("database", move || {
            let store = store.clone();
            async move { store.ping().await.map_err(|error| error.to_string()) }
        });
        let (revocations, now) = (Arc::clone(self.revocations), self.clock.clone());
        health.check("revocations", move || {
            let fresh = revocations.is_fresh(now.now());
            async move {
                if fresh { Ok(()) } else { Err("the log was not read for too long".to_owned()) }
            }
        });
    }

    fn held(&self, metrics: &Metrics) {
        let (revocations, now) = (Arc::clone(self.revocations), self.clock.clone());
        metrics.watch_revocation_age(move || {
            revocations.synced_at().map_or(Duration::MAX, |at| now.now().since(at))
        });
        let revocations = Arc::clone(self.revocations);
        metrics.watch_count(
            "portcullis_revocation_set_entries",
            "Ended users, logins and tokens that are held in memory.",
            move || revocations.len(),
        );
        let authenticator = Arc::clone(self.authenticator);
        metrics.watch_count(
            "portcullis_token_cache_entries",
            "Proved tokens that are held in memory.",
            move || authenticator.held(),
        );
        let workers = self.workers;
        metrics.watch_count(
            "portcullis_worker_threads",
            "Threads that serve connections.",
            move || workers,
        );
    }

    fn settings(&self, metrics: &Metrics) {
        let live = Arc::clone(self.live);
        metrics.watch_each(
            "portcullis_limit",
            "Bounds of the settings in use.",
            "limit",
            move || limits(&live.load().settings),
        );
        let live = Arc::clone(self.live);
        metrics.watch_each(
            "portcullis_config_hash",
            "Tells the settings in use from others.",
            "sha256",
            move || vec![(hash(&live.load().settings), 1.0)],
        );
    }

    fn outbox(&self, metrics: &Metrics) {
        let found = Arc::new(RwLock::new(None::<Outbox>));
        let (store, answer) = (self.store.clone(), Arc::clone(&found));
        metrics.ask_first(move || {
            let (store, answer) = (store.clone(), Arc::clone(&answer));
            async move {
                let outbox = store.outbox().await.ok();
                *answer.write() = outbox;
            }
        });
        let read = Arc::clone(&found);
        #[expect(clippy::cast_precision_loss, reason = "a metric is a floating-point number")]
        metrics.watch("portcullis_mail_outbox_entries", "Mails that wait to be sent.", move || {
            read.read().map_or(f64::NAN, |outbox| outbox.entries as f64)
        });
        let now = self.clock.clone();
        metrics.watch(
            "portcullis_mail_outbox_oldest_age_seconds",
            "How long ago the mail was promised that has waited longest.",
            move || {
                let outbox = *found.read();
                outbox.map_or(f64::NAN, |outbox| {
                    outbox.oldest.map_or(0.0, |oldest| now.now().since(oldest).as_secs_f64())
                })
            },
        );
    }

    fn signing_keys(&self, metrics: &Metrics) {
        let found = Arc::new(RwLock::new(Vec::<SigningKey>::new()));
        let (store, answer) = (self.store.clone(), Arc::clone(&found));
        metrics.ask_first(move || {
            let (store, answer) = (store.clone(), Arc::clone(&answer));
            async move {
                // With the database away they are what they were.
                if let Ok(keys) = store.signing_keys().await {
                    *answer.write() = keys;
                }
            }
        });
        let settings = Arc::clone(&self.live.load().settings);
        let (read, algorithm) = (Arc::clone(&found), settings.tokens.jwt.algorithm.clone());
        metrics.watch_each(
            "portcullis_signing_key_activated_timestamp_seconds",
            "Since when the present signing key signs, in seconds since 1970.",
            "kid",
            move || {
                let signs =
                    |key: &SigningKey| key.state == KeyState::Active && key.algorithm == algorithm;
                moments(&read.read(), |key| key.activated.filter(|_| signs(key)))
            },
        );
        let keeps = retires_for(&settings.tokens.jwt);
        metrics.watch_each(
            "portcullis_signing_key_expiry_seconds",
            "Until when a key that signs no more still checks, in seconds since 1970.",
            "kid",
            move || {
                let retires = |key: &SigningKey| key.state == KeyState::Retiring;
                let end = |at: Timestamp| at.plus(keeps);
                moments(&found.read(), |key| key.retired.filter(|_| retires(key)).map(end))
            },
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "a metric is a floating-point number")]
fn moments(
    keys: &[SigningKey],
    moment: impl Fn(&SigningKey) -> Option<Timestamp>,
) -> Vec<(String, f64)> {
    let told = keys.iter().filter_map(|key| Some((key.kid.clone(), moment(key)?.seconds() as f64)));
    told.collect()
}

#[expect(clippy::cast_precision_loss, reason = "a metric is a floating-point number")]
fn limits(settings: &Settings) -> Vec<(String, f64)> {
    let limits = &settings.limits;
    [
        ("connections", limits.connections),
        ("connections_per_address", limits.connections_per_address),
        ("requests_per_connection", limits.requests_per_connection as usize),
        ("cached_tokens", settings.cache.tokens),
    ]
    .map(|(name, limit)| (name.to_owned(), limit as f64))
    .into()
}

/// Two gateways with the same settings have the same, whatever they listen on. Secrets do not
/// count: they are not in what is written, and a digest would let them be guessed.
fn hash(settings: &Settings) -> String {
    let mut settings = settings.clone();
    settings.server.listen.clear();
    settings.server.telemetry_listen = None;
    // What was read can be written.
    let text = serde_json::to_vec(&settings).unwrap_or_default();
    let mut digits = hex::encode(digest(&SHA256, &text));
    digits.truncate(HASH_DIGITS);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Route;

    #[test]
    fn settings_that_differ_have_different_hashes_but_for_addresses_and_secrets() {
        let one = Settings::default();
        let mut same = one.clone();
        same.server.listen.clear();
        same.secret_key = "0123456789abcdef0123456789abcdef".into();
        let mut also = same.clone();
        also.secret_key = "another secret of thirty-two characters".into();
        assert_eq!(hash(&same), hash(&also));
        assert_eq!(hash(&one).len(), HASH_DIGITS);
        let mut other = one.clone();
        other.routes.push(Route::default());
        assert_ne!(hash(&one), hash(&other));
        other = one.clone();
        other.server.telemetry_listen = None;
        assert_eq!(hash(&one), hash(&other));
    }
}
