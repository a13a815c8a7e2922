//! Seals signing keys for the database: AES-256-GCM under a key split from `secret_key`.
//!
//! A copy of the database alone lets nobody sign. Name and algorithm are bound to the sealed
//! key, so that rows cannot be exchanged. It must not know what a key looks like inside.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

use crate::secret::{KeyUse, RootKey};

use super::KeyError;

/// The nonce, then the sealed key, then its tag.
pub(super) fn seal(
    root: &RootKey,
    kid: &str,
    algorithm: &str,
    plain: &[u8],
) -> Result<Vec<u8>, KeyError> {
    let mut sealed = plain.to_vec();
    let nonce = key(root)?
        .seal_in_place_append_tag(binding(kid, algorithm), &mut sealed)
        .map_err(|_| KeyError::Generation)?;
    sealed.splice(..0, nonce.as_ref().iter().copied());
    Ok(sealed)
}

/// Opens what [`seal`] sealed, if nothing about it has changed.
pub(super) fn open(
    root: &RootKey,
    kid: &str,
    algorithm: &str,
    sealed: &[u8],
) -> Result<Vec<u8>, KeyError> {
    let refused = || KeyError::Sealed { kid: kid.to_owned() };
    let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or_else(refused)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refused())?;
    let mut plain = sealed.to_vec();
    let length = key(root)?
        .open_in_place(nonce, binding(kid, algorithm), &mut plain)
        .map_err(|_| refused())?
        .len();
    plain.truncate(length);
    Ok(plain)
}

fn key(root: &RootKey) -> Result<RandomizedNonceKey, KeyError> {
    RandomizedNonceKey::new(&AES_256_GCM, &root.derive(KeyUse::SigningKeySeal))
        .map_err(|_| KeyError::Generation)
}

fn binding(kid: &str, algorithm: &str) -> Aad<Vec<u8>> {
    Aad::from([algorithm.as_bytes(), b"\0", kid.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_opens_under_the_same_secret_only() {
        let root = RootKey::new("secret");
        let sealed = seal(&root, "kid", "ES256", b"key").unwrap();
        assert!(!sealed.windows(3).any(|part| part == b"key"));
        assert_eq!(open(&root, "kid", "ES256", &sealed).unwrap(), b"key");
        assert_ne!(seal(&root, "kid", "ES256", b"key").unwrap(), sealed, "a nonce of its own");
        assert!(open(&RootKey::new("other"), "kid", "ES256", &sealed).is_err());
    }

    #[test]
    fn a_changed_row_does_not_open() {
        let root = RootKey::new("secret");
        let sealed = seal(&root, "kid", "ES256", b"key").unwrap();
        assert!(open(&root, "other", "ES256", &sealed).is_err());
        assert!(open(&root, "kid", "ES384", &sealed).is_err());
        assert!(open(&root, "kid", "ES256", &sealed[..5]).is_err());
        assert!(open(&root, "kid", "ES256", b"").is_err());
        let mut changed = sealed;
        changed[14] ^= 1;
        assert!(open(&root, "kid", "ES256", &changed).is_err());
    }
}
