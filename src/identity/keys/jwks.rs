//! Reads the key set that a trusted issuer publishes (RFC 7517).
//!
//! One odd key must not spoil the set: each is taken by itself, and those that are not for us
//! are passed over. It must not know where the set was found.

use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use serde_json::Value;

use super::pem::{PublicKey, from_jwk};
use super::table::Kid;

/// The keys of a set that can check signatures with `algorithm`, and what each answers to.
///
/// # Errors
/// What is wrong with the set: it is none, or holds no such key.
pub(super) fn read(text: &str, algorithm: Algorithm) -> Result<Vec<(Kid, PublicKey)>, String> {
    let set: Value = serde_json::from_str(text).map_err(|_| "it is not JSON".to_owned())?;
    let keys = set.get("keys").and_then(Value::as_array).ok_or("it holds no list \"keys\"")?;
    let mut found: Vec<(Option<String>, PublicKey)> =
        keys.iter().filter_map(|key| usable(key, algorithm)).collect();
    if found.is_empty() {
        return Err(format!("it holds no key for {algorithm:?}"));
    }
    // Without a name in the token there is nothing to choose by: only an only key will do.
    let alone = found.len() == 1;
    Ok(found
        .drain(..)
        .map(|(name, key)| match name {
            Some(name) => (Kid::Named { name, default: alone }, key),
            None if alone => (Kid::Any, key),
            None => (Kid::Nameless, key),
        })
        .collect())
}

fn usable(key: &Value, algorithm: Algorithm) -> Option<(Option<String>, PublicKey)> {
    let jwk: Jwk = serde_json::from_value(key.clone()).ok()?;
    let for_signatures = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let same_algorithm = match jwk.common.key_algorithm {
        None => true,
        Some(own) => own.to_string() == format!("{algorithm:?}"),
    };
    // A published secret is no secret.
    let secret = matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_));
    if !for_signatures || !same_algorithm || secret {
        return None;
    }
    Some((jwk.common.key_id.clone(), from_jwk(&jwk, algorithm).ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::generation::generate;
    use super::super::pem::private_key;
    use super::*;

    fn jwk(algorithm: Algorithm, kid: &Value) -> Value {
        let pair = private_key(&generate(algorithm).unwrap(), algorithm).unwrap();
        let mut value = serde_json::to_value(pair.public).unwrap();
        if !kid.is_null() {
            value["kid"] = kid.clone();
        }
        value
    }

    fn kids(set: &Value, algorithm: Algorithm) -> Vec<Kid> {
        let mut keys = read(&set.to_string(), algorithm).unwrap();
        keys.drain(..).map(|(kid, _)| kid).collect()
    }

    #[test]
    fn keys_that_are_not_for_us_are_passed_over() {
        let encryption = {
            let mut key = jwk(Algorithm::ES256, &json!("enc"));
            key["use"] = json!("enc");
            key
        };
        let set = json!({"keys": [
            jwk(Algorithm::ES256, &json!(5)),
            jwk(Algorithm::EdDSA, &json!("other algorithm")),
            encryption,
            {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
            {"kty": "AKP", "alg": "ML-DSA-44", "pub": "x"},
            "no key at all",
            jwk(Algorithm::ES256, &json!("good")),
        ]});
        assert_eq!(
            kids(&set, Algorithm::ES256),
            [Kid::Named { name: "good".to_owned(), default: true }]
        );
    }

    #[test]
    fn of_several_keys_none_is_the_default() {
        let set = json!({"keys": [
            jwk(Algorithm::ES256, &json!("a")),
            jwk(Algorithm::ES256, &json!("b")),
        ]});
        let named = |name: &str| Kid::Named { name: name.to_owned(), default: false };
        assert_eq!(kids(&set, Algorithm::ES256), [named("a"), named("b")]);
    }

    #[test]
    fn an_only_key_without_a_name_answers_to_any() {
        let set = json!({"keys": [jwk(Algorithm::EdDSA, &Value::Null)]});
        assert_eq!(kids(&set, Algorithm::EdDSA), [Kid::Any]);
    }

    #[test]
    fn a_set_without_usable_keys_is_refused() {
        for text in ["", "[]", r#"{"keys": 1}"#, r#"{"keys": []}"#, r#"{"keys": [{}]}"#] {
            assert!(read(text, Algorithm::ES256).is_err(), "{text}");
        }
    }
}
