//! The digests under which tokens and passwords are known.
//!
//! It must not know what a digest is compared with.

use aws_lc_rs::digest::{SHA256, digest};
use md5::{Digest as _, Md5};

use crate::model::TokenDigest;

/// SHA-256 of a whole token, a JWT's signature included.
#[must_use]
pub fn token_digest(token: &str) -> TokenDigest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    TokenDigest(bytes)
}

/// What simplejwt writes into the claim `hash_password` (`CHECK_REVOKE_TOKEN`): the upper-case
/// hex MD5 of the stored password hash. MD5 is its choice; nothing rests on collisions here.
pub(super) fn password_mark(stored_hash: &str) -> String {
    hex::encode_upper(Md5::digest(stored_hash.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_the_well_known_ones() {
        assert_eq!(
            hex::encode(token_digest("abc").0),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(password_mark("abc"), "900150983CD24FB0D6963F7D28E17F72");
    }
}
