//! What users can do: register, log in and out, change their profile, recover a password.
//!
//! Each use case is one method of [`Accounts`] with an error type of its own, written as plain
//! steps: who asks too often, what is wrong with the input, what the store shall do in one
//! transaction, who has to hear of it. It must not know HTTP, the words of an answer, or SQL.

mod basic;
mod error;
mod jwt;
mod login;
pub mod names;
mod parts;
pub mod passwords;
mod profile;
mod recovery;
mod register;
mod site;
pub mod strength;
pub mod throttle;

pub use error::Trouble;
pub use jwt::{RefreshError, Refreshed};
pub use login::{LogOutError, LoginError};
pub use parts::{Accounts, AccountsParts};
pub use profile::{ProfileEdit, ProfileError, RemovalError};
pub use recovery::{NewPassword, ResetError, ResetRequestError};
pub use register::{RegisterError, Registration};
pub use site::Origin;

pub use crate::store::Field;
