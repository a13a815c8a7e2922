//! The one `secret_key`, split into a key for each use.
//!
//! HKDF-SHA256 (RFC 5869) with a label for each purpose, so that no two uses share
//! key material. It must not know what its keys are used on.

use std::fmt;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

/// The root secret of an installation. Its `Debug` says nothing.
#[derive(Clone)]
pub struct RootKey(Prk);

/// What a derived key is for. The label is part of the derivation: changing one
/// ends everything made with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// Tokens in mailed links.
    MailLinks,
    /// The check sum of opaque tokens.
    OpaqueChecksum,
    /// Opaque tokens derived from a login's seed (`tokens.opaque.scope = "user"`).
    OpaqueDerived,
    /// Sealing of signing keys in the database.
    SigningKeySeal,
    /// Authentication of entries in a shared cache.
    SharedCache,
}

impl KeyUse {
    fn label(self) -> &'static [u8] {
        match self {
            Self::MailLinks => b"portcullis mail links v1",
            Self::OpaqueChecksum => b"portcullis opaque checksum v1",
            Self::OpaqueDerived => b"portcullis opaque derived v1",
            Self::SigningKeySeal => b"portcullis signing key seal v1",
            Self::SharedCache => b"portcullis shared cache v1",
        }
    }
}

struct Len32;

impl KeyType for Len32 {
    fn len(&self) -> usize {
        32
    }
}

impl RootKey {
    /// From the text of `secret_key`.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(Salt::new(HKDF_SHA256, b"portcullis").extract(secret.as_bytes()))
    }

    /// The 32-byte key for one use.
    ///
    /// # Panics
    /// Never: HKDF-SHA256 yields up to 8,160 bytes.
    #[must_use]
    pub fn derive(&self, purpose: KeyUse) -> [u8; 32] {
        let mut key = [0; 32];
        self.0
            .expand(&[purpose.label()], Len32)
            .and_then(|okm| okm.fill(&mut key))
            .expect("32 bytes are within HKDF's limit");
        key
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_use_has_a_key_of_its_own_and_keeps_it() {
        let root = RootKey::new("secret");
        assert_eq!(
            root.derive(KeyUse::MailLinks),
            RootKey::new("secret").derive(KeyUse::MailLinks)
        );
        assert_ne!(root.derive(KeyUse::MailLinks), root.derive(KeyUse::OpaqueChecksum));
        assert_ne!(root.derive(KeyUse::MailLinks), RootKey::new("other").derive(KeyUse::MailLinks));
        assert_eq!(format!("{root:?}"), "RootKey(…)");
    }
}
