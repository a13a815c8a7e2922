//! Who is asking? Turns a claimed credential into a proved identity.
//!
//! Knows token formats, keys and revocation. It must not know routes, HTTP servers or
//! what the identity will be allowed to do.
//!
//! In reading order: a header is read ([`claimed`]), the [`Authenticator`] proves what it
//! claims and hands on an [`Identity`]; the rest is how tokens are checked, made and ended.

mod assertion;
mod credential;
mod proved;
mod rejection;
mod values;
mod weight;

mod authenticator;
mod basic;
mod entry;
mod examination;
mod flaw;
mod flight;
mod genuine;
mod identities;
mod imported;
mod last_used;
mod outage;
mod policy;
mod reach;
mod records;
mod refresh;
mod stop;
mod tier;

mod judgement;
mod revocation;
mod ties;

mod claims;
mod digest;
mod issuer;
mod jwt;
mod keys;
mod links;
mod opaque;
mod token;

#[cfg(test)]
mod fixtures;

pub use assertion::{Asserted, Assertions};
pub use authenticator::Authenticator;
pub use basic::{
    BasicAuthenticator, BasicCredential, BasicError, PasswordError, PasswordProver, claimed_basic,
};
pub use credential::{Credential, JwtWords, claimed};
pub use digest::token_digest;
pub use examination::Examination;
pub use flaw::{Flaw, JwtFlaw, RowFlaw};
pub use issuer::{JwtIssuer, RefreshClaims, TokenPair};
pub use keys::{
    KEY_SET_AGE, KEYS_READ_EVERY, KeyError, Keys, PUBLISHED_FOR, new_signing_key, retires_for,
};
pub use last_used::LastUsedWriter;
pub use links::Links;
pub use opaque::{OpaqueForm, OpaqueTokens};
pub(crate) use outage::Outage;
pub use proved::{CredentialKind, Identity, Subject};
pub use reach::Reach;
pub(crate) use refresh::REUSE_GRACE;
pub use refresh::TokenToEnd;
pub use rejection::{BasicFault, IdentifyError, JwtFault, Rejection};
pub use revocation::Revocations;
pub(crate) use stop::told_to_stop;
pub use tier::{CachedToken, CachedUser, TokenCache};
pub use values::HeaderValues;

/// A door for `fuzz/`: whether a JWT is genuine, whoever it names.
#[cfg(fuzzing)]
pub fn fuzz_jwt(keys: &Keys, token: &str, now: crate::model::Timestamp) -> bool {
    jwt::check(keys, token, now).is_ok_and(|genuine| genuine.claimant().is_ok())
}
