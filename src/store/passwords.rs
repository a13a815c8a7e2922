//! Stored password hashes: how they are replaced.
//!
//! It must not know what a hash is made of; two are the same if their texts are.

use secrecy::ExposeSecret;

use super::errors::Result;
use super::handle::Store;
use super::outbox::{self, NewMail};
use super::query::sql;
use super::users::{self, Changed};
use super::{db::Tx, profile};
use crate::model::{CutReason, LogEntry, Timestamp, UserId};

/// A new password.
pub struct PasswordChange<'a> {
    /// The new stored hash.
    pub password: &'a str,
    /// Only if the stored hash still equals this one (a reset link is good once).
    pub instead_of: Option<&'a str>,
    /// End all opaque tokens and JWTs: raises the generation, logs `UserCut`.
    pub log_out: bool,
    /// Note a login, as djoser does when a link is used to set a password.
    pub set_last_login: bool,
    /// The link mailed to this address was used: it is verified if it is still the account's.
    pub verified_email: Option<&'a str>,
}

impl Store {
    /// Sets a password. `None`: no such user, or the stored hash was not the expected one.
    pub async fn change_password(
        &self,
        id: UserId,
        change: PasswordChange<'_>,
        mail: Option<NewMail<'_>>,
        at: Timestamp,
    ) -> Result<Option<Changed>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let Some(user) = users::lock(&mut tx, id).await? else {
                    return tx.commit(None).await;
                };
                let expected = |hash: &str| hash == user.password.expose_secret();
                if !change.instead_of.is_none_or(expected) {
                    return tx.commit(None).await;
                }
                write_hash(&mut tx, id, change.password).await?;
                if let Some(address) = change.verified_email {
                    profile::verify_email(&mut tx, id, address).await?;
                }
                if change.set_last_login {
                    users::note_login(&mut tx, id, at).await?;
                }
                if let Some(mail) = &mail {
                    outbox::enqueue(&mut tx, mail, at).await?;
                }
                let entry = if change.log_out {
                    users::cut(&mut tx, id, CutReason::PasswordChanged, at).await?
                } else {
                    users::announce(&mut tx, id, at).await?
                };
                let user = users::require(&mut tx, id).await?;
                self.note(&mut tx).await?;
                tx.commit(Some((user, vec![entry]))).await
            })
            .await
    }

    /// Replaces a hash by one of the same password, unless the password was changed meanwhile.
    /// Ends nothing, but replicas that remember a digest of the hash must read it again. No
    /// entries: nothing was replaced.
    pub async fn rehash(
        &self,
        id: UserId,
        old: &str,
        new: &str,
        at: Timestamp,
    ) -> Result<Vec<LogEntry>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let query = sql("UPDATE users SET password = $3 WHERE id = $1 AND password = $2");
                if tx.execute(query.bind(id).bind(old).bind(new)).await? == 0 {
                    return tx.commit(Vec::new()).await;
                }
                let entry = users::announce(&mut tx, id, at).await?;
                tx.commit(vec![entry]).await
            })
            .await
    }
}

async fn write_hash(tx: &mut Tx, id: UserId, hash: &str) -> Result<()> {
    let query = sql("UPDATE users SET password = $2 WHERE id = $1");
    tx.execute(query.bind(id).bind(hash)).await?;
    Ok(())
}
