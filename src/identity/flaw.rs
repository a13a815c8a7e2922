//! What exactly is wrong with a credential: more than its owner is told.
//!
//! Clients get one of few recorded answers ([`Rejection`]), so that nobody learns from them how
//! near a forgery came. An operator at the shell may know which check it was. It must not know
//! how a check is made.

use super::rejection::{JwtFault, Rejection};

/// Which check a credential failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Of a JWT.
    #[error(transparent)]
    Jwt(#[from] JwtFlaw),
    /// Of the login that an opaque token leads to.
    #[error(transparent)]
    Row(#[from] RowFlaw),
    /// An opaque token has 40 hex digits.
    #[error("it has not the form of a token: 40 hex digits, or a JWT")]
    Form,
    /// A JWT where none is looked for.
    #[error("a JWT counts only after a word of tokens.jwt.auth_header_types")]
    Word,
    /// The check sum is not ours, and there is nothing imported that it could be.
    #[error(
        "its check sum is not ours: mistyped, cut short, or made under another secret_key; no imported tokens exist"
    )]
    CheckSum,
    /// The database does not have it.
    #[error("nobody has it; it was logged out, ended by an operator, or never issued here")]
    Unknown,
    /// The log says that its login or it ended.
    #[error("it was revoked: the token or its login was ended")]
    Ended,
    /// The log says that its user was cut off.
    #[error("it was revoked: everything that its user was issued before was ended ({0})")]
    Cut(&'static str),
    /// The record says so; the log has forgotten why.
    #[error("it was revoked: everything that its user was issued before was ended")]
    Generation,
}

/// Which check a JWT failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwtFlaw {
    /// It cannot be taken apart, or its header has what no token of ours has.
    #[error(
        "it is malformed: too long, no JSON in base64url, a claim twice, or a header with crit, jku, jwk, x5u or the like"
    )]
    Malformed,
    /// No key is known for what its header and its claim `iss` say.
    #[error("no key is known for its algorithm, kid and issuer")]
    NoKey,
    /// The key did not sign this.
    #[error("its signature does not fit the key: forged, changed on its way, or another secret")]
    Signature,
    /// A claim that should be a time, or a text.
    #[error("its claim {0} has a value that cannot be")]
    BadClaim(&'static str),
    /// It begins later, by more than clocks may differ.
    #[error("its claim {0} is in the future: is a clock wrong?")]
    NotYet(&'static str),
    /// It is over.
    #[error("it expired")]
    Expired,
    /// The claim `iss` is not the one that is required.
    #[error("it is another issuer's: iss is not what is required")]
    OtherIssuer,
    /// The claim `aud` has none that is required.
    #[error("it is for another audience: aud has none that is required")]
    OtherAudience,
    /// No claim `exp`.
    #[error("it has no claim exp")]
    NoExpiry,
    /// Nothing that it could be named by.
    #[error("it has no claim jti")]
    NoId,
}

/// Why the login that an opaque token leads to does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowFlaw {
    /// It is no opaque token's.
    #[error("its login is no opaque token's")]
    Kind,
    /// Its time is over (`tokens.opaque.lifetime`).
    #[error("it expired")]
    Expired,
    /// Nobody used it for too long (`tokens.opaque.idle_timeout`).
    #[error("it was not used for longer than tokens.opaque.idle_timeout")]
    Idle,
    /// Its owner is inactive.
    #[error("its user is inactive")]
    Inactive,
    /// Its user was cut off after it was issued.
    #[error("it was revoked: everything that its user was issued before was ended")]
    Generation,
}

impl From<JwtFlaw> for JwtFault {
    fn from(flaw: JwtFlaw) -> Self {
        match flaw {
            JwtFlaw::Malformed
            | JwtFlaw::NoKey
            | JwtFlaw::Signature
            | JwtFlaw::BadClaim(_)
            | JwtFlaw::NotYet(_)
            | JwtFlaw::OtherIssuer
            | JwtFlaw::OtherAudience => Self::Invalid,
            JwtFlaw::Expired => Self::Expired,
            JwtFlaw::NoExpiry => Self::NoExpiry,
            JwtFlaw::NoId => Self::NoId,
        }
    }
}

impl From<RowFlaw> for Rejection {
    fn from(flaw: RowFlaw) -> Self {
        match flaw {
            RowFlaw::Inactive => Self::InactiveOwner,
            RowFlaw::Kind | RowFlaw::Expired | RowFlaw::Idle | RowFlaw::Generation => {
                Self::UnknownToken
            }
        }
    }
}
