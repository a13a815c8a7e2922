//! Who can write to Redis cannot make up identities: every value carries a MAC over its key
//! and itself.
//!
//! The key's name is part of it, so that one user's value is not believed in another's place;
//! it begins with the installation's name. It must not know what the values mean.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};

const TAG: usize = 32;

/// Longer values are neither written nor read.
pub(super) const LONGEST: usize = 64 * 1024;

/// Seals values and opens them.
pub(super) struct Seal(Key);

impl Seal {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(Key::new(HMAC_SHA256, key))
    }

    /// None for a value that is too long.
    pub(super) fn seal(&self, name: &str, value: &[u8]) -> Option<Vec<u8>> {
        let tag = sign(&self.0, &message(name, value));
        let sealed = [tag.as_ref(), value].concat();
        (sealed.len() <= LONGEST).then_some(sealed)
    }

    /// None for a value that was not sealed under this name.
    pub(super) fn open<'a>(&self, name: &str, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (tag, value) = sealed.split_at_checked(TAG)?;
        verify(&self.0, &message(name, value), tag).ok()?;
        Some(value)
    }
}

/// The length in front: no other pair of name and value makes the same message.
fn message(name: &str, value: &[u8]) -> Vec<u8> {
    [&(name.len() as u64).to_be_bytes(), name.as_bytes(), value].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_believed_under_its_own_name_and_unchanged_only() {
        let seal = Seal::new(&[7; 32]);
        let sealed = seal.seal("u:7", b"ada").unwrap();
        assert_eq!(seal.open("u:7", &sealed), Some(&b"ada"[..]));
        assert_eq!(seal.open("u:8", &sealed), None, "another's");
        assert_eq!(Seal::new(&[8; 32]).open("u:7", &sealed), None, "another installation's");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(seal.open("u:7", &changed), None, "byte {at}");
        }
        for cut in 0..sealed.len() {
            assert_eq!(seal.open("u:7", &sealed[..cut]), None, "{cut} bytes");
        }
    }

    #[test]
    fn name_and_value_cannot_be_shifted() {
        let seal = Seal::new(&[7; 32]);
        let sealed = seal.seal("u:7", b"1ada").unwrap();
        assert_eq!(seal.open("u:71", &[&sealed[..TAG], b"ada"].concat()), None);
    }

    #[test]
    fn a_value_that_is_too_long_is_not_written() {
        let seal = Seal::new(&[7; 32]);
        assert!(seal.seal("u:7", &vec![0; LONGEST - TAG]).is_some());
        assert_eq!(seal.seal("u:7", &vec![0; LONGEST - TAG + 1]), None);
    }
}
