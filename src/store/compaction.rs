//! Throws away what can no longer matter to anyone.
//!
//! In small transactions, so that nobody waits behind it. It must not know how long things
//! live: the caller says from when on they are past.

use super::errors::Result;
use super::handle::Store;
use super::query::{Query, sql};
use crate::model::Timestamp;

/// What is past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compaction {
    /// Entries of the log before this can concern nothing that is still cached or valid, and
    /// every replica that vouches for anything has read them.
    pub log_before: Timestamp,
    /// Opaque logins not used since then have ended (`tokens.opaque.idle_timeout`).
    pub idle_before: Option<Timestamp>,
    /// Entries of the audit log before this are kept no longer (`server.audit_retention`).
    pub audit_before: Option<Timestamp>,
    /// What expired before this has ended: logins, and the memory of JWTs that ended early.
    pub now: Timestamp,
}

/// How many rows one transaction removes.
const BATCH: i64 = 1_000;

impl Store {
    /// Removes what is past; how many rows there were. May stop half-way and be repeated.
    pub async fn compact(&self, past: Compaction) -> Result<u64> {
        let log = || {
            sql("DELETE FROM change_log WHERE number IN \
                 (SELECT number FROM change_log WHERE at < $1 LIMIT $2)")
            .bind(past.log_before)
        };
        let ended = || {
            sql("DELETE FROM ended_tokens WHERE jti IN \
                 (SELECT jti FROM ended_tokens WHERE expires < $1 LIMIT $2)")
            .bind(past.now)
        };
        let uses = || {
            sql("DELETE FROM refresh_uses WHERE jti IN \
                 (SELECT jti FROM refresh_uses WHERE expires < $1 LIMIT $2)")
            .bind(past.now)
        };
        let expired = || {
            sql("DELETE FROM logins WHERE id IN \
                 (SELECT id FROM logins WHERE expires < $1 LIMIT $2)")
            .bind(past.now)
        };
        let mut removed = self.remove(log).await? + self.remove(ended).await?;
        removed += self.remove(uses).await? + self.remove(expired).await?;
        if let Some(idle_before) = past.idle_before {
            let idle = || {
                sql("DELETE FROM logins WHERE id IN (SELECT id FROM logins \
                     WHERE kind = 'opaque' AND last_used < $1 LIMIT $2)")
                .bind(idle_before)
            };
            removed += self.remove(idle).await?;
        }
        if let Some(audit_before) = past.audit_before {
            let told = || {
                sql("DELETE FROM audit_log WHERE number IN \
                     (SELECT number FROM audit_log WHERE at < $1 LIMIT $2)")
                .bind(audit_before)
            };
            removed += self.remove(told).await?;
        }
        Ok(removed)
    }

    async fn remove(&self, batch: impl Fn() -> Query) -> Result<u64> {
        let mut removed = 0;
        loop {
            let count = self
                .db
                .write(|| async {
                    let mut tx = self.db.begin().await?;
                    let count = tx.execute(batch().bind(BATCH)).await?;
                    tx.commit(count).await
                })
                .await?;
            if count == 0 {
                return Ok(removed);
            }
            removed += count;
        }
    }
}
