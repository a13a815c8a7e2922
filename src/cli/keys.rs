//! `portcullis keys`: the keys that sign our JWTs, administered from the shell.
//!
//! Works on the database alone; running replicas follow within seconds. No key material is ever
//! shown. It must not know how a key is made, sealed or used.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use clap::Subcommand;
use serde::Serialize;

use super::deeds::ShellAudit;
use crate::clock::Clock;
use crate::config::Settings;
use crate::identity::{KeyError, PUBLISHED_FOR, new_signing_key, retires_for};
use crate::model::{Deed, Timestamp};
use crate::secret::RootKey;
use crate::store::{KeyState, SigningKey, Store, StoreError};

/// What can be done with signing keys.
#[derive(Debug, Clone, Subcommand)]
pub enum KeysCommand {
    /// List the keys: their names, algorithms and states
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Publish a new key that does not sign yet, unless there is one
    Generate,
    /// Have the published key sign, and publish the next one; without a published key, publish one
    Rotate {
        /// Do not wait until everybody can know the key: whoever checks tokens with an older copy of
        /// the key set refuses new ones until it is fetched again
        #[arg(long)]
        now: bool,
    },
    /// Take a key away at once: every token that it signed ends
    Revoke {
        /// The key's name
        kid: String,
    },
}

/// Why a command did nothing; the exit code is 1.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The next key is too young.
    #[error(
        "key {kid} was published a moment ago, and whoever cached the key set does not know it: \
         run this again after {after}, or now with --now"
    )]
    TooYoung {
        /// The next key.
        kid: String,
        /// When it may sign.
        after: String,
    },
    /// No such key, or it is gone already.
    #[error("there is no key {0}")]
    Unknown(String),
    /// No key can be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database did not do it.
    #[error("the database did not do it")]
    Store(#[from] StoreError),
    /// The audit log cannot be written.
    #[error("the audit log cannot be written (server.audit_log)")]
    Audit(#[source] io::Error),
    /// Nothing can be written.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

type Result<T> = std::result::Result<T, KeysError>;

/// Carries out a command.
///
/// # Errors
/// See [`KeysError`].
pub async fn run(
    command: KeysCommand,
    settings: &Settings,
    store: &Store,
    root: &RootKey,
    clock: &Clock,
    out: &mut impl Write,
) -> Result<()> {
    // First: what cannot be written down is not done.
    let audit = ShellAudit::open(settings, store, clock).map_err(KeysError::Audit)?;
    let mut shell = Shell { settings, store, root, now: clock.now(), audit, doing: None, out };
    let done = match command {
        KeysCommand::List { json } => shell.list(json).await,
        KeysCommand::Generate => shell.generate().await,
        KeysCommand::Rotate { now } => shell.rotate(now).await,
        KeysCommand::Revoke { kid } => shell.revoke(&kid).await,
    };
    if let (Err(error), Some(deed)) = (&done, shell.doing.take()) {
        shell.audit.told(&deed.failed(error.reason())).await;
    }
    done
}

/// What the audit log calls it; `None`: it changes nothing.
pub(super) fn action(command: &KeysCommand) -> Option<&'static str> {
    match command {
        KeysCommand::List { .. } => None,
        KeysCommand::Generate => Some("key.generate"),
        KeysCommand::Rotate { .. } => Some("key.rotate"),
        KeysCommand::Revoke { .. } => Some("key.revoke"),
    }
}

impl KeysError {
    /// The word that the audit log has for it.
    fn reason(&self) -> &'static str {
        match self {
            Self::TooYoung { .. } => "too_young",
            Self::Unknown(_) => "unknown_key",
            Self::Key(KeyError::Store(_)) | Self::Store(_) => "database",
            Self::Key(_) => "refused",
            Self::Audit(_) | Self::Output(_) => "terminal",
        }
    }
}

struct Shell<'a, W> {
    settings: &'a Settings,
    store: &'a Store,
    root: &'a RootKey,
    now: Timestamp,
    audit: ShellAudit,
    /// What is being done, until it is.
    doing: Option<Deed>,
    out: &'a mut W,
}

#[derive(Serialize)]
struct Shown<'a> {
    kid: &'a str,
    algorithm: &'a str,
    state: &'static str,
    created: String,
    activated: Option<String>,
    retired: Option<String>,
}

impl<W: Write> Shell<'_, W> {
    async fn list(&mut self, json: bool) -> Result<()> {
        let keys = self.store.signing_keys().await?;
        let shown: Vec<_> = keys.iter().map(shown).collect();
        if json {
            let text = serde_json::to_string_pretty(&shown).map_err(io::Error::from)?;
            writeln!(self.out, "{text}")?;
            return Ok(());
        }
        writeln!(self.out, "{:<45} {:<9} {:<9} since", "kid", "algorithm", "state")?;
        for Shown { kid, algorithm, state, created, activated, retired } in &shown {
            let since = retired.as_ref().or(activated.as_ref()).unwrap_or(created);
            writeln!(self.out, "{kid:<45} {algorithm:<9} {state:<9} {since}")?;
        }
        Ok(())
    }

    async fn generate(&mut self) -> Result<()> {
        self.begin("key.generate", None);
        if let Some(next) = self.next().await? {
            self.doing = None;
            writeln!(self.out, "key {} is published already", next.kid)?;
            return Ok(());
        }
        let kid = self.publish().await?;
        let after = time(self.now.plus(PUBLISHED_FOR));
        writeln!(self.out, "key {kid} is published; it can sign after {after}")?;
        Ok(())
    }

    async fn rotate(&mut self, now: bool) -> Result<()> {
        self.begin("key.rotate", None);
        let next = match self.next().await? {
            Some(next) => next,
            None if now => {
                self.publish().await?;
                match self.next().await? {
                    Some(next) => next,
                    None => return Err(KeyError::Generation.into()),
                }
            }
            None => return self.generate().await,
        };
        let store = self.begin("key.rotate", Some(&next.kid));
        if !now && self.now.since(next.created) < PUBLISHED_FOR {
            let after = time(next.created.plus(PUBLISHED_FOR));
            return Err(KeysError::TooYoung { kid: next.kid, after });
        }
        if !store.promote_key(&next.kid, self.now).await? {
            return Err(KeysError::Unknown(next.kid));
        }
        self.done();
        let until = time(self.now.plus(retires_for(&self.settings.tokens.jwt)));
        writeln!(
            self.out,
            "key {} signs from now on; the one before checks until {until}",
            next.kid
        )?;
        let kid = self.publish().await?;
        writeln!(self.out, "key {kid} is published for the next rotation")?;
        Ok(())
    }

    async fn revoke(&mut self, kid: &str) -> Result<()> {
        self.begin("key.revoke", None);
        let keys = self.store.signing_keys().await?;
        let known = keys.iter().find(|key| key.kid == kid && key.state != KeyState::Gone);
        let Some(known) = known else { return Err(KeysError::Unknown(kid.to_owned())) };
        let store = self.begin("key.revoke", Some(kid));
        let successor = match known.state {
            KeyState::Active => Some(match self.next().await? {
                Some(next) => next,
                None => self.new_key().await?,
            }),
            KeyState::Next | KeyState::Retiring | KeyState::Gone => None,
        };
        if !store.revoke_key(kid, successor.as_ref(), self.now).await? {
            return Err(KeysError::Unknown(kid.to_owned()));
        }
        self.done();
        writeln!(self.out, "key {kid} is gone: every token that it signed ends within seconds")?;
        if let Some(successor) = successor {
            writeln!(self.out, "key {} signs from now on", successor.kid)?;
        }
        Ok(())
    }

    async fn publish(&mut self) -> Result<String> {
        self.begin("key.generate", None);
        let key = self.new_key().await?;
        self.begin("key.generate", Some(&key.kid)).add_next_key(&key).await?;
        self.done();
        Ok(key.kid)
    }

    /// Says what is being done, and to which key if that is one; whatever the store changes by the
    /// next call, it writes this down with it.
    fn begin(&mut self, action: &'static str, kid: Option<&str>) -> Store {
        let deed = self.audit.deed(action);
        let deed = self.doing.insert(kid.into_iter().fold(deed, Deed::to_key));
        self.audit.noting(deed)
    }

    /// It is.
    fn done(&mut self) {
        if let Some(deed) = self.doing.take() {
            self.audit.noted(&deed);
        }
    }

    async fn new_key(&self) -> Result<SigningKey> {
        Ok(new_signing_key(&self.settings.tokens.jwt, self.root, self.now).await?)
    }

    /// The published key of the settings' algorithm; the oldest, should there be several.
    async fn next(&self) -> Result<Option<SigningKey>> {
        let keys = self.store.signing_keys().await?;
        let algorithm = &self.settings.tokens.jwt.algorithm;
        let is_it = |key: &SigningKey| key.state == KeyState::Next && key.algorithm == *algorithm;
        Ok(keys.into_iter().find(is_it))
    }
}

fn shown(key: &SigningKey) -> Shown<'_> {
    Shown {
        kid: &key.kid,
        algorithm: &key.algorithm,
        state: match key.state {
            KeyState::Next => "next",
            KeyState::Active => "active",
            KeyState::Retiring => "retiring",
            KeyState::Gone => "gone",
        },
        created: time(key.created),
        activated: key.activated.map(time),
        retired: key.retired.map(time),
    }
}

fn time(at: Timestamp) -> String {
    let seconds = u64::try_from(at.seconds()).unwrap_or(0);
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    at.map_or_else(String::new, |at| humantime::format_rfc3339_seconds(at).to_string())
}
