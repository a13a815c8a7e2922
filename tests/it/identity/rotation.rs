//! `portcullis keys` and two replicas: keys are published before they sign, and checked for as
//! long as something they signed can live.

use std::time::Duration;

use portcullis::cli::keys::{KeysCommand, KeysError, run};
use portcullis::clock::Clock;
use portcullis::cluster::KeyFollower;
use portcullis::config::Settings;
use portcullis::identity::{JwtFault, PUBLISHED_FOR, Rejection};
use portcullis::secret::RootKey;
use portcullis::store::Store;
use serde_json::Value;

use super::replica::{Replica, START, rejection};

/// Two replicas, and an operator at the shell.
struct Installation {
    settings: Settings,
    store: Store,
    clock: Clock,
    one: Replica,
    other: Replica,
}

impl Installation {
    async fn new() -> Self {
        let (settings, clock) = (Settings::default(), Clock::manual(START));
        let store = Store::open_temporary().await.unwrap();
        let one = Replica::start(&settings, &store, &clock).await;
        let other = Replica::start(&settings, &store, &clock).await;
        Self { settings, store, clock, one, other }
    }

    async fn try_command(&self, command: KeysCommand) -> Result<String, KeysError> {
        let root = RootKey::new("a secret key of this installation");
        let mut out = Vec::new();
        run(command, &self.settings, &self.store, &root, &self.clock, &mut out).await?;
        Ok(String::from_utf8(out).unwrap())
    }

    async fn command(&self, command: KeysCommand) -> String {
        self.try_command(command).await.unwrap()
    }

    /// Both replicas read the keys, as they do every few seconds.
    async fn seconds_later(&self) {
        for replica in [&self.one, &self.other] {
            let keys = replica.keys.clone();
            KeyFollower::new(self.store.clone(), self.clock.clone(), keys).read().await;
        }
    }

    /// The state of each key, the oldest first.
    async fn states(&self) -> Vec<(String, String)> {
        let listed = self.command(KeysCommand::List { json: true }).await;
        let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
        let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
        listed.iter().map(|key| (text(key, "kid"), text(key, "state"))).collect()
    }

    async fn in_state(&self, state: &str) -> String {
        let mut all = self.states().await.into_iter().filter(|key| key.1 == state);
        let found = all.next().unwrap_or_else(|| panic!("no key is {state}")).0;
        assert_eq!(all.next(), None, "only one is {state}");
        found
    }

    fn pass(&self, time: Duration) {
        for replica in [&self.one, &self.other] {
            replica.revocations.synced(self.clock.now().plus(time));
        }
        self.clock.set(self.clock.now().plus(time));
    }
}

fn kid(token: &str) -> String {
    let head = token.split('.').next().unwrap();
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let head = base64::Engine::decode(&engine, head).unwrap();
    let head: Value = serde_json::from_slice(&head).unwrap();
    head["kid"].as_str().unwrap().to_owned()
}

fn published(replica: &Replica) -> Vec<String> {
    let set: Value = serde_json::from_str(&replica.issuer.key_set()).unwrap();
    let kids = set["keys"].as_array().unwrap().iter();
    kids.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_key_is_published_everywhere_before_it_signs_and_is_not_hurried() {
    let at = Installation::new().await;
    let first = at.in_state("active").await;
    at.command(KeysCommand::Rotate { now: false }).await;
    let next = at.in_state("next").await;
    at.seconds_later().await;
    let user = at.one.user("ada").await;
    for replica in [&at.one, &at.other] {
        assert_eq!(published(replica), [first.clone(), next.clone()]);
        assert_eq!(kid(&replica.issuer.pair(&user, None, at.clock.now()).access), first);
    }
    let refused = at.try_command(KeysCommand::Rotate { now: false }).await.unwrap_err();
    assert!(matches!(&refused, KeysError::TooYoung { kid, .. } if *kid == next), "{refused}");

    at.pass(PUBLISHED_FOR);
    at.command(KeysCommand::Rotate { now: false }).await;
    assert_eq!(at.in_state("active").await, next);
    assert_eq!(at.in_state("retiring").await, first);
    at.seconds_later().await;
    for replica in [&at.one, &at.other] {
        assert_eq!(kid(&replica.issuer.pair(&user, None, at.clock.now()).access), next);
        assert_eq!(published(replica).len(), 3, "and the one after the next is published");
    }
}

#[tokio::test]
async fn what_a_retiring_key_signed_is_good_everywhere_until_it_would_have_ended() {
    let at = Installation::new().await;
    let user = at.one.user("ada").await;
    let (before, _) = at.one.log_in_jwt(&user).await;
    let retiring = at.in_state("active").await;
    at.command(KeysCommand::Rotate { now: true }).await;
    at.seconds_later().await;
    let (after, _) = at.one.log_in_jwt(&user).await;
    assert_ne!(kid(&after.access), retiring);
    for token in [&before.access, &after.access] {
        assert!(at.other.jwt(token).await.is_ok());
    }
    let refresh = *at.settings.tokens.jwt.refresh_lifetime;
    at.pass(refresh.saturating_sub(Duration::from_secs(1)));
    at.seconds_later().await;
    assert!(at.other.authenticator.refresh_token(&before.refresh).await.is_ok());
    at.pass(Duration::from_mins(2));
    at.seconds_later().await;
    assert_eq!(at.in_state("gone").await, retiring);
    assert!(!published(&at.other).contains(&retiring));
}

#[tokio::test]
async fn a_revoked_key_ends_what_it_signed_also_where_that_was_known() {
    let at = Installation::new().await;
    let user = at.one.user("ada").await;
    let (leaked, _) = at.one.log_in_jwt(&user).await;
    let (opaque, _) = at.one.log_in_opaque(&user).await;
    for replica in [&at.one, &at.other] {
        assert!(replica.jwt(&leaked.access).await.is_ok());
    }
    let bad = kid(&leaked.access);
    at.command(KeysCommand::Revoke { kid: bad.clone() }).await;
    at.seconds_later().await;
    let good = at.in_state("active").await;
    assert_ne!(good, bad);
    for replica in [&at.one, &at.other] {
        for _ in 0..2 {
            let refused = rejection(replica.jwt(&leaked.access).await);
            assert_eq!(refused, Rejection::Jwt(JwtFault::Invalid));
        }
        assert_eq!(published(replica), std::slice::from_ref(&good));
        assert!(replica.opaque(&opaque).await.is_ok(), "opaque tokens go on");
    }
    let (anew, _) = at.one.log_in_jwt(&user).await;
    assert!(at.other.jwt(&anew.access).await.is_ok());
    let again = at.try_command(KeysCommand::Revoke { kid: bad }).await;
    assert!(matches!(again, Err(KeysError::Unknown(_))));
}

#[tokio::test]
async fn keys_that_are_read_again_unchanged_leave_what_is_known_alone() {
    let at = Installation::new().await;
    let user = at.one.user("ada").await;
    let (pair, _) = at.one.log_in_jwt(&user).await;
    let known = at.one.jwt(&pair.access).await.unwrap();
    at.seconds_later().await;
    let still = at.one.jwt(&pair.access).await.unwrap();
    assert!(std::sync::Arc::ptr_eq(&known, &still), "nothing was proved anew");
}

#[tokio::test]
async fn one_key_waits_at_a_time() {
    let at = Installation::new().await;
    at.command(KeysCommand::Generate).await;
    let next = at.in_state("next").await;
    let text = at.command(KeysCommand::Generate).await;
    assert_eq!(text, format!("key {next} is published already\n"));
    let listed = at.command(KeysCommand::List { json: false }).await;
    assert_eq!(listed.lines().count(), 3, "{listed}");
}

#[tokio::test]
async fn where_the_settings_say_which_key_signs_the_commands_say_so() {
    let mut at = Installation::new().await;
    at.settings = super::replica::django();
    let refused = at.try_command(KeysCommand::Generate).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the settings say which key signs (tokens.jwt.signing_key): it is changed there"
    );
}
