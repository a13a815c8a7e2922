//! Activation: an account that was made under an address begins when the mail there was read.
//!
//! The link proves the address as well. It is good once: an account that is active already says
//! so. It must not know how a link is mailed.

use crate::model::MailPurpose;
use crate::store::NewMail;

use super::recovery::LinkError;
use super::site::Origin;
use super::{Accounts, Trouble};

/// Why an account was not activated.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// The link is not good.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The account is active already.
    #[error("the account is active already")]
    Stale,
    /// Our own trouble.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Accounts {
    /// Whether accounts begin inactive until a mailed link is used.
    #[must_use]
    pub fn wants_activation(&self) -> bool {
        self.settings().accounts.send_activation_email
    }

    /// Activates the account that a mailed link names.
    ///
    /// # Errors
    /// See [`ActivationError`].
    pub async fn activate(
        &self,
        uid: &str,
        token: &str,
        origin: &Origin<'_>,
    ) -> Result<(), ActivationError> {
        let user = self.by_link(MailPurpose::Activation, uid, token).await?;
        if user.is_active {
            return Err(ActivationError::Stale);
        }
        if user.email_verified {
            // It was active before, and an operator has deactivated it: no old link undoes that.
            return Err(LinkError::Token.into());
        }
        let site = self.site(origin);
        let tell = self.settings().accounts.send_confirmation_email && !user.email.is_empty();
        let mail = tell.then(|| NewMail {
            purpose: MailPurpose::Confirmation,
            user: user.id,
            address: &user.email,
            site: site.as_ref(),
        });
        let verified = Some(user.email.as_str()).filter(|email| !email.is_empty());
        let now = self.parts.clock.now();
        let deed = self.deed("user.activate").by("link").to(&user);
        let activated = self.noting(&deed).activate(user.id, verified, mail, now).await;
        let (_, entries) = activated.map_err(Trouble::from)?.ok_or(LinkError::Token)?;
        self.announce(&entries);
        if tell {
            self.parts.bell.ring();
        }
        self.noted_with(&entries, deed);
        Ok(())
    }
}
