//! What users can do: register, log in and out, change their profile, recover a password.
//!
//! Each use case is one method of [`Accounts`] with an error type of its own, written as plain
//! steps: who asks too often, what is wrong with the input, what the store shall do in one
//! transaction, who has to hear of it. It must not know HTTP, the words of an answer, or SQL.

mod activation;
mod audit;
mod audit_table;
mod basic;
mod error;
mod jwt;
mod login;
mod logins;
pub mod names;
mod own_password;
mod parts;
pub mod passwords;
mod people;
mod profile;
mod recovery;
mod register;
mod rename;
mod site;
pub mod strength;
pub mod throttle;

pub use activation::ActivationError;
pub use audit::Asker;
pub use audit_table::{AuditTable, AuditWriter, audit_table};
pub use error::Trouble;
pub use jwt::{RefreshError, Refreshed};
pub use login::{LogOutError, LoginError};
pub use own_password::{PasswordError, ProofError};
pub use parts::{Accounts, AccountsParts};
pub use profile::{ProfileEdit, ProfileError};
pub use recovery::{LinkError, NewPassword, ResetError, ResetRequestError};
pub use register::{RegisterError, Registration};
pub use rename::RenameError;
pub use site::Origin;

pub use crate::store::Field;
