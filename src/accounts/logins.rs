//! A user's logins: see them, end one, all others, or everything.
//!
//! Nothing here asks for the password: whoever is logged in may log out.

use crate::model::{Login, LoginId, UserId};

use super::{Accounts, Trouble};

impl Accounts {
    /// A user's logins that are alive, the latest first.
    ///
    /// # Errors
    /// The store could not be asked.
    pub async fn logins(&self, user: UserId) -> Result<Vec<Login>, Trouble> {
        let store = &self.parts.store;
        let Some(owner) = store.user(user).await? else { return Ok(Vec::new()) };
        let now = self.parts.clock.now();
        let mut logins = store.logins_of(user).await?;
        logins.retain(|login| {
            login.generation >= owner.generation && login.expires.is_none_or(|end| end > now)
        });
        Ok(logins)
    }

    /// Ends one login of a user; whether there was one of this name.
    ///
    /// # Errors
    /// The store could not be reached: nothing has ended.
    pub async fn end_login(&self, user: UserId, login: LoginId) -> Result<bool, Trouble> {
        let now = self.parts.clock.now();
        let deed = self.deed("identity.logout").by("login").about(user);
        let entries = self.noting(&deed).end_login_of(user, login, now).await?;
        self.announce(&entries);
        if !entries.is_empty() {
            self.noted(&deed);
        }
        Ok(!entries.is_empty())
    }

    /// Ends a user's logins but the present one.
    ///
    /// # Errors
    /// The store could not be reached: nothing has ended.
    pub async fn end_other_logins(
        &self,
        user: UserId,
        present: Option<LoginId>,
    ) -> Result<(), Trouble> {
        let now = self.parts.clock.now();
        let deed = self.deed("identity.logout").by("others").about(user);
        let entries = self.noting(&deed).end_other_logins(user, present, now).await?;
        self.announce(&entries);
        self.noted_with(&entries, deed);
        Ok(())
    }

    /// Ends everything that was ever issued to a user: opaque tokens, JWTs of any kind.
    ///
    /// # Errors
    /// The store could not be reached: nothing has ended.
    pub async fn log_out_everywhere(&self, user: UserId) -> Result<(), Trouble> {
        let deed = self.deed("identity.logout").by("all").about(user);
        let entries = self.noting(&deed).cut_user(user, self.parts.clock.now()).await?;
        let entries = entries.unwrap_or_default();
        self.announce(&entries);
        self.noted_with(&entries, deed);
        Ok(())
    }
}
