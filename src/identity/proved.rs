//! Who was proved to be asking.
//!
//! Plain data, made by the [`Authenticator`](super::Authenticator) only and shared by all
//! requests with the same credential. It must not know which request it serves.

use crate::model::{LoginId, Timestamp, UserId};

use super::assertion::Asserted;
use super::values::HeaderValues;

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One of our users.
    Local(UserId),
    /// A user of a trusted issuer (`users = "claims"`), written `name:sub`.
    Foreign(String),
}

/// How it was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// By an opaque token.
    Opaque,
    /// By a JWT.
    Jwt,
    /// By name and password, with this very request.
    Basic,
}

/// A proved identity, ready to be used on any number of requests.
#[derive(Debug)]
pub struct Identity {
    /// Who is asking.
    pub subject: Subject,
    /// The account's name; of foreign users the same as the subject.
    pub username: String,
    /// May see and change other users.
    pub is_staff: bool,
    /// May do anything.
    pub is_superuser: bool,
    /// Names of the groups, sorted.
    pub groups: Vec<String>,
    /// How it was proved.
    pub kind: CredentialKind,
    /// The login, where the credential names one.
    pub login: Option<LoginId>,
    /// The JWT's claim `jti`.
    pub jti: Option<String>,
    /// When the credential ends by itself.
    pub expires: Option<Timestamp>,
    /// Ready-made values for the upstream's headers.
    pub values: HeaderValues,
    /// What was signed about it.
    pub asserted: Asserted,
}

impl Identity {
    /// The account's name; from where it lies beside what upstreams are told, if it is the same.
    #[must_use]
    pub fn name(&self) -> &str {
        self.values.plain_user().unwrap_or(&self.username)
    }
}
