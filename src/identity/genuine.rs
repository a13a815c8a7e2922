//! Whether a JWT is genuine, where the keys to tell may still have to be fetched.
//!
//! It must not know how they are fetched, nor what a genuine token is good for.

use super::authenticator::Authenticator;
use super::jwt::{self, Genuine};
use super::keys::Unknown;
use super::rejection::{IdentifyError, JwtFault};
use super::token::Token;

impl Authenticator {
    /// Checks a token up to, and without, its type. A token of an issuer whose key set is fetched
    /// waits for that if it names a key that is not known.
    pub(super) async fn genuine(&self, token: &str) -> Result<Genuine, IdentifyError> {
        let checked = jwt::check(&self.keys, token, self.clock.now());
        if !matches!(checked, Err(JwtFault::Invalid)) || !self.keys.has_remotes() {
            return Ok(checked?);
        }
        let Some(parsed) = Token::parse(token) else { return Ok(checked?) };
        let issuer = parsed.claims.text("iss");
        let about =
            self.keys.about_unknown(parsed.parts.algorithm, parsed.parts.kid.as_deref(), issuer);
        match about.await {
            Unknown::Refused => Ok(checked?),
            Unknown::LookAgain => Ok(jwt::check(&self.keys, token, self.clock.now())?),
            Unknown::Unknowable => Err(IdentifyError::Unavailable),
        }
    }
}
