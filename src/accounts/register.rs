//! Registration: a new account.
//!
//! The order of the checks is djoser's: the names, then the strength of the password, then
//! whether it was typed the same twice. Only a registration that passed them all is counted by
//! the throttle and costs a hash.

use std::net::IpAddr;

use crate::config::Registration as Door;
use crate::model::{MailPurpose, User};
use crate::store::{Field, NewUser, StoreError};

use super::names::{self, NameFault};
use super::site::Origin;
use super::strength::{Person, Weakness, weaknesses};
use super::throttle::Throttled;
use super::{Accounts, Trouble};

/// What somebody registers with. Texts as typed, white space around them cut off.
pub struct Registration<'a> {
    /// The name wanted.
    pub username: &'a str,
    /// Empty for none.
    pub email: &'a str,
    /// The password.
    pub password: &'a str,
    /// The password again, where the settings want it.
    pub retyped: Option<&'a str>,
    /// Where it comes from, for the throttle.
    pub address: Option<IpAddr>,
}

/// Why nobody was registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// `accounts.registration = "closed"`.
    #[error("registration is closed")]
    Closed,
    /// Not a username.
    #[error("the username is not valid")]
    InvalidUsername(Vec<NameFault>),
    /// Not an e-mail address.
    #[error("the e-mail address is not valid")]
    InvalidEmail(Vec<NameFault>),
    /// The password is weak.
    #[error("the password is too weak")]
    Weak(Vec<Weakness>),
    /// The two passwords differ.
    #[error("the passwords differ")]
    Mismatch,
    /// Another account has the address (`accounts.unique_email`).
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// The name is taken in its stored form, or was taken in a race.
    #[error("the account cannot be made under this name")]
    NameTaken,
    /// Too many from this address.
    #[error("too many registrations")]
    Throttled(Throttled),
    /// Our own trouble.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Accounts {
    /// Whether strangers may register at all.
    #[must_use]
    pub fn registration_is_open(&self) -> bool {
        self.settings().accounts.registration == Door::Open
    }

    /// Makes an account.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn register(
        &self,
        new: Registration<'_>,
        origin: &Origin<'_>,
    ) -> Result<User, RegisterError> {
        if !self.registration_is_open() {
            return Err(RegisterError::Closed);
        }
        let username = names::username(new.username).map_err(RegisterError::InvalidUsername)?;
        if !new.email.is_empty() {
            let faults = names::email_faults(new.email);
            if !faults.is_empty() {
                return Err(RegisterError::InvalidEmail(faults));
            }
        }
        let email = names::registered_email(new.email);
        let person = Person { username: &username, first_name: "", last_name: "", email: &email };
        let similarity = self.settings().accounts.password_similarity;
        let weak = weaknesses(new.password, Some(&person), similarity);
        if !weak.is_empty() {
            return Err(RegisterError::Weak(weak));
        }
        if new.retyped.is_some_and(|again| again != new.password) {
            return Err(RegisterError::Mismatch);
        }
        if let Err(throttled) = self.parts.throttle.registration(new.address).await {
            self.audit(self.deed("user.register").failed("throttled"));
            return Err(RegisterError::Throttled(throttled));
        }

        let password = self.parts.passwords.hash(new.password).await.map_err(Trouble::from)?;
        let account = NewUser {
            username: &username,
            email: &email,
            password: &password,
            is_active: !self.wants_activation(),
            is_staff: false,
            is_superuser: false,
            email_verified: false,
        };
        let mail = self.welcome().filter(|_| !email.is_empty());
        let site = self.site(origin);
        let deed = self.deed("user.register");
        let (store, now) = (self.noting(&deed), self.parts.clock.now());
        let made = store.create_user(account, self.name_rules(), mail, site.as_ref(), now).await;
        let user = made.map_err(|error| match error {
            StoreError::Taken(Field::Username) => RegisterError::NameTaken,
            StoreError::Taken(Field::Email) => RegisterError::EmailTaken,
            other => RegisterError::Trouble(Trouble::Store(other)),
        })?;
        if mail.is_some() {
            self.parts.bell.ring();
        }
        self.noted(&deed.to(&user));
        Ok(user)
    }

    /// The mail that follows a registration.
    fn welcome(&self) -> Option<MailPurpose> {
        let settings = &self.settings().accounts;
        if settings.send_activation_email {
            Some(MailPurpose::Activation)
        } else if settings.send_confirmation_email {
            Some(MailPurpose::Confirmation)
        } else {
            None
        }
    }
}
