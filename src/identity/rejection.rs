//! Why nobody was identified, in words that clients already know.
//!
//! One variant for each answer of djoser and simplejwt. It must not know status codes or
//! bodies; the API maps them in one place.

/// Why a credential is not good. One variant for each recorded answer (API.md section 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// Nothing was sent where something is needed.
    Missing,
    /// A scheme without a token.
    Empty,
    /// More than one word after the scheme.
    Spaces,
    /// Several `Authorization` headers: 400 at the gate.
    Repeated,
    /// An opaque token that nobody has; a JWT after `Token`.
    UnknownToken,
    /// A good opaque token of an inactive account.
    InactiveOwner,
    /// A JWT that fails; the fault decides the message.
    Jwt(JwtFault),
    /// A good JWT without a user claim.
    NoUserClaim,
    /// A good JWT of an account that is gone.
    UserNotFound,
    /// A good JWT of an inactive account.
    UserInactive,
    /// A JWT older than the password.
    PasswordChanged,
    /// A name and password that fail; on routes that take Basic.
    Basic(BasicFault),
}

/// What is wrong with a Basic credential, in Django REST framework's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BasicFault {
    /// The scheme alone.
    Empty,
    /// More than one word after the scheme.
    Spaces,
    /// No base64, no UTF-8, no colon, or controls in it.
    Encoding,
    /// Unknown name, wrong password or token, inactive account: never said which.
    Refused,
}

/// What is wrong with a JWT, in simplejwt's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtFault {
    /// Everything that has no message of its own: bad signature, wrong key, malformed claims.
    Invalid,
    /// The claim `exp` has passed.
    Expired,
    /// No claim `exp`.
    NoExpiry,
    /// No claim `jti`.
    NoId,
    /// No claim `token_type`.
    NoType,
    /// Another `token_type` than is wanted here.
    WrongType,
    /// Ended before its time: logged out, blacklisted.
    Blacklisted,
}

/// Why nobody was identified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentifyError {
    /// The credential is not good: 401.
    #[error("the credential was rejected")]
    Rejected(Rejection),
    /// It could not be found out: our own trouble, 503.
    #[error("credentials cannot be checked at present")]
    Unavailable,
}

impl From<Rejection> for IdentifyError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<JwtFault> for IdentifyError {
    fn from(fault: JwtFault) -> Self {
        Self::Rejected(Rejection::Jwt(fault))
    }
}
