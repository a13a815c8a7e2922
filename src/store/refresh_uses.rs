//! Refresh tokens that were exchanged for their successors, by their `jti`.
//!
//! A second use within a moment is a client that asked twice or lost the answer; a later one is
//! a thief, or the victim of one, and ends the whole login. It must not know how a token is read.

use std::time::Duration;

use super::errors::Result;
use super::handle::Store;
use super::logins;
use super::query::sql;
use crate::model::{LogEntry, LoginId, Timestamp};

/// A refresh token that is being exchanged.
#[derive(Debug, Clone, Copy)]
pub struct RefreshUse<'a> {
    /// Its claim `jti`.
    pub jti: &'a str,
    /// The login that it belongs to.
    pub login: LoginId,
    /// The claim `jti` of what it is exchanged for.
    pub successor: &'a str,
    /// When it would have ended by itself.
    pub expires: Timestamp,
    /// When its successor ends: the login lives as long.
    pub until: Timestamp,
    /// For how long after its first use it may be used again.
    pub grace: Duration,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// It was the first use, or one shortly after it.
    Exchanged,
    /// It had been used before: the login ended with all its tokens.
    Reused(Vec<LogEntry>),
    /// The login had ended.
    Gone,
}

impl Store {
    /// Notes that a refresh token is exchanged, or ends its login if that had happened before.
    pub async fn use_refresh(&self, used: RefreshUse<'_>, at: Timestamp) -> Result<RefreshOutcome> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                // Only of a login that is there: the reference would be refused otherwise. Two at
                // once wait here for each other.
                let insert =
                    sql("INSERT INTO refresh_uses (jti, login_id, successor, used, expires) \
                     SELECT $1, l.id, $3, $4, $5 FROM logins l WHERE l.id = $2 \
                     ON CONFLICT (jti) DO NOTHING");
                let insert = insert.bind(used.jti).bind(used.login).bind(used.successor);
                if tx.execute(insert.bind(at).bind(used.expires)).await? > 0 {
                    logins::extend(&mut tx, used.login, used.until, at).await?;
                    return tx.commit(RefreshOutcome::Exchanged).await;
                }
                let first = sql("SELECT used FROM refresh_uses WHERE jti = $1").bind(used.jti);
                let Some((first,)) = tx.optional::<(i64,)>(first).await? else {
                    return tx.commit(RefreshOutcome::Gone).await;
                };
                if at.since(Timestamp::from_micros(first)) <= used.grace {
                    logins::extend(&mut tx, used.login, used.until, at).await?;
                    return tx.commit(RefreshOutcome::Exchanged).await;
                }
                let entries = logins::end(&mut tx, &[used.login], at).await?;
                self.note(&mut tx).await?;
                tx.commit(RefreshOutcome::Reused(entries)).await
            })
            .await
    }

    /// When a refresh token was first exchanged.
    pub async fn refresh_used(&self, jti: &str) -> Result<Option<Timestamp>> {
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let query = sql("SELECT used FROM refresh_uses WHERE jti = $1").bind(jti);
                let used: Option<(i64,)> = tx.optional(query).await?;
                tx.commit(used.map(|(used,)| Timestamp::from_micros(used))).await
            })
            .await
    }
}
