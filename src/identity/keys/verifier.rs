//! Checks signatures with keys that are made ready once.
//!
//! jsonwebtoken reads keys in all their forms, and here it is left at that: it would read them anew
//! for every token that it verifies, a tenth to a fifth of what a forged one costs. It must not
//! know what was signed, nor which key is to check it.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, VerificationAlgorithm,
};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};

/// A key for one algorithm (RFC 7518, section 3.1; RFC 8037).
#[derive(Clone)]
pub(in crate::identity) enum Verifier {
    /// Shared with whoever signs.
    Mac(Box<hmac::Key>),
    /// Anybody may have it.
    Signature(ParsedPublicKey),
}

impl Verifier {
    /// From a shared secret. `None`: the algorithm has none.
    pub(super) fn secret(secret: &[u8], algorithm: Algorithm) -> Option<Self> {
        let algorithm = match algorithm {
            Algorithm::HS256 => hmac::HMAC_SHA256,
            Algorithm::HS384 => hmac::HMAC_SHA384,
            Algorithm::HS512 => hmac::HMAC_SHA512,
            _ => return None,
        };
        Some(Self::Mac(Box::new(hmac::Key::new(algorithm, secret))))
    }

    /// From a public key. `None`: it cannot check anything with this algorithm.
    pub(super) fn public(key: &DecodingKey, algorithm: Algorithm) -> Option<Self> {
        if key.family() != algorithm.family() {
            return None;
        }
        let parsed = match (key.kind(), rsa(algorithm), elliptic(algorithm)) {
            (DecodingKeyKind::RsaModulusExponent { n, e }, Some(rsa), _) if is_fit(n) => {
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(rsa)
            }
            (DecodingKeyKind::SecretOrDer(point), None, Some(curve)) => {
                ParsedPublicKey::new(curve, point)
            }
            _ => return None,
        };
        parsed.ok().map(Self::Signature)
    }

    /// Whether the signature is this key's, for this message.
    pub(in crate::identity) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Mac(key) => hmac::verify(key, message, signature).is_ok(),
            Self::Signature(key) => key.verify_sig(message, signature).is_ok(),
        }
    }

    /// Whether it is shared with whoever signs.
    pub(in crate::identity) fn is_mac(&self) -> bool {
        matches!(self, Self::Mac(_))
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn elliptic(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED,
        Algorithm::EdDSA => &ED25519,
        _ => return None,
    })
}

/// Whether it is as long as is verified with; nobody would say so before the first token comes.
fn is_fit(modulus: &[u8]) -> bool {
    let bits = modulus.iter().skip_while(|byte| **byte == 0).count() * 8;
    (2048..=8192).contains(&bits)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, crypto};

    use super::super::generation::generate;
    use super::super::pem::private_key;
    use super::*;

    const PUBLIC: [Algorithm; 9] = [
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ];

    fn signature(message: &str, key: &EncodingKey, algorithm: Algorithm) -> Vec<u8> {
        let signature = crypto::sign(message.as_bytes(), key, algorithm).unwrap();
        URL_SAFE_NO_PAD.decode(signature).unwrap()
    }

    fn verifies_only_its_own(verifier: &Verifier, signature: &[u8]) {
        assert!(verifier.verifies(b"a message", signature));
        assert!(!verifier.verifies(b"another message", signature));
        assert!(!verifier.verifies(b"a message", &signature[1..]));
        assert!(!verifier.verifies(b"a message", &signature[..signature.len() - 1]));
        assert!(!verifier.verifies(b"a message", &[signature, b"\0"].concat()));
        assert!(!verifier.verifies(b"a message", b""));
        let mut changed = signature.to_vec();
        changed[signature.len() / 2] ^= 1;
        assert!(!verifier.verifies(b"a message", &changed));
        assert!(!verifier.verifies(b"a message", &vec![0; signature.len()]));
    }

    #[test]
    fn what_jsonwebtoken_signs_is_verified_with_every_algorithm_and_nothing_else() {
        for algorithm in PUBLIC {
            let pair = private_key(&generate(algorithm).unwrap(), algorithm).unwrap();
            verifies_only_its_own(
                &pair.verifying,
                &signature("a message", &pair.signing, algorithm),
            );
        }
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let secret = b"a-secret-of-at-least-thirty-two-bytes";
            let verifier = Verifier::secret(secret, algorithm).unwrap();
            let signing = EncodingKey::from_secret(secret);
            verifies_only_its_own(&verifier, &signature("a message", &signing, algorithm));
            let other = Verifier::secret(b"another secret", algorithm).unwrap();
            assert!(!other.verifies(b"a message", &signature("a message", &signing, algorithm)));
        }
    }

    #[test]
    fn a_key_is_for_its_own_kind_of_algorithm() {
        for own in [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA] {
            let pair = private_key(&generate(own).unwrap(), own).unwrap();
            let key = DecodingKey::from_jwk(&pair.public).unwrap();
            for other in PUBLIC {
                let is_kin =
                    own == other || own.family() == other.family() && own == Algorithm::RS256;
                assert_eq!(Verifier::public(&key, other).is_some(), is_kin, "{own:?} {other:?}");
                assert!(Verifier::secret(b"secret", other).is_none());
            }
            assert!(Verifier::public(&key, Algorithm::HS256).is_none());
        }
        let secret = DecodingKey::from_secret(b"secret");
        assert!(Verifier::public(&secret, Algorithm::HS256).is_none());
    }

    #[test]
    fn rsa_keys_below_2048_bits_are_refused() {
        for modulus in [&[0xff; 128][..], &[], &[0; 300]] {
            let key = DecodingKey::from_rsa_raw_components(modulus, &[1, 0, 1]);
            assert!(Verifier::public(&key, Algorithm::RS256).is_none());
        }
    }
}
