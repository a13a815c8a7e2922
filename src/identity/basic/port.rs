//! The port behind which passwords are checked.
//!
//! Identity must not know accounts; `app` hands in what does. It must not know throttles or
//! hashes either, only what comes of them.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::User;
use crate::store::StoreError;

/// Whether a name and a password belong together.
#[async_trait]
pub trait PasswordProver: Send + Sync {
    /// The account whose name and password these are. Counted and slowed down as a login is, at
    /// the same cost for names that nobody has; nothing is handed out and no login noted.
    ///
    /// # Errors
    /// Why not.
    async fn prove(
        &self,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<User, PasswordError>;
}

/// Why no account was proved by a password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Unknown name, wrong password, inactive account: never said which.
    #[error("the name or the password is wrong")]
    Refused,
    /// Too many attempts; when to try again.
    #[error("too many attempts, the next in {0:?}")]
    Throttled(Duration),
    /// The password waited too long to be checked.
    #[error("too many passwords wait to be checked")]
    Busy,
    /// The store could not be asked.
    #[error("the store failed")]
    Store(#[from] StoreError),
}
