//! The claims of a JWT, and what they say about time, issuer and audience.
//!
//! In the order in which `PyJWT` looks, so that a token with several faults gets the answer that
//! simplejwt gives. It must not know keys, users or what ended.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::model::Timestamp;

use super::flaw::JwtFlaw;
use super::keys::{Dialect, Issuer};
use super::rejection::JwtFault;

/// How far ahead of ours the clock of another replica may be.
const LEEWAY_SECONDS: i64 = 60;

/// The year 10000. Times beyond it are no times.
const END_OF_TIME: i64 = 253_402_300_800;

/// A JSON object in which no name comes twice.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// Reads an object. `None`: no JSON, no object, or a name twice: a reader that takes the
    /// first and one that takes the last would see different users.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let claims = reader.deserialize_map(Distinct).ok()?;
        // White space after the object is allowed in JSON, but no encoder writes it.
        (reader.end().is_ok() && json.ends_with(b"}")).then_some(claims)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A claim that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// All claims, to be copied.
    pub(super) fn into_map(self) -> Map<String, Value> {
        self.0
    }

    /// A claim that is a time, in whole seconds.
    pub(super) fn seconds(&self, name: &str) -> Option<i64> {
        seconds(self.get(name)?)
    }

    /// Times, issuer, audience, then the claims that must be there. Not the type: what is
    /// wanted differs, and a blacklist is looked at before it.
    pub(super) fn check(&self, issuer: &Issuer, now: Timestamp) -> Result<(), JwtFlaw> {
        self.check_times(issuer, now)?;
        self.check_names(issuer)?;
        if self.get("exp").is_none() {
            return Err(JwtFlaw::NoExpiry);
        }
        if issuer.dialect == Dialect::SimpleJwt && self.get(&issuer.id_claim).is_none() {
            return Err(JwtFlaw::NoId);
        }
        Ok(())
    }

    /// Whether the claim for the type has the wanted one.
    pub(super) fn check_type(&self, issuer: &Issuer, wanted: &str) -> Result<(), JwtFault> {
        match self.get(&issuer.type_claim) {
            Some(Value::String(own)) if own == wanted => Ok(()),
            Some(_) => Err(JwtFault::WrongType),
            // Of others only access tokens are ever taken.
            None if issuer.dialect == Dialect::Open && wanted == "access" => Ok(()),
            None => Err(JwtFault::NoType),
        }
    }

    fn check_times(&self, issuer: &Issuer, now: Timestamp) -> Result<(), JwtFlaw> {
        for name in ["iat", "nbf"] {
            if let Some(value) = self.get(name) {
                let seconds = seconds(value).ok_or(JwtFlaw::BadClaim(name))?;
                if seconds > now.seconds().saturating_add(issuer.leeway.max(LEEWAY_SECONDS)) {
                    return Err(JwtFlaw::NotYet(name));
                }
            }
        }
        if let Some(value) = self.get("exp") {
            let seconds = seconds(value).ok_or(JwtFlaw::BadClaim("exp"))?;
            if seconds.saturating_add(issuer.leeway) <= now.seconds() {
                return Err(JwtFlaw::Expired);
            }
        }
        Ok(())
    }

    fn check_names(&self, issuer: &Issuer) -> Result<(), JwtFlaw> {
        if let Some(name) = &issuer.name
            && self.text("iss") != Some(name)
        {
            return Err(JwtFlaw::OtherIssuer);
        }
        let among =
            |one: &Value| one.as_str().is_some_and(|one| issuer.audience.iter().any(|a| a == one));
        let meant_for_us = issuer.audience.is_empty()
            || match self.get("aud") {
                Some(Value::Array(many)) => {
                    many.iter().all(Value::is_string) && many.iter().any(among)
                }
                Some(one) => among(one),
                None => false,
            };
        if !meant_for_us {
            return Err(JwtFlaw::OtherAudience);
        }
        let is_text = |name: &str| self.get(name).is_none_or(Value::is_string);
        if !is_text("sub") {
            return Err(JwtFlaw::BadClaim("sub"));
        }
        if !is_text(&issuer.id_claim) {
            return Err(JwtFlaw::BadClaim("jti"));
        }
        Ok(())
    }
}

/// A `NumericDate` (RFC 7519 section 2) in whole seconds, rounded down.
fn seconds(value: &Value) -> Option<i64> {
    let number = value.as_number()?;
    let seconds = if let Some(seconds) = number.as_i64() {
        seconds
    } else {
        let float = number.as_f64().filter(|float| float.abs() < 1e12)?.floor();
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 10^12")]
        let seconds = float as i64;
        seconds
    };
    (-END_OF_TIME..END_OF_TIME).contains(&seconds).then_some(seconds)
}

struct Distinct;

impl<'de> Visitor<'de> for Distinct {
    type Value = Claims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Claims, A::Error> {
        let mut map = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a name comes twice"));
            }
        }
        Ok(Claims(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::keys::Users;
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000_900_000);

    fn issuer(name: Option<&str>, audience: &[&str], dialect: Dialect) -> Issuer {
        Issuer {
            name: name.map(str::to_owned),
            audience: audience.iter().map(|&a| a.to_owned()).collect(),
            users: Users::Own,
            user_claim: "user_id".to_owned(),
            type_claim: "token_type".to_owned(),
            id_claim: "jti".to_owned(),
            leeway: 0,
            dialect,
        }
    }

    fn claims(value: &Value) -> Claims {
        Claims::parse(value.to_string().as_bytes()).unwrap()
    }

    fn check(value: &Value) -> Result<(), JwtFault> {
        Ok(claims(value).check(&issuer(None, &[], Dialect::SimpleJwt), NOW)?)
    }

    #[test]
    fn a_name_that_comes_twice_is_refused() {
        assert!(Claims::parse(br#"{"a":1,"b":2}"#).is_some());
        assert!(Claims::parse(br#"{"a":1,"a":1}"#).is_none());
        assert!(Claims::parse(br#"{"a":1,"\u0061":1}"#).is_none());
        for no_object in ["", "[]", "1", "null", "{} x", "{}{}", "{\"a\":NaN}"] {
            assert!(Claims::parse(no_object.as_bytes()).is_none(), "{no_object}");
        }
        assert!(Claims::parse(b"\xff").is_none());
    }

    #[test]
    fn a_token_expires_in_the_very_second_of_exp() {
        assert_eq!(check(&json!({"exp": 1001, "jti": "x"})), Ok(()));
        assert_eq!(check(&json!({"exp": 1001.9, "jti": "x"})), Ok(()));
        assert_eq!(check(&json!({"exp": 1000, "jti": "x"})), Err(JwtFault::Expired));
        assert_eq!(check(&json!({"exp": 1000.95, "jti": "x"})), Err(JwtFault::Expired));
        assert_eq!(check(&json!({"exp": -1, "jti": "x"})), Err(JwtFault::Expired));
    }

    #[test]
    fn times_that_are_none_are_invalid() {
        for time in
            [json!(null), json!("1001"), json!([1001]), json!(true), json!(1e30), json!(u64::MAX)]
        {
            for name in ["exp", "iat", "nbf"] {
                assert_eq!(
                    check(&json!({name: time, "jti": "x"})),
                    Err(JwtFault::Invalid),
                    "{name} {time}"
                );
            }
        }
    }

    #[test]
    fn iat_and_nbf_may_be_a_minute_ahead() {
        for name in ["iat", "nbf"] {
            assert_eq!(check(&json!({name: 1060, "exp": 2000, "jti": "x"})), Ok(()));
            assert_eq!(
                check(&json!({name: 1061, "exp": 2000, "jti": "x"})),
                Err(JwtFault::Invalid)
            );
        }
        assert_eq!(check(&json!({"iat": 1600, "exp": 1, "jti": "x"})), Err(JwtFault::Invalid));
    }

    #[test]
    fn missing_claims_are_named_in_order() {
        assert_eq!(check(&json!({})), Err(JwtFault::NoExpiry));
        assert_eq!(check(&json!({"exp": 2000})), Err(JwtFault::NoId));
        assert_eq!(check(&json!({"exp": 1})), Err(JwtFault::Expired));
        assert_eq!(check(&json!({"exp": 2000, "jti": 5})), Err(JwtFault::Invalid));
        let open = issuer(None, &[], Dialect::Open);
        assert_eq!(claims(&json!({"exp": 2000})).check(&open, NOW), Ok(()));
    }

    #[test]
    fn issuer_and_audience_are_required_where_configured_and_else_ignored() {
        let strict = issuer(Some("me"), &["a", "b"], Dialect::Open);
        let check = |iss: Value, aud: Value| {
            let claims = claims(&json!({"exp": 2000, "iss": iss, "aud": aud}));
            assert_eq!(claims.check(&issuer(None, &[], Dialect::Open), NOW), Ok(()));
            Ok::<_, JwtFault>(claims.check(&strict, NOW)?)
        };
        assert_eq!(check(json!("me"), json!("a")), Ok(()));
        assert_eq!(check(json!("me"), json!(["x", "b"])), Ok(()));
        for (iss, aud) in [
            (json!("you"), json!("a")),
            (json!(["me"]), json!("a")),
            (json!(5), json!("a")),
            (json!("me"), json!("x")),
            (json!("me"), json!([])),
            (json!("me"), json!(["a", 5])),
            (json!("me"), json!(5)),
            (json!("me"), json!(null)),
        ] {
            assert_eq!(check(iss.clone(), aud.clone()), Err(JwtFault::Invalid), "{iss} {aud}");
        }
        let bare = claims(&json!({"exp": 2000}));
        assert_eq!(bare.check(&strict, NOW), Err(JwtFlaw::OtherIssuer));
    }

    #[test]
    fn the_type_must_be_the_wanted_one() {
        let (ours, theirs) =
            (issuer(None, &[], Dialect::SimpleJwt), issuer(None, &[], Dialect::Open));
        let check = |value: Value, issuer, wanted| claims(&value).check_type(issuer, wanted);
        assert_eq!(check(json!({"token_type": "access"}), &ours, "access"), Ok(()));
        assert_eq!(
            check(json!({"token_type": "refresh"}), &ours, "access"),
            Err(JwtFault::WrongType)
        );
        assert_eq!(check(json!({"token_type": null}), &ours, "access"), Err(JwtFault::WrongType));
        assert_eq!(check(json!({}), &ours, "access"), Err(JwtFault::NoType));
        assert_eq!(check(json!({}), &theirs, "access"), Ok(()));
        assert_eq!(check(json!({}), &theirs, "refresh"), Err(JwtFault::NoType));
        assert_eq!(
            check(json!({"token_type": "refresh"}), &theirs, "access"),
            Err(JwtFault::WrongType)
        );
    }
}
