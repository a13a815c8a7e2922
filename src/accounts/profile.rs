//! A user's own record: read it, change it, remove the account.
//!
//! A change ends no login: a client that renames its user stays logged in. Removing the account
//! ends everything.

use crate::model::{MailPurpose, User, UserId};
use crate::store::{Field, NewMail, ProfileChange, StoreError};

use super::names::{self, NameFault};
use super::site::Origin;
use super::{Accounts, Trouble};

/// What shall be changed; `None` leaves the field. Texts as typed, white space cut off.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProfileEdit<'a> {
    /// The new name; taken notice of only if [`Accounts::may_rename`].
    pub username: Option<&'a str>,
    /// The new address, empty for none.
    pub email: Option<&'a str>,
}

/// Why a record was not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The account was deleted meanwhile.
    #[error("the account is gone")]
    Gone,
    /// Not a username.
    #[error("the username is not valid")]
    InvalidUsername(Vec<NameFault>),
    /// Not an e-mail address.
    #[error("the e-mail address is not valid")]
    InvalidEmail(Vec<NameFault>),
    /// Another account, or a tombstone, holds it.
    #[error("{0:?} is taken")]
    Taken(Field),
    /// Our own trouble.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Accounts {
    /// Whether users may change their username by changing their record. djoser's field for
    /// logging in is read-only there.
    #[must_use]
    pub fn may_rename(&self) -> bool {
        let accounts = &self.settings().accounts;
        accounts.login_field != "email" && !accounts.login_field_read_only
    }

    /// Whether users may change their address likewise.
    #[must_use]
    pub fn may_change_email(&self) -> bool {
        let accounts = &self.settings().accounts;
        accounts.login_field != "email" || !accounts.login_field_read_only
    }

    /// A user's record as it is now.
    ///
    /// # Errors
    /// The account is gone, or our own trouble.
    pub async fn profile(&self, id: UserId) -> Result<User, ProfileError> {
        self.parts.store.user(id).await.map_err(Trouble::from)?.ok_or(ProfileError::Gone)
    }

    /// Changes a user's record and answers it as it is then. Where accounts are activated by
    /// mail, a new address deactivates the account until the link mailed to it is used.
    ///
    /// # Errors
    /// See [`ProfileError`].
    pub async fn change_profile(
        &self,
        id: UserId,
        edit: ProfileEdit<'_>,
        origin: &Origin<'_>,
    ) -> Result<User, ProfileError> {
        let user = self.profile(id).await?;
        let username = match edit.username.filter(|_| self.may_rename()) {
            // One's present name is good whatever the rules say: an import may have brought it.
            Some(name) if names::normalised(name) == user.username => None,
            Some(name) => Some(names::username(name).map_err(ProfileError::InvalidUsername)?),
            None => None,
        };
        // An address that stays is no change: that would unverify it for nothing.
        let email = edit.email.filter(|address| self.may_change_email() && *address != user.email);
        if let Some(address) = email.filter(|address| !address.is_empty()) {
            let faults = names::email_faults(address);
            if !faults.is_empty() {
                return Err(ProfileError::InvalidEmail(faults));
            }
        }
        if username.is_none() && email.is_none() {
            return Ok(user);
        }
        let deactivate = self.wants_activation();
        let change = ProfileChange {
            username: username.as_deref(),
            email,
            deactivate,
            ..Default::default()
        };
        let site = self.site(origin);
        let mail = email.filter(|address| deactivate && !address.is_empty()).map(|address| {
            let purpose = MailPurpose::Activation;
            NewMail { purpose, user: id, address, site: site.as_ref() }
        });
        let now = self.parts.clock.now();
        let deed = self.deed("user.change").to(&user);
        match self.noting(&deed).change_profile(id, change, self.name_rules(), mail, now).await {
            Ok(Some((user, entries))) => {
                self.announce(&entries);
                if mail.is_some() {
                    self.parts.bell.ring();
                }
                self.noted_with(&entries, deed);
                Ok(user)
            }
            Ok(None) => Err(ProfileError::Gone),
            Err(StoreError::Taken(field)) => Err(ProfileError::Taken(field)),
            Err(other) => Err(ProfileError::Trouble(Trouble::Store(other))),
        }
    }

    /// Removes an account for good. The caller was proved by a password of their own.
    ///
    /// # Errors
    /// The account is gone, or our own trouble.
    pub async fn remove(&self, id: UserId) -> Result<(), ProfileError> {
        let deed = self.deed("user.delete").to(&self.profile(id).await?);
        let deleted = self.noting(&deed).delete_user(id, self.parts.clock.now()).await;
        let entries = deleted.map_err(Trouble::from)?.ok_or(ProfileError::Gone)?;
        self.announce(&entries);
        self.noted(&deed);
        Ok(())
    }
}
