//! Which names and addresses are taken.
//!
//! A username is unique among live accounts by a constraint; that names of former accounts
//! stay taken, and that addresses are unique, are rules that settings may switch off. They
//! are checked inside the transaction that needs them, so that two at once cannot both pass.

use super::db::Tx;
use super::errors::{Field, Result, StoreError};
use super::handle::Store;
use super::query::sql;
use crate::fold::fold;
use crate::model::{Timestamp, UserId};

/// Rules about names that depend on settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameRules {
    /// No two accounts may have the same address in any spelling (`accounts.unique_email`).
    pub unique_email: bool,
    /// Names of deleted and renamed accounts are free again (`accounts.reuse_usernames`).
    pub reuse_usernames: bool,
}

impl Store {
    /// Whether a new account could not get this name: exact form, live or (unless
    /// `reuse_usernames`) formerly held.
    pub async fn username_taken(&self, username: &str, rules: NameRules) -> Result<bool> {
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let live = sql("SELECT id FROM users WHERE username = $1").bind(username);
                if tx.optional::<(i64,)>(live).await?.is_some() {
                    return tx.commit(true).await;
                }
                let used = last_holder(&mut tx, username).await?.is_some();
                tx.commit(used && !rules.reuse_usernames).await
            })
            .await
    }

    /// Whether an account other than `except` has this address in any spelling.
    pub async fn email_taken(&self, email: &str, except: Option<UserId>) -> Result<bool> {
        let key = fold(email);
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let taken = someone_has(&mut tx, &key, except).await?;
                tx.commit(taken).await
            })
            .await
    }
}

/// Makes sure that no other account has this address, until the transaction ends.
pub(super) async fn claim_email(
    tx: &mut Tx,
    rules: NameRules,
    email: &str,
    except: Option<UserId>,
) -> Result<()> {
    let key = fold(email);
    if !rules.unique_email || key.is_empty() {
        return Ok(());
    }
    tx.hold(&format!("users.email_key {key}")).await?;
    if someone_has(tx, &key, except).await? {
        return Err(StoreError::Taken(Field::Email));
    }
    Ok(())
}

/// Refuses a name that somebody else held. Call it when the name was written: then nobody can
/// be giving it up at the same time.
pub(super) async fn refuse_used(
    tx: &mut Tx,
    rules: NameRules,
    username: &str,
    holder: UserId,
) -> Result<()> {
    if rules.reuse_usernames {
        return Ok(());
    }
    match last_holder(tx, username).await? {
        Some(last) if last != holder => Err(StoreError::Taken(Field::Username)),
        _ => Ok(()),
    }
}

/// Sets a tombstone for a name that a user gives up.
pub(super) async fn retire(tx: &mut Tx, name: &str, holder: UserId, at: Timestamp) -> Result<()> {
    let query = sql("INSERT INTO used_names (name, user_id, retired) VALUES ($1, $2, $3) \
         ON CONFLICT (name) DO UPDATE SET user_id = excluded.user_id, retired = excluded.retired");
    tx.execute(query.bind(name).bind(holder).bind(at)).await?;
    Ok(())
}

async fn last_holder(tx: &mut Tx, name: &str) -> Result<Option<UserId>> {
    let query = sql("SELECT user_id FROM used_names WHERE name = $1").bind(name);
    Ok(tx.optional::<(i64,)>(query).await?.map(|(id,)| UserId(id)))
}

async fn someone_has(tx: &mut Tx, key: &str, except: Option<UserId>) -> Result<bool> {
    if key.is_empty() {
        return Ok(false);
    }
    let query =
        sql("SELECT id FROM users WHERE email_key = $1 AND email_key <> '' AND id <> $2 LIMIT 1");
    // Ids are positive: without an exception, none is left out.
    let query = query.bind(key).bind(except.unwrap_or(UserId(0)));
    Ok(tx.optional::<(i64,)>(query).await?.is_some())
}
