//! Makes a signing key where the operator gave none.
//!
//! As PEM text, the form in which an operator's own keys come, so that there is one way to
//! read a key. It must not know where keys are kept.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, AlgorithmFamily};

use super::KeyError;

/// A PKCS#8 private key in PEM. RSA takes a tenth of a second: not on an async thread.
pub(in crate::identity) fn generate(algorithm: Algorithm) -> Result<String, KeyError> {
    let random = SystemRandom::new();
    let curve = match algorithm {
        Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        _ => &ECDSA_P256_SHA256_FIXED_SIGNING,
    };
    let document = match algorithm.family() {
        AlgorithmFamily::Ec => {
            EcdsaKeyPair::generate_pkcs8(curve, &random).map(|document| document.as_ref().to_vec())
        }
        // Version 1 of the format: the newer one has the public key in it, and cannot be
        // turned into a JWK.
        AlgorithmFamily::Ed => {
            Ed25519KeyPair::generate_pkcs8v1(&random).map(|document| document.as_ref().to_vec())
        }
        AlgorithmFamily::Rsa => RsaKeyPair::generate(KeySize::Rsa2048).and_then(|pair| {
            AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map(|document| document.as_ref().to_vec())
        }),
        AlgorithmFamily::Hmac => return Err(KeyError::Generation),
    };
    Ok(to_pem(&document.map_err(|_| KeyError::Generation)?))
}

fn to_pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::with_capacity(text.len() + 128);
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_secret_is_not_generated() {
        assert!(generate(Algorithm::HS256).is_err());
    }

    #[test]
    fn lines_of_a_pem_are_64_long() {
        let pem = generate(Algorithm::ES256).unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert!(pem.lines().all(|line| line.len() <= 64));
    }
}
