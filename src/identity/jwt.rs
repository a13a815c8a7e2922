//! Checks a JWT: the right key, the signature, the times, the claims that must be there.
//!
//! What ends in "invalid" anyway is found before the signature, which is the dear part of a
//! forged token; what has a message of its own is said only of genuine tokens. It must not
//! know users, records or what ended.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::model::{LoginId, Timestamp, UserId};

use super::claims::Claims;
use super::flaw::JwtFlaw;
use super::keys::{Issuer, KeyLife, Keys, Users, VerifyingKey};
use super::rejection::{JwtFault, Rejection};
use super::ties::{Issued, Ties};
use super::token::{Token, Unread, decode};

pub(super) use super::token::LONGEST;

/// A genuine token of the present, of whatever type.
pub(super) struct Genuine {
    /// Whose it is.
    pub(super) issuer: Arc<Issuer>,
    /// Its claims.
    pub(super) claims: Claims,
    /// When it ends: `exp`, and the leeway that clocks are given.
    pub(super) expires: Timestamp,
    /// The key that signed it.
    pub(super) signed_by: KeyLife,
}

/// What an access token proved once and for all: kept with its identity, so that its signature
/// is not verified again.
pub(super) struct Proof {
    /// Who it says is asking.
    pub(super) claimant: Claimant,
    /// By which names it could be ended; the user only where the claimant is a number.
    pub(super) ties: Ties,
    /// The claim `hash_password`.
    pub(super) password_mark: Option<String>,
    /// When it ends.
    pub(super) expires: Timestamp,
    /// The key that signed it.
    pub(super) signed_by: KeyLife,
    /// It lives longer than entries of the log are kept for: whether it ended must be asked.
    pub(super) outlives_log: bool,
}

/// Who a token says is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claimant {
    /// One of our users, by number.
    Number(UserId),
    /// One of our users, by name.
    Name(String),
    /// A user of a trusted issuer, `name:sub`.
    Foreign(String),
    /// Nobody that could exist here.
    Nobody,
}

/// Checks a token up to, and without, its type.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(keys: &Keys, token: &str, now: Timestamp) -> Result<Genuine, JwtFault> {
    Ok(examine(keys, token, now)?)
}

/// The same, for somebody who may know exactly what is wrong.
pub(super) fn examine(keys: &Keys, token: &str, now: Timestamp) -> Result<Genuine, JwtFlaw> {
    let unread = Unread::parse(token).ok_or(JwtFlaw::Malformed)?;
    let ring = keys.ring();
    let by_mac = {
        let mut answering = ring.answering(unread.algorithm, unread.kid.as_deref());
        // Where no key will do, the claims need not be read.
        let first = answering.next().ok_or(JwtFlaw::NoKey)?;
        // A MAC takes less time than reading the claims does; a signature takes far more.
        Some(first).filter(|key| key.verifier.is_mac() && answering.next().is_none())
    };
    if by_mac.is_some_and(|key| !is_signed_by(key, &unread)) {
        return Err(JwtFlaw::Signature);
    }
    let Token { parts, claims } = unread.read().ok_or(JwtFlaw::Malformed)?;
    let key = ring
        .find(parts.algorithm, parts.kid.as_deref(), claims.text("iss"))
        .ok_or(JwtFlaw::NoKey)?;
    let checked = claims.check(&key.issuer, now);
    if let Err(flaw) = checked
        && JwtFault::from(flaw) == JwtFault::Invalid
    {
        return Err(flaw);
    }
    if by_mac.is_none() && !is_signed_by(key, &parts) {
        return Err(JwtFlaw::Signature);
    }
    checked?;
    let expires = claims.seconds("exp").ok_or(JwtFlaw::NoExpiry)?;
    let expires = expires.saturating_add(key.issuer.leeway);
    Ok(Genuine {
        issuer: Arc::clone(&key.issuer),
        claims,
        expires: Timestamp::from_seconds(expires),
        signed_by: key.life.clone(),
    })
}

fn is_signed_by(key: &VerifyingKey, token: &Unread<'_>) -> bool {
    let signature = decode(token.signature);
    signature.is_some_and(|it| key.verifier.verifies(token.message.as_bytes(), &it))
}

impl Genuine {
    /// The same token, if it is of the wanted type.
    pub(super) fn of_type(self, wanted: &str) -> Result<Self, JwtFault> {
        self.claims.check_type(&self.issuer, wanted)?;
        Ok(self)
    }

    /// Who it says is asking.
    pub(super) fn claimant(&self) -> Result<Claimant, Rejection> {
        let claim = self.claims.get(&self.issuer.user_claim).ok_or(Rejection::NoUserClaim)?;
        Ok(match (&self.issuer.users, claim) {
            (Users::Own | Users::LocalById, claim) => {
                number(claim).map_or(Claimant::Nobody, Claimant::Number)
            }
            (Users::LocalByName, Value::String(name)) => Claimant::Name(name.clone()),
            (Users::Foreign(issuer), Value::String(sub)) if !sub.is_empty() => {
                Claimant::Foreign(format!("{issuer}:{sub}"))
            }
            (Users::Foreign(issuer), Value::Number(sub)) => {
                Claimant::Foreign(format!("{issuer}:{sub}"))
            }
            (Users::LocalByName | Users::Foreign(_), _) => Claimant::Nobody,
        })
    }

    /// By which names it could be ended; `user` as found out from the claimant.
    pub(super) fn ties(&self, user: Option<UserId>) -> Ties {
        let own = self.issuer.users == Users::Own;
        let generation = self.claims.get("gen").and_then(Value::as_i64).filter(|_| own);
        let issued = match generation {
            Some(generation) => Issued::Generation(generation),
            // Of unknown age: any cut ends it.
            None => Issued::Second(self.claims.seconds("iat").unwrap_or(i64::MIN)),
        };
        Ties { user, issued, login: self.login(), jti: self.jti().map(str::to_owned) }
    }

    /// What it is named by.
    pub(super) fn jti(&self) -> Option<&str> {
        self.claims.text(&self.issuer.id_claim)
    }

    /// The login it belongs to; only our own tokens can say so.
    pub(super) fn login(&self) -> Option<LoginId> {
        if self.issuer.users != Users::Own {
            return None;
        }
        LoginId::parse(self.claims.text("sid")?)
    }

    /// Whether it was made to live longer than this, or may have been.
    fn lives_longer_than(&self, lifetime: Duration) -> bool {
        let issued = self.claims.seconds("iat").map(Timestamp::from_seconds);
        let leeway = Duration::from_secs(self.issuer.leeway.unsigned_abs());
        issued.is_none_or(|issued| self.expires.since(issued) > lifetime + leeway)
    }
}

impl Proof {
    /// `access_lifetime`: how long entries of the log are kept at least.
    pub(super) fn of(genuine: &Genuine, access_lifetime: Duration) -> Result<Self, Rejection> {
        let claimant = genuine.claimant()?;
        let user = match claimant {
            Claimant::Number(user) => Some(user),
            Claimant::Name(_) | Claimant::Foreign(_) | Claimant::Nobody => None,
        };
        Ok(Self {
            ties: genuine.ties(user),
            password_mark: genuine.claims.text("hash_password").map(str::to_owned),
            expires: genuine.expires,
            signed_by: genuine.signed_by.clone(),
            outlives_log: genuine.lives_longer_than(access_lifetime),
            claimant,
        })
    }

    /// The generation it was issued under, where it says so.
    pub(super) fn generation(&self) -> Option<i64> {
        match self.ties.issued {
            Issued::Generation(generation) => Some(generation),
            Issued::Second(_) => None,
        }
    }
}

/// A user's number as simplejwt writes it: a text, or a number before its version 5.5. In its
/// one spelling: `007` is nobody.
fn number(claim: &Value) -> Option<UserId> {
    let number = match claim {
        Value::Number(number) => number.as_i64()?,
        Value::String(text) => text.parse().ok().filter(|n: &i64| n.to_string() == *text)?,
        _ => return None,
    };
    Some(UserId(number))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{Algorithm, EncodingKey, crypto};
    use serde_json::json;

    use super::*;
    use crate::identity::fixtures::{NOW, SECRET, es256, hs256, own_keys, trusted, trusting};

    fn forge(header: &Value, claims: &Value, secret: &str, algorithm: Algorithm) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let key = EncodingKey::from_secret(secret.as_bytes());
        let signature = crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
        format!("{message}.{signature}")
    }

    fn hs(claims: &Value) -> String {
        forge(&json!({"alg": "HS256", "typ": "JWT"}), claims, SECRET, Algorithm::HS256)
    }

    fn good() -> Value {
        json!({"token_type": "access", "exp": 1300, "iat": 1000, "jti": "ab", "user_id": "7"})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = good();
        claims[name] = value;
        claims
    }

    fn without(name: &str) -> Value {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(name);
        claims
    }

    fn fault(token: &str) -> Option<JwtFault> {
        check(&own_keys(&hs256()), token, NOW).and_then(|token| token.of_type("access")).err()
    }

    fn claimant(claims: &Value) -> Result<Claimant, Rejection> {
        check(&own_keys(&hs256()), &hs(claims), NOW).unwrap().claimant()
    }

    #[test]
    fn a_good_token_passes_and_more_claims_do_not_matter() {
        assert_eq!(fault(&hs(&good())), None);
        assert_eq!(fault(&hs(&with("role", json!("admin")))), None);
        assert_eq!(fault(&hs(&with("aud", json!("anyone")))), None);
        let header = json!({"alg": "HS256", "typ": "at+jwt"});
        assert_eq!(fault(&forge(&header, &good(), SECRET, Algorithm::HS256)), None);
    }

    #[test]
    fn each_fault_has_simplejwts_message() {
        for (claims, expected) in [
            (with("exp", json!(1000)), JwtFault::Expired),
            (without("exp"), JwtFault::NoExpiry),
            (without("jti"), JwtFault::NoId),
            (without("token_type"), JwtFault::NoType),
            (with("token_type", json!("refresh")), JwtFault::WrongType),
            (with("token_type", json!("sliding")), JwtFault::WrongType),
            (with("iat", json!(1600)), JwtFault::Invalid),
            (with("nbf", json!(1600)), JwtFault::Invalid),
        ] {
            assert_eq!(fault(&hs(&claims)), Some(expected), "{claims}");
        }
    }

    #[test]
    fn a_bad_signature_is_all_that_a_forger_learns() {
        let other = "another-key-another-key-another-key";
        for claims in [good(), with("exp", json!(1)), without("exp"), without("jti")] {
            let header = json!({"alg": "HS256", "typ": "JWT"});
            let token = forge(&header, &claims, other, Algorithm::HS256);
            assert_eq!(fault(&token), Some(JwtFault::Invalid), "{claims}");
        }
        let token = hs(&good());
        for broken in [
            token.rsplit_once('.').unwrap().0.to_owned() + ".",
            format!("{token}AAAA"),
            format!("{token}="),
            token[..token.len() - 4].to_owned(),
        ] {
            assert_eq!(fault(&broken), Some(JwtFault::Invalid), "{broken}");
        }
    }

    #[test]
    fn the_key_decides_the_algorithm() {
        for (named, used) in
            [("HS512", Algorithm::HS256), ("HS512", Algorithm::HS512), ("RS256", Algorithm::HS256)]
        {
            let header = json!({"alg": named, "typ": "JWT"});
            let token = forge(&header, &good(), SECRET, used);
            assert_eq!(fault(&token), Some(JwtFault::Invalid), "{named}");
        }
    }

    #[test]
    fn a_public_key_is_no_shared_secret() {
        let keys = own_keys(&es256());
        let set: Value = serde_json::from_str(&keys.key_set()).unwrap();
        let key = &set["keys"][0];
        for secret in [key.to_string(), key["x"].as_str().unwrap().to_owned()] {
            for kid in [json!(null), key["kid"].clone()] {
                let header = json!({"alg": "HS256", "kid": kid});
                let token = forge(&header, &good(), &secret, Algorithm::HS256);
                assert_eq!(check(&keys, &token, NOW).err(), Some(JwtFault::Invalid));
            }
        }
    }

    #[test]
    fn a_user_is_a_number_in_its_one_spelling() {
        assert_eq!(claimant(&good()), Ok(Claimant::Number(UserId(7))));
        assert_eq!(claimant(&with("user_id", json!(7))), Ok(Claimant::Number(UserId(7))));
        for odd in [
            json!("007"),
            json!("+7"),
            json!(" 7"),
            json!("ada"),
            json!(7.5),
            json!(null),
            json!([7]),
        ] {
            assert_eq!(claimant(&with("user_id", odd.clone())), Ok(Claimant::Nobody), "{odd}");
        }
        assert_eq!(claimant(&without("user_id")), Err(Rejection::NoUserClaim));
    }

    #[test]
    fn a_token_hangs_on_what_it_names() {
        let keys = own_keys(&hs256());
        let ties = |claims: &Value| check(&keys, &hs(claims), NOW).unwrap().ties(Some(UserId(7)));
        let mut named = with("gen", json!(3));
        named["sid"] = json!("01".repeat(16));
        let expected = Ties {
            user: Some(UserId(7)),
            issued: Issued::Generation(3),
            login: Some(LoginId([1; 16])),
            jti: Some("ab".to_owned()),
        };
        assert_eq!(ties(&named), expected);
        assert_eq!(ties(&good()), Ties { issued: Issued::Second(1000), login: None, ..expected });
        assert_eq!(ties(&without("iat")).issued, Issued::Second(i64::MIN));
    }

    #[tokio::test]
    async fn tokens_of_trusted_issuers_are_told_apart_by_issuer() {
        let django = trusted("django", "", crate::config::TrustedUsers::Local);
        let mut partner =
            trusted("partner", "https://partner", crate::config::TrustedUsers::Claims);
        partner.audience = vec!["us".to_owned()];
        let keys = trusting(&es256(), &[django, partner]).await.unwrap();
        let secret = |name: &str| format!("{name}{}", "-".repeat(32));
        let header = json!({"alg": "HS256", "typ": "JWT"});

        let token = forge(&header, &good(), &secret("django"), Algorithm::HS256);
        let genuine = check(&keys, &token, NOW).unwrap();
        assert_eq!(genuine.claimant(), Ok(Claimant::Number(UserId(7))));

        let mut claims = with("iss", json!("https://partner"));
        claims["sub"] = json!("zoë");
        claims["sid"] = json!("01".repeat(16));
        let token = forge(&header, &claims, &secret("partner"), Algorithm::HS256);
        assert_eq!(check(&keys, &token, NOW).err(), Some(JwtFault::Invalid), "no audience");
        claims["aud"] = json!(["us"]);
        let token = forge(&header, &claims, &secret("partner"), Algorithm::HS256);
        let genuine = check(&keys, &token, NOW).unwrap();
        assert_eq!(genuine.claimant(), Ok(Claimant::Foreign("partner:zoë".to_owned())));
        assert_eq!(genuine.login(), None, "its sid is none of ours");

        let token = forge(&header, &claims, &secret("django"), Algorithm::HS256);
        assert_eq!(check(&keys, &token, NOW).err(), Some(JwtFault::Invalid), "another's secret");
    }

    #[tokio::test]
    async fn two_keys_for_the_same_tokens_are_refused() {
        let one = trusted("one", "", crate::config::TrustedUsers::Local);
        let two = trusted("two", "", crate::config::TrustedUsers::Local);
        assert!(trusting(&es256(), std::slice::from_ref(&one)).await.is_ok());
        assert!(trusting(&es256(), &[one.clone(), two]).await.is_err());
        assert!(trusting(&hs256(), &[one]).await.is_err());
    }
}
