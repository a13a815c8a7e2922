//! Changing one's own password, and proving oneself by the present one.
//!
//! A stolen token must not be able to guess the password: wrong ones count as failed logins.

use std::net::IpAddr;

use secrecy::ExposeSecret;

use crate::model::{MailPurpose, User, UserId};
use crate::store::{NewMail, PasswordChange};

use super::passwords::Checked;
use super::site::Origin;
use super::strength::{Person, Weakness, weaknesses};
use super::throttle::Throttled;
use super::{Accounts, Trouble};

/// Why somebody is not believed to be the user whose token was sent.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The account was deleted meanwhile.
    #[error("the account is gone")]
    Gone,
    /// Not the caller's password.
    #[error("the password is wrong")]
    WrongPassword,
    /// Too many wrong passwords.
    #[error("too many attempts")]
    Throttled(Throttled),
    /// Our own trouble.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// Why a password was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The new password is weak.
    #[error("the password is too weak")]
    Weak(Vec<Weakness>),
    /// The two new passwords differ.
    #[error("the passwords differ")]
    Mismatch,
    /// The account is gone, or its password was changed meanwhile.
    #[error("the account is not what it was")]
    Overtaken,
    /// Our own trouble.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Accounts {
    /// The caller's account, at the word of its password.
    ///
    /// # Errors
    /// See [`ProofError`].
    pub async fn prove_caller(
        &self,
        id: UserId,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<User, ProofError> {
        let user = self.parts.store.user(id).await.map_err(Trouble::from)?;
        let user = user.ok_or(ProofError::Gone)?;
        let named_by_email = self.settings().accounts.login_field == "email";
        let name = if named_by_email { &user.email } else { &user.username };
        let counted = self.parts.throttle.login(name, address).await;
        let deed = || self.deed_from("identity.password_check", address).to(&user);
        let attempt = match counted {
            Ok(attempt) => attempt,
            Err(throttled) => {
                self.audit(deed().failed("throttled"));
                return Err(ProofError::Throttled(throttled));
            }
        };
        match self.check_password(password, Some(&user)).await? {
            Checked::Right => attempt.succeeded(),
            Checked::Outdated => {
                attempt.succeeded();
                // The hash was renewed: a change that asks for the old one would come too late.
                return self
                    .parts
                    .store
                    .user(id)
                    .await
                    .map_err(Trouble::from)?
                    .ok_or(ProofError::Gone);
            }
            Checked::Wrong => {
                attempt.failed();
                self.audit(deed().failed("wrong_password"));
                return Err(ProofError::WrongPassword);
            }
        }
        Ok(user)
    }

    /// Changes the password of a user who was proved by the present one.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn change_password(
        &self,
        user: &User,
        password: &str,
        retyped: Option<&str>,
        origin: &Origin<'_>,
    ) -> Result<(), PasswordError> {
        let settings = &self.settings().accounts;
        let person = Person {
            username: &user.username,
            first_name: &user.first_name,
            last_name: &user.last_name,
            email: &user.email,
        };
        let weak = weaknesses(password, Some(&person), settings.password_similarity);
        if !weak.is_empty() {
            return Err(PasswordError::Weak(weak));
        }
        if retyped.is_some_and(|again| again != password) {
            return Err(PasswordError::Mismatch);
        }
        let hash = self.parts.passwords.hash(password).await.map_err(Trouble::from)?;
        let change = PasswordChange {
            password: &hash,
            // Of two changes at once the second was proved by a password that is no more.
            instead_of: Some(user.password.expose_secret()),
            log_out: settings.logout_on_password_change,
            set_last_login: false,
            verified_email: None,
        };
        let site = self.site(origin);
        let tell = settings.password_changed_email_confirmation && !user.email.is_empty();
        let mail = tell.then(|| NewMail {
            purpose: MailPurpose::PasswordChanged,
            user: user.id,
            address: &user.email,
            site: site.as_ref(),
        });
        let now = self.parts.clock.now();
        let deed = self.deed("user.password_change").to(user);
        let changed = self.noting(&deed).change_password(user.id, change, mail, now).await;
        let (_, entries) = changed.map_err(Trouble::from)?.ok_or(PasswordError::Overtaken)?;
        self.announce(&entries);
        if tell {
            self.parts.bell.ring();
        }
        self.noted(&deed);
        Ok(())
    }
}
