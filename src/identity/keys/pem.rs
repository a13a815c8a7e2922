//! Reads keys from PEM text, and tries each before it is used.
//!
//! The library takes some keys that it cannot work with later (a private key as a public one,
//! RSA below 2,048 bits); here they are refused at once, with a remedy. It must not know
//! which file or setting a key comes from.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, crypto};

use super::verifier::Verifier;

/// A key pair that was tried.
pub(super) struct KeyPair {
    pub(super) algorithm: Algorithm,
    pub(super) signing: EncodingKey,
    pub(super) verifying: Verifier,
    pub(super) public: Jwk,
    /// RFC 7638.
    pub(super) thumbprint: String,
}

/// A public key that was tried.
pub(super) struct PublicKey {
    pub(super) algorithm: Algorithm,
    pub(super) verifying: Verifier,
    pub(super) public: Jwk,
    /// RFC 7638.
    pub(super) thumbprint: String,
}

type Result<T> = std::result::Result<T, String>;

/// Whether the text holds a public key or certificate rather than a private key.
pub(super) fn is_public(pem: &str) -> bool {
    ["-----BEGIN PUBLIC KEY-", "-----BEGIN RSA PUBLIC KEY-", "-----BEGIN CERTIFICATE-"]
        .iter()
        .any(|label| pem.contains(label))
}

/// Reads a private key. `wanted` is used where the kind of key leaves a choice (RSA).
pub(super) fn private_key(pem: &str, wanted: Algorithm) -> Result<KeyPair> {
    if pem.contains("-----BEGIN EC PRIVATE KEY-") {
        return Err("it is in SEC 1 form; \
                    convert it: openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW"
            .to_owned());
    }
    if pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-") {
        return Err("it is encrypted; decrypt it: openssl pkcs8 -in OLD -out NEW".to_owned());
    }
    if is_public(pem) {
        return Err("it is a public key; a private one is needed".to_owned());
    }
    let bytes = pem.as_bytes();
    let candidates = [
        (EncodingKey::from_ec_pem(bytes), vec![Algorithm::ES256, Algorithm::ES384]),
        (EncodingKey::from_ed_pem(bytes), vec![Algorithm::EdDSA]),
        (EncodingKey::from_rsa_pem(bytes), vec![rsa_algorithm(wanted)]),
    ];
    for (key, algorithms) in candidates {
        let Ok(signing) = key else { continue };
        for algorithm in algorithms {
            let Ok(public) = Jwk::from_encoding_key(&signing, algorithm) else { continue };
            let Ok(PublicKey { verifying, thumbprint, .. }) = from_jwk(&public, algorithm) else {
                continue;
            };
            try_out(&signing, &verifying, algorithm)?;
            return Ok(KeyPair { algorithm, signing, verifying, public, thumbprint });
        }
    }
    Err("it is no PKCS#8 private key for ES256, ES384, EdDSA or RSA of 2048 to 8192 bits"
        .to_owned())
}

/// Reads a public key for one algorithm.
pub(super) fn public_key(pem: &str, algorithm: Algorithm) -> Result<PublicKey> {
    if !is_public(pem) {
        return Err("it is no public key (-----BEGIN PUBLIC KEY-----)".to_owned());
    }
    let bytes = pem.as_bytes();
    let key = match algorithm.family() {
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem(bytes),
        AlgorithmFamily::Ed => DecodingKey::from_ed_pem(bytes),
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(bytes),
        AlgorithmFamily::Hmac => return Err(format!("{algorithm:?} has no public keys")),
    };
    let unfit = |_| format!("it is no key for {algorithm:?}");
    let public =
        key.and_then(|key| Jwk::from_decoding_key(&key, Some(algorithm))).map_err(unfit)?;
    from_jwk(&public, algorithm)
}

/// Takes a public key of any algorithm, as far as the key itself tells.
pub(super) fn any_public_key(pem: &str, wanted: Algorithm) -> Result<PublicKey> {
    [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, rsa_algorithm(wanted)]
        .into_iter()
        .find_map(|algorithm| public_key(pem, algorithm).ok())
        .ok_or_else(|| "it is no public key for ES256, ES384, EdDSA or RSA".to_owned())
}

/// Takes a public key out of a JWK and makes sure that it can check anything at all.
pub(super) fn from_jwk(jwk: &Jwk, algorithm: Algorithm) -> Result<PublicKey> {
    let unfit = || format!("it is no key for {algorithm:?}");
    let key = DecodingKey::from_jwk(jwk).map_err(|_| unfit())?;
    let verifying = Verifier::public(&key, algorithm).ok_or_else(unfit)?;
    let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| unfit())?;
    Ok(PublicKey { algorithm, verifying, public: jwk.clone(), thumbprint })
}

/// Signs and verifies once: a key that cannot is found at the start, not at the first login.
pub(super) fn try_out(
    signing: &EncodingKey,
    verifying: &Verifier,
    algorithm: Algorithm,
) -> Result<()> {
    let message = b"a message to try the key on";
    crypto::sign(message, signing, algorithm)
        .ok()
        .and_then(|signature| URL_SAFE_NO_PAD.decode(signature).ok())
        .filter(|signature| verifying.verifies(message, signature))
        .map(drop)
        .ok_or_else(|| format!("it cannot sign and verify with {algorithm:?}"))
}

fn rsa_algorithm(wanted: Algorithm) -> Algorithm {
    if wanted.family() == AlgorithmFamily::Rsa { wanted } else { Algorithm::RS256 }
}

#[cfg(test)]
mod tests {
    use super::super::generation::generate;
    use super::*;

    fn refusal(pem: &str) -> String {
        private_key(pem, Algorithm::ES256).err().unwrap()
    }

    #[test]
    fn a_generated_key_of_each_kind_is_read_and_named_by_its_thumbprint() {
        for algorithm in [
            Algorithm::ES256,
            Algorithm::ES384,
            Algorithm::EdDSA,
            Algorithm::RS256,
            Algorithm::PS384,
        ] {
            let pair = private_key(&generate(algorithm).unwrap(), algorithm).unwrap();
            assert_eq!(pair.algorithm, algorithm);
            assert_eq!(pair.thumbprint.len(), 43);
        }
    }

    #[test]
    fn the_kind_of_key_decides_the_algorithm() {
        let pem = generate(Algorithm::EdDSA).unwrap();
        assert_eq!(private_key(&pem, Algorithm::ES256).unwrap().algorithm, Algorithm::EdDSA);
        let pem = generate(Algorithm::RS512).unwrap();
        assert_eq!(private_key(&pem, Algorithm::ES256).unwrap().algorithm, Algorithm::RS256);
    }

    #[test]
    fn unfit_files_are_refused_with_a_remedy() {
        let head = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        assert!(refusal(&head("EC PRIVATE KEY")).contains("openssl pkcs8 -topk8"));
        assert!(refusal(&head("ENCRYPTED PRIVATE KEY")).contains("openssl pkcs8 -in"));
        assert!(refusal(&head("PUBLIC KEY")).contains("a private one is needed"));
        for broken in ["", "no pem", &head("PRIVATE KEY")] {
            assert!(refusal(broken).contains("no PKCS#8 private key"));
            assert!(public_key(broken, Algorithm::RS256).is_err());
        }
    }

    #[test]
    fn a_private_key_is_not_taken_for_a_public_one() {
        let pem = generate(Algorithm::RS256).unwrap();
        assert!(public_key(&pem, Algorithm::RS256).err().unwrap().contains("no public key"));
    }
}
