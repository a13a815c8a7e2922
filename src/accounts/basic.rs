//! Checking a name and a password with every request of a client that knows nothing else.
//!
//! A login in all but what follows from it: counted and slowed down by the same throttle, but
//! nothing is handed out, no login is written and the time of the last one stays. It must not
//! know how often it is asked: what was proved is remembered elsewhere.

use std::net::IpAddr;

use async_trait::async_trait;

use crate::identity::{PasswordError, PasswordProver};
use crate::model::User;

use super::login::{LoginError, Proved};
use super::strength::trim;
use super::{Accounts, Trouble};

#[async_trait]
impl PasswordProver for Accounts {
    async fn prove(
        &self,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<User, PasswordError> {
        let (name, trimmed) = (trim(name), trim(password));
        // The login's form refuses blanks before it looks at accounts.
        if name.is_empty() || trimmed.is_empty() {
            return Err(PasswordError::Refused);
        }
        let password = if self.settings().accounts.trim_passwords { trimmed } else { password };
        let Proved { user, .. } = self.prove_password(name, password, address, "basic").await?;
        let deed = self.deed_from("identity.login", address).by("basic");
        self.audit(deed.done_by(Some(&user)));
        Ok(user)
    }
}

impl From<LoginError> for PasswordError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Refused => Self::Refused,
            LoginError::Throttled(throttled) => Self::Throttled(throttled.retry_after),
            LoginError::Trouble(Trouble::Store(error)) => Self::Store(error),
            LoginError::Trouble(Trouble::Busy(_) | Trouble::Unavailable) => Self::Busy,
        }
    }
}
