//! A new username: at the word of the password, or by a mailed link.
//!
//! Renaming ends no login. The former name stays taken unless the settings free it.

use crate::model::{MailPurpose, User};
use crate::store::{Field, NewMail, ProfileChange, StoreError};

use super::names::{self, NameFault};
use super::recovery::LinkError;
use super::site::Origin;
use super::{Accounts, Trouble};

/// Why an account was not renamed.
#[derive(Debug, thiserror::Error)]
pub enum RenameError {
    /// Not a username.
    #[error("the username is not valid")]
    Invalid(Vec<NameFault>),
    /// Another account has it, or a tombstone, or the account itself.
    #[error("the username is taken")]
    Taken,
    /// The two names differ.
    #[error("the usernames differ")]
    Mismatch,
    /// The account was deleted meanwhile.
    #[error("the account is gone")]
    Gone,
    /// The link is not good.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Our own trouble.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// How somebody was found to own the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Password,
    Link,
}

impl Accounts {
    /// Whether an account has this very name now; one's own counts.
    ///
    /// # Errors
    /// The store could not be asked.
    pub async fn is_name_taken(&self, username: &str) -> Result<bool, Trouble> {
        let name = names::normalised(username);
        Ok(self.parts.store.user_by_username(&name).await?.is_some())
    }

    /// Renames a user who was proved by the password.
    ///
    /// # Errors
    /// See [`RenameError`].
    pub async fn rename(
        &self,
        user: &User,
        username: &str,
        retyped: Option<&str>,
        origin: &Origin<'_>,
    ) -> Result<(), RenameError> {
        if retyped.is_some_and(|again| again != username) {
            return Err(RenameError::Mismatch);
        }
        self.set_username(user, username, By::Password, origin).await
    }

    /// Renames the account that a mailed link names.
    ///
    /// # Errors
    /// See [`RenameError`].
    pub async fn rename_by_link(
        &self,
        uid: &str,
        token: &str,
        username: &str,
        retyped: Option<&str>,
        origin: &Origin<'_>,
    ) -> Result<(), RenameError> {
        if retyped.is_some_and(|again| again != username) {
            return Err(RenameError::Mismatch);
        }
        let user = self.by_link(MailPurpose::UsernameReset, uid, token).await?;
        self.set_username(&user, username, By::Link, origin).await
    }

    async fn set_username(
        &self,
        user: &User,
        username: &str,
        by: By,
        origin: &Origin<'_>,
    ) -> Result<(), RenameError> {
        let username = names::username(username).map_err(RenameError::Invalid)?;
        if username == user.username {
            return Err(RenameError::Taken);
        }
        let link = by == By::Link;
        let verified = Some(user.email.as_str()).filter(|email| link && !email.is_empty());
        let change = ProfileChange {
            username: Some(&username),
            verified_email: verified,
            // djoser's way of ending the link.
            set_last_login: link,
            ..Default::default()
        };
        let site = self.site(origin);
        let settings = &self.settings().accounts;
        let tell = settings.username_changed_email_confirmation && !user.email.is_empty();
        let mail = tell.then(|| NewMail {
            purpose: MailPurpose::UsernameChanged,
            user: user.id,
            address: &user.email,
            site: site.as_ref(),
        });
        let now = self.parts.clock.now();
        let deed = self.deed("user.rename").to(user).by(match by {
            By::Password => "password",
            By::Link => "link",
        });
        let store = self.noting(&deed);
        let changed = store.change_profile(user.id, change, self.name_rules(), mail, now).await;
        let (_, entries) = match changed {
            Ok(changed) => changed.ok_or(RenameError::Gone)?,
            Err(StoreError::Taken(Field::Username | Field::Email)) => {
                return Err(RenameError::Taken);
            }
            Err(other) => return Err(Trouble::Store(other).into()),
        };
        self.announce(&entries);
        if tell {
            self.parts.bell.ring();
        }
        self.noted_with(&entries, deed);
        Ok(())
    }
}
