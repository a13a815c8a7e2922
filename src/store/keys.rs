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
    /// When it began to sign.
    pub activated: Option<Timestamp>,
    /// When it ceased to sign.
    pub retired: Option<Timestamp>,
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

impl Store {
    /// Adds a key that is published and does not sign.
    ///
    /// # Errors
    /// The database's.
    pub async fn add_next_key(&self, new: &SigningKey) -> Result<()> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                insert_next(&mut tx, new).await?;
                self.note(&mut tx).await?;
                tx.commit(()).await
            })
            .await
    }

    /// Has a key sign from now on; the one that did retires. Answers whether the key was `next`.
    ///
    /// # Errors
    /// The database's.
    pub async fn promote_key(&self, kid: &str, now: Timestamp) -> Result<bool> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let promoted = promote(&mut tx, kid, now).await?;
                if promoted {
                    self.note(&mut tx).await?;
                }
                tx.commit(promoted).await
            })
            .await
    }

    /// Takes a key away at once, and what is sealed of it. If it signs, `successor` does from now
    /// on, which may be new. Answers whether there was such a key.
    ///
    /// # Errors
    /// The database's.
    pub async fn revoke_key(
        &self,
        kid: &str,
        successor: Option<&SigningKey>,
        now: Timestamp,
    ) -> Result<bool> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let query = sql("UPDATE signing_keys SET state = 'gone', gone = $2, sealed = $3 \
                     WHERE kid = $1 AND state <> 'gone'");
                let query = query.bind(kid).bind(now).bind(&[][..]);
                let revoked = tx.execute(query).await? > 0;
                if let Some(successor) = successor.filter(|_| revoked) {
                    insert_next(&mut tx, successor).await?;
                    promote(&mut tx, &successor.kid, now).await?;
                }
                if revoked {
                    self.note(&mut tx).await?;
                }
                tx.commit(revoked).await
            })
            .await
    }

    /// Takes those away that retired before, and answers what is stored then.
    ///
    /// # Errors
    /// The database's.
    pub async fn drop_retired_keys(
        &self,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<SigningKey>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let query = sql("UPDATE signing_keys SET state = 'gone', gone = $2, sealed = $3 \
                     WHERE state = 'retiring' AND retired <= $1");
                tx.execute(query.bind(before).bind(now).bind(&[][..])).await?;
                let keys = all(&mut tx).await?;
                tx.commit(keys).await
            })
            .await
    }
}

/// One that is there already stays as it is.
async fn insert_next(tx: &mut Tx, key: &SigningKey) -> Result<()> {
    let query = sql("INSERT INTO signing_keys (kid, algorithm, state, sealed, created) \
         VALUES ($1, $2, 'next', $3, $4) ON CONFLICT DO NOTHING");
    let query = query.bind(key.kid.as_str()).bind(key.algorithm.as_str());
    tx.execute(query.bind(key.sealed.as_slice()).bind(key.created)).await?;
    Ok(())
}

/// The one that signs steps back first: the index allows one.
async fn promote(tx: &mut Tx, kid: &str, now: Timestamp) -> Result<bool> {
    let query =
        sql("UPDATE signing_keys SET state = 'retiring', retired = $2 WHERE state = 'active' \
         AND algorithm = (SELECT algorithm FROM signing_keys WHERE kid = $1 AND state = 'next')");
    tx.execute(query.bind(kid).bind(now)).await?;
    let query = sql("UPDATE signing_keys SET state = 'active', activated = $2 \
         WHERE kid = $1 AND state = 'next'");
    Ok(tx.execute(query.bind(kid).bind(now)).await? > 0)
}

async fn all(tx: &mut Tx) -> Result<Vec<SigningKey>> {
    let query =
        sql("SELECT kid, algorithm, state, sealed, created, activated, retired FROM signing_keys \
         ORDER BY created, kid");
    tx.all::<KeyRecord>(query).await?.into_iter().map(SigningKey::try_from).collect()
}

#[derive(FromRow)]
struct KeyRecord {
    kid: String,
    algorithm: String,
    state: String,
    sealed: Vec<u8>,
    created: i64,
    activated: Option<i64>,
    retired: Option<i64>,
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
            activated: record.activated.map(Timestamp::from_micros),
            retired: record.retired.map(Timestamp::from_micros),
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
