//! JWTs that ended one by one, by their `jti`: simplejwt's blacklist.
//!
//! It must not know how a token is read; whoever ends one says until when it would have lived.

use super::errors::Result;
use super::handle::Store;
use super::log;
use super::query::{sql, sql_by};
use crate::model::{Change, LogEntry, Timestamp, UserId};

impl Store {
    /// Ends one token until it expires by itself. No entries: it had ended before, so of
    /// several that exchange the same token only one gets an entry.
    pub async fn end_token(
        &self,
        jti: &str,
        user: Option<UserId>,
        expires: Timestamp,
        at: Timestamp,
    ) -> Result<Vec<LogEntry>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                // A user that is gone by now is no fault: the token ends without its name.
                let query = sql_by(
                    "INSERT INTO ended_tokens (jti, user_id, expires, ended) \
                     VALUES ($1, (SELECT id FROM users WHERE id = $2), $3, $4) \
                     ON CONFLICT (jti) DO NOTHING",
                    // Locked, or it could be deleted between the look and the insert.
                    "INSERT INTO ended_tokens (jti, user_id, expires, ended) \
                     VALUES ($1, (SELECT id FROM users WHERE id = $2 FOR KEY SHARE), $3, $4) \
                     ON CONFLICT (jti) DO NOTHING",
                );
                let query = query.bind(jti).bind(user).bind(expires).bind(at);
                if tx.execute(query).await? == 0 {
                    return tx.commit(Vec::new()).await;
                }
                let ended = Change::TokenEnded { jti: jti.to_owned() };
                let entry = log::append(&mut tx, ended, at).await?;
                self.note(&mut tx).await?;
                tx.commit(vec![entry]).await
            })
            .await
    }

    /// Whether a token has ended.
    pub async fn token_ended(&self, jti: &str) -> Result<bool> {
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let query = sql("SELECT expires FROM ended_tokens WHERE jti = $1").bind(jti);
                let ended: Option<(i64,)> = tx.optional(query).await?;
                tx.commit(ended.is_some()).await
            })
            .await
    }
}
