//! Changes of a user's record other than the password.
//!
//! Each raises the record's version and says so in the log, unless nothing changes. It must
//! not know who may change what.

use super::db::Tx;
use super::errors::Result;
use super::handle::Store;
use super::names::{self, NameRules};
use super::outbox::{self, NewMail};
use super::query::sql;
use super::users::{self, Changed};
use crate::fold::fold;
use crate::model::{CutReason, Timestamp, User, UserId};

/// A change of the profile; `None` leaves the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProfileChange<'a> {
    /// The new name, in Unicode form NFKC. The old one stays taken.
    pub username: Option<&'a str>,
    /// The new address; it is unverified.
    pub email: Option<&'a str>,
    /// The link mailed to this address was used: it is verified if it is (still) the account's.
    pub verified_email: Option<&'a str>,
    /// Note a login, as djoser does when a link is used to set a name.
    pub set_last_login: bool,
    /// A new address deactivates the account until the link mailed to it is used.
    pub deactivate: bool,
}

/// What a user may do besides logging in; `None` leaves the flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// See [`User::is_staff`].
    pub is_staff: Option<bool>,
    /// See [`User::is_superuser`].
    pub is_superuser: Option<bool>,
}

impl Store {
    /// Changes name, address or both. `None`: no such user.
    ///
    /// # Errors
    /// [`StoreError::Taken`](super::StoreError::Taken) as `rules` have it. Users may take back
    /// a name that they were the last to hold.
    pub async fn change_profile(
        &self,
        id: UserId,
        change: ProfileChange<'_>,
        rules: NameRules,
        mail: Option<NewMail<'_>>,
        at: Timestamp,
    ) -> Result<Option<Changed>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let Some(user) = users::lock(&mut tx, id).await? else {
                    return tx.commit(None).await;
                };
                let (mut changed, mut deactivated) = (false, false);
                if let Some(email) = change.email.filter(|email| *email != user.email) {
                    names::claim_email(&mut tx, rules, email, Some(id)).await?;
                    set_email(&mut tx, id, email).await?;
                    changed = true;
                    deactivated = change.deactivate && user.is_active;
                }
                if let Some(username) = change.username.filter(|name| *name != user.username) {
                    rename(&mut tx, &user, username, rules, at).await?;
                    changed = true;
                }
                if let Some(address) = change.verified_email {
                    changed |= verify_email(&mut tx, id, address).await?;
                }
                if change.set_last_login {
                    users::note_login(&mut tx, id, at).await?;
                }
                if let Some(mail) = &mail {
                    outbox::enqueue(&mut tx, mail, at).await?;
                }
                if deactivated {
                    write_active(&mut tx, id, false).await?;
                    let entry = users::cut(&mut tx, id, CutReason::UserInactive, at).await?;
                    let user = users::require(&mut tx, id).await?;
                    self.note(&mut tx).await?;
                    return tx.commit(Some((user, vec![entry]))).await;
                }
                let changed = finish(&mut tx, id, changed, at).await?;
                self.note_changes(&mut tx, &changed.1).await?;
                tx.commit(Some(changed)).await
            })
            .await
    }

    /// Activates an account by a mailed link, which also proves the address it was sent to.
    /// No entries: the account was active and its address verified. `None`: no such user.
    pub async fn activate(
        &self,
        id: UserId,
        verified_email: Option<&str>,
        mail: Option<NewMail<'_>>,
        at: Timestamp,
    ) -> Result<Option<Changed>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let Some(user) = users::lock(&mut tx, id).await? else {
                    return tx.commit(None).await;
                };
                let mut changed = !user.is_active;
                if changed {
                    write_active(&mut tx, id, true).await?;
                }
                if let Some(address) = verified_email {
                    changed |= verify_email(&mut tx, id, address).await?;
                }
                if let Some(mail) = &mail {
                    outbox::enqueue(&mut tx, mail, at).await?;
                }
                let changed = finish(&mut tx, id, changed, at).await?;
                self.note_changes(&mut tx, &changed.1).await?;
                tx.commit(Some(changed)).await
            })
            .await
    }

    /// Activates or deactivates an account; the latter cuts all its credentials off.
    /// `None`: no such user.
    pub async fn set_active(
        &self,
        id: UserId,
        active: bool,
        at: Timestamp,
    ) -> Result<Option<Changed>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let Some(user) = users::lock(&mut tx, id).await? else {
                    return tx.commit(None).await;
                };
                if user.is_active == active {
                    return tx.commit(Some((user, Vec::new()))).await;
                }
                write_active(&mut tx, id, active).await?;
                let entry = if active {
                    users::announce(&mut tx, id, at).await?
                } else {
                    users::cut(&mut tx, id, CutReason::UserInactive, at).await?
                };
                let user = users::require(&mut tx, id).await?;
                self.note(&mut tx).await?;
                tx.commit(Some((user, vec![entry]))).await
            })
            .await
    }

    /// Says whether the account's address is verified. `None`: no such user.
    pub async fn set_email_verified(
        &self,
        id: UserId,
        verified: bool,
        at: Timestamp,
    ) -> Result<Option<Changed>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let Some(user) = users::lock(&mut tx, id).await? else {
                    return tx.commit(None).await;
                };
                let query = sql("UPDATE users SET email_verified = $2 WHERE id = $1");
                tx.execute(query.bind(id).bind(verified)).await?;
                let changed = user.email_verified != verified;
                let changed = finish(&mut tx, id, changed, at).await?;
                self.note_changes(&mut tx, &changed.1).await?;
                tx.commit(Some(changed)).await
            })
            .await
    }

    /// Gives or takes the flags of staff and superusers. `None`: no such user.
    pub async fn set_flags(
        &self,
        id: UserId,
        flags: Flags,
        at: Timestamp,
    ) -> Result<Option<Changed>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let Some(user) = users::lock(&mut tx, id).await? else {
                    return tx.commit(None).await;
                };
                let staff = flags.is_staff.unwrap_or(user.is_staff);
                let superuser = flags.is_superuser.unwrap_or(user.is_superuser);
                let query = sql("UPDATE users SET is_staff = $2, is_superuser = $3 WHERE id = $1");
                tx.execute(query.bind(id).bind(staff).bind(superuser)).await?;
                let changed = (user.is_staff, user.is_superuser) != (staff, superuser);
                let changed = finish(&mut tx, id, changed, at).await?;
                self.note_changes(&mut tx, &changed.1).await?;
                tx.commit(Some(changed)).await
            })
            .await
    }
}

/// Marks the address as verified if it is the account's and was not; whether it did.
pub(super) async fn verify_email(tx: &mut Tx, id: UserId, address: &str) -> Result<bool> {
    let query = sql("UPDATE users SET email_verified = TRUE \
         WHERE id = $1 AND email = $2 AND email <> '' AND email_verified = FALSE");
    Ok(tx.execute(query.bind(id).bind(address)).await? > 0)
}

async fn set_email(tx: &mut Tx, id: UserId, email: &str) -> Result<()> {
    let query =
        sql("UPDATE users SET email = $2, email_key = $3, email_verified = FALSE WHERE id = $1");
    tx.execute(query.bind(id).bind(email).bind(fold(email))).await?;
    Ok(())
}

async fn rename(
    tx: &mut Tx,
    user: &User,
    username: &str,
    rules: NameRules,
    at: Timestamp,
) -> Result<()> {
    let query = sql("UPDATE users SET username = $2, username_key = $3 WHERE id = $1");
    tx.execute(query.bind(user.id).bind(username).bind(fold(username))).await?;
    names::refuse_used(tx, rules, username, user.id).await?;
    names::retire(tx, &user.username, user.id, at).await
}

/// What a deactivation cut off does not come back: the dead logins that it left go here.
async fn write_active(tx: &mut Tx, id: UserId, active: bool) -> Result<()> {
    let query = sql("UPDATE users SET is_active = $2 WHERE id = $1");
    tx.execute(query.bind(id).bind(active)).await?;
    if active {
        let dead = sql("DELETE FROM logins WHERE user_id = $1 \
             AND generation < (SELECT generation FROM users WHERE id = $1)");
        tx.execute(dead.bind(id)).await?;
    }
    Ok(())
}

async fn finish(tx: &mut Tx, id: UserId, changed: bool, at: Timestamp) -> Result<Changed> {
    let entries = if changed { vec![users::announce(tx, id, at).await?] } else { Vec::new() };
    Ok((users::require(tx, id).await?, entries))
}
