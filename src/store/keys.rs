//! Signing keys, sealed: what every replica signs with and checks against.
//!
//! It must not know how a key is sealed, nor what is signed with it.

use std::fmt;

use sqlx::FromRow;

use super::db::Tx;
use super::errors::{Result, StoreError};
use super::handle::Store;
use super::query::sql;
use crate::model::Timestamp;

/// A key as it is stored. Its `Debug` leaves out what is sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its name in tokens and key sets.
    pub kid: String,
    /// `ES256` and the like.
    pub algorithm: String,
    /// Where it is in its life.
    pub state: KeyState,
    /// The key, encrypted and authenticated.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created: Timestamp,
}

/// The life of a key, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Published, so that others may learn it before it signs.
    Next,
    /// Signs. One for each algorithm.
    Active,
    /// Signs no more; what it signed is good.
    Retiring,
    /// Good for nothing.
    Gone,
}

impl Store {
    /// All keys, the oldest first.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>> {
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let keys = all(&mut tx).await?;
                tx.commit(keys).await
            })
            .await
    }

    /// Adds the key unless there is an active one of its algorithm, and answers what is stored
    /// then: of two replicas that start at once, both get the key of one.
    pub async fn ensure_signing_key(&self, new: SigningKey) -> Result<Vec<SigningKey>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                // Without a target, ON CONFLICT heeds the index that allows one active key.
                let query = sql(
                    "INSERT INTO signing_keys (kid, algorithm, state, sealed, created, activated) \
                     SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS \
                     (SELECT 1 FROM signing_keys WHERE algorithm = $7 AND state = 'active') \
                     ON CONFLICT DO NOTHING",
                );
                let query = query.bind(new.kid.as_str()).bind(new.algorithm.as_str());
                let query = query.bind(state_text(new.state)).bind(new.sealed.as_slice());
                let activated = (new.state == KeyState::Active).then_some(new.created);
                let query = query.bind(new.created).bind(activated).bind(new.algorithm.as_str());
                tx.execute(query).await?;
                let keys = all(&mut tx).await?;
                tx.commit(keys).await
            })
            .await
    }
}

async fn all(tx: &mut Tx) -> Result<Vec<SigningKey>> {
    let query = sql(
        "SELECT kid, algorithm, state, sealed, created FROM signing_keys ORDER BY created, kid",
    );
    tx.all::<KeyRecord>(query).await?.into_iter().map(SigningKey::try_from).collect()
}

#[derive(FromRow)]
struct KeyRecord {
    kid: String,
    algorithm: String,
    state: String,
    sealed: Vec<u8>,
    created: i64,
}

impl TryFrom<KeyRecord> for SigningKey {
    type Error = StoreError;

    fn try_from(record: KeyRecord) -> Result<Self> {
        let state = read_state(&record.state).ok_or_else(|| {
            StoreError::unreadable(format!("a signing key in the state {:?}", record.state))
        })?;
        Ok(Self {
            kid: record.kid,
            algorithm: record.algorithm,
            state,
            sealed: record.sealed,
            created: Timestamp::from_micros(record.created),
        })
    }
}

fn state_text(state: KeyState) -> &'static str {
    match state {
        KeyState::Next => "next",
        KeyState::Active => "active",
        KeyState::Retiring => "retiring",
        KeyState::Gone => "gone",
    }
}

fn read_state(text: &str) -> Option<KeyState> {
    Some(match text {
        "next" => KeyState::Next,
        "active" => KeyState::Active,
        "retiring" => KeyState::Retiring,
        "gone" => KeyState::Gone,
        _ => return None,
    })
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .field("state", &self.state)
            .field("created", &self.created)
            .finish_non_exhaustive()
    }
}
