//! Makes opaque tokens, and tells random guesses from them without a look-up.
//!
//! A token is 40 lower-case hex digits as DRF's are: 128 random bits and a 32-bit keyed check
//! sum. So a guess dies here with a chance of 1 in 2^32 to cost a look-up, and secret scanners
//! can know the form. It must not know where tokens are kept or whose they are.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use aws_lc_rs::rand;
use secrecy::SecretString;
use subtle::ConstantTimeEq;

use crate::model::{TokenDigest, UserId};
use crate::secret::{KeyUse, RootKey};

use super::digest::token_digest;

const BODY: usize = 16;
const LENGTH: usize = 20;

/// Makes opaque tokens and tells random guesses from them without a look-up.
pub struct OpaqueTokens {
    checksum: Key,
    derivation: Key,
}

/// What a claimed opaque token looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpaqueForm {
    /// With our check sum: worth a look-up.
    Minted,
    /// The right form without our check sum: only an imported token looks like this.
    Imported,
    /// Nothing that was ever stored.
    Malformed,
}

impl OpaqueTokens {
    /// With keys of the installation.
    #[must_use]
    pub fn new(root: &RootKey) -> Self {
        let key = |purpose| Key::new(HMAC_SHA256, &root.derive(purpose));
        Self { checksum: key(KeyUse::OpaqueChecksum), derivation: key(KeyUse::OpaqueDerived) }
    }

    /// A random token and what is stored of it.
    ///
    /// # Panics
    /// Never: the generator is seeded before the first key is made.
    #[must_use]
    pub fn mint(&self) -> (SecretString, TokenDigest) {
        let mut body = [0; BODY];
        rand::fill(&mut body).expect("the random generator does not fail once it is seeded");
        self.complete(&body)
    }

    /// The token that a user's seed stands for (scope "user"): a second login can answer the
    /// same token although only its digest is stored.
    #[must_use]
    pub fn derived(&self, user: UserId, seed: &[u8; 16]) -> (SecretString, TokenDigest) {
        let mut message = [0; 24];
        message[..8].copy_from_slice(&user.0.to_be_bytes());
        message[8..].copy_from_slice(seed);
        let mut body = [0; BODY];
        body.copy_from_slice(&sign(&self.derivation, &message).as_ref()[..BODY]);
        self.complete(&body)
    }

    /// What a claimed token looks like. Costs one HMAC at most, no look-up.
    #[must_use]
    pub fn form(&self, token: &str) -> OpaqueForm {
        let mut bytes = [0; LENGTH];
        let lower_case = token.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if token.len() != 2 * LENGTH
            || !lower_case
            || hex::decode_to_slice(token, &mut bytes).is_err()
        {
            return OpaqueForm::Malformed;
        }
        let (body, checksum) = bytes.split_at(BODY);
        if bool::from(self.checksum(body).ct_eq(checksum)) {
            OpaqueForm::Minted
        } else {
            OpaqueForm::Imported
        }
    }

    fn complete(&self, body: &[u8; BODY]) -> (SecretString, TokenDigest) {
        let token = hex::encode(body) + &hex::encode(self.checksum(body));
        let digest = token_digest(&token);
        (SecretString::from(token), digest)
    }

    fn checksum(&self, body: &[u8]) -> [u8; LENGTH - BODY] {
        let mut checksum = [0; LENGTH - BODY];
        checksum.copy_from_slice(&sign(&self.checksum, body).as_ref()[..LENGTH - BODY]);
        checksum
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn tokens() -> OpaqueTokens {
        OpaqueTokens::new(&RootKey::new("secret"))
    }

    #[test]
    fn a_minted_token_is_40_hex_digits_known_by_its_digest() {
        let (token, digest) = tokens().mint();
        let token = token.expose_secret();
        assert_eq!(token.len(), 40);
        assert_eq!(tokens().form(token), OpaqueForm::Minted);
        assert_eq!(token_digest(token), digest);
        assert_ne!(tokens().mint().0.expose_secret(), token);
    }

    #[test]
    fn a_guess_and_another_installations_token_lack_the_check_sum() {
        let (token, _) = tokens().mint();
        let other = OpaqueTokens::new(&RootKey::new("other"));
        assert_eq!(other.form(token.expose_secret()), OpaqueForm::Imported);
        assert_eq!(tokens().form(&"0".repeat(40)), OpaqueForm::Imported);
    }

    #[test]
    fn other_forms_are_malformed() {
        let (token, _) = tokens().mint();
        let token = token.expose_secret();
        for wrong in
            [&token[..39], &format!("{token}0"), &token.to_uppercase(), "", "ü", &"g".repeat(40)]
        {
            // All digits: upper case is the same text.
            if wrong != token {
                assert_eq!(tokens().form(wrong), OpaqueForm::Malformed, "{wrong}");
            }
        }
    }

    #[test]
    fn a_derived_token_follows_from_user_and_seed() {
        let token =
            |user, seed| tokens().derived(UserId(user), &[seed; 16]).0.expose_secret().to_owned();
        assert_eq!(token(1, 1), token(1, 1));
        assert_ne!(token(1, 1), token(2, 1));
        assert_ne!(token(1, 1), token(1, 2));
        assert_eq!(tokens().form(&token(1, 1)), OpaqueForm::Minted);
    }
}
