//! A forgotten password: ask for a link by mail, and use it.
//!
//! Whether an address is known shows neither in the answer nor in its time; the mail is written
//! to the outbox and sent later. The link's token is worked out when the mail is sent and is
//! stored nowhere; it ends by itself as soon as the password changes.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::ExposeSecret;

use crate::identity::Links;
use crate::model::{MailPurpose, User};
use crate::store::{NewMail, PasswordChange};

use super::passwords::is_usable;
use super::site::Origin;
use super::strength::{Person, Weakness, weaknesses};
use super::throttle::Throttled;
use super::{Accounts, Trouble};

/// Every request for a mail takes this long. Writing to the outbox waits for the disk, and a
/// known address would show by that; the look-up and the write fit in here by far.
const EVEN_TIME: Duration = Duration::from_millis(80);

/// What comes back with a mailed link.
pub struct NewPassword<'a> {
    /// Names the account.
    pub uid: &'a str,
    /// Proves that the mail was read.
    pub token: &'a str,
    /// The new password.
    pub password: &'a str,
    /// The new password again, where the settings want it.
    pub retyped: Option<&'a str>,
}

/// Why no mail was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ResetRequestError {
    /// Nobody has the address; told only with `accounts.password_reset_show_email_not_found`.
    #[error("no account has this address")]
    UnknownEmail,
    /// Too many for this address.
    #[error("too many requests for this address")]
    Throttled(Throttled),
    /// Our own trouble.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// Why a mailed link is not good.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The uid names nobody. With `accounts.hide_unknown_uid` this is a bad token.
    #[error("the uid names no account")]
    Uid,
    /// The token is wrong, used or too old.
    #[error("the token is not good")]
    Token,
    /// Our own trouble.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// Why no new password was set.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// The password is weak. The link stays good.
    #[error("the password is too weak")]
    Weak(Vec<Weakness>),
    /// The two passwords differ. The link stays good.
    #[error("the passwords differ")]
    Mismatch,
    /// The link is not good.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Our own trouble.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Accounts {
    /// Puts a mail with a link into the outbox for each account of the address that it is for:
    /// active ones that have a password, or for activation those that never were active.
    ///
    /// # Errors
    /// See [`ResetRequestError`].
    pub async fn request_reset(
        &self,
        purpose: MailPurpose,
        email: &str,
        origin: &Origin<'_>,
        address: Option<IpAddr>,
    ) -> Result<(), ResetRequestError> {
        self.parts.throttle.reset(email, address).await.map_err(ResetRequestError::Throttled)?;
        let (sent, ()) =
            tokio::join!(self.write_mails(email, purpose, origin), tokio::time::sleep(EVEN_TIME),);
        let settings = &self.settings().accounts;
        // djoser: either one switches all.
        let telling = settings.password_reset_show_email_not_found
            || settings.username_reset_show_email_not_found;
        if sent? == 0 && telling {
            return Err(ResetRequestError::UnknownEmail);
        }
        Ok(())
    }

    /// Sets the password that came with a mailed link. The order of the checks is djoser's;
    /// only that the password resembles the account can be seen no earlier than the account.
    ///
    /// # Errors
    /// See [`ResetError`].
    pub async fn confirm_reset(
        &self,
        new: NewPassword<'_>,
        origin: &Origin<'_>,
    ) -> Result<(), ResetError> {
        let settings = &self.settings().accounts;
        let weak = weaknesses(new.password, None, settings.password_similarity);
        if !weak.is_empty() {
            return Err(ResetError::Weak(weak));
        }
        if new.retyped.is_some_and(|again| again != new.password) {
            return Err(ResetError::Mismatch);
        }
        let user = self.by_link(MailPurpose::PasswordReset, new.uid, new.token).await?;
        let person = Person {
            username: &user.username,
            first_name: &user.first_name,
            last_name: &user.last_name,
            email: &user.email,
        };
        let weak = weaknesses(new.password, Some(&person), settings.password_similarity);
        if !weak.is_empty() {
            return Err(ResetError::Weak(weak));
        }
        self.replace_password(&user, new.password, origin).await
    }

    /// The account that a mailed link names, if its token is good for this purpose.
    pub(super) async fn by_link(
        &self,
        purpose: MailPurpose,
        uid: &str,
        token: &str,
    ) -> Result<User, LinkError> {
        let found = match Links::parse_uid(uid) {
            Some(id) => self.parts.store.user(id).await.map_err(Trouble::from)?,
            None => None,
        };
        let hidden = self.settings().accounts.hide_unknown_uid;
        let user = found.ok_or(if hidden { LinkError::Token } else { LinkError::Uid })?;
        if self.parts.links.check(purpose, &user, token, self.parts.clock.now()) {
            Ok(user)
        } else {
            Err(LinkError::Token)
        }
    }

    async fn replace_password(
        &self,
        user: &User,
        password: &str,
        origin: &Origin<'_>,
    ) -> Result<(), ResetError> {
        let settings = &self.settings().accounts;
        let hash = self.parts.passwords.hash(password).await.map_err(Trouble::from)?;
        let change = PasswordChange {
            password: &hash,
            // Of two requests with one link the second finds another hash and fails.
            instead_of: Some(user.password.expose_secret()),
            log_out: settings.logout_on_password_change,
            set_last_login: true,
            verified_email: Some(&user.email).filter(|email| !email.is_empty()).map(String::as_str),
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
        let deed = self.deed("user.password_reset").by("link").to(user);
        let changed = self.noting(&deed).change_password(user.id, change, mail, now).await;
        let (_, entries) = changed.map_err(Trouble::from)?.ok_or(LinkError::Token)?;
        self.announce(&entries);
        if tell {
            self.parts.bell.ring();
        }
        self.noted(&deed);
        Ok(())
    }

    /// How many accounts a mail was written to.
    async fn write_mails(
        &self,
        email: &str,
        purpose: MailPurpose,
        origin: &Origin<'_>,
    ) -> Result<usize, Trouble> {
        let mut users = self.parts.store.users_by_email(email).await?;
        users.retain(|user| self.may_be_mailed(purpose, user, email));
        if users.is_empty() {
            return Ok(0);
        }
        let site = self.site(origin);
        // To the stored address, never to the typed one: what folds together need not lead to
        // the same mailbox.
        let mails: Vec<_> = users
            .iter()
            .map(|user| NewMail {
                purpose,
                user: user.id,
                address: &user.email,
                site: site.as_ref(),
            })
            .collect();
        let deeds: Vec<_> =
            users.iter().map(|user| self.deed("user.link_request").to(user)).collect();
        self.parts.store.noting(&deeds).enqueue_mail(&mails, self.parts.clock.now()).await?;
        self.parts.bell.ring();
        for deed in &deeds {
            self.noted(deed);
        }
        Ok(mails.len())
    }

    fn may_be_mailed(&self, purpose: MailPurpose, user: &User, email: &str) -> bool {
        let wanted = match purpose {
            // Whose address is verified was active before: an operator has deactivated it.
            MailPurpose::Activation => !user.is_active && !user.email_verified,
            _ => user.is_active,
        };
        wanted
            && is_usable(user.password.expose_secret())
            && (self.settings().accounts.unique_email || user.email == email)
    }
}
