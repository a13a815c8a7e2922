//! What any use case can run into through no fault of the caller.
//!
//! Kept apart from the errors of the single use cases, so that each of those lists only what
//! its caller can do something about.

use crate::store::StoreError;

use super::passwords::Busy;

/// Our own trouble; the same request may succeed later.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The store did not do it.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// No thread became free to hash a password in time.
    #[error("password hashing is overloaded")]
    Busy(#[from] Busy),
    /// Credentials cannot be checked at present.
    #[error("credentials cannot be checked")]
    Unavailable,
}
