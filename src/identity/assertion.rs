//! A signed word about who asks, for back ends that want proof: `identity_headers.assertion`.
//!
//! Lives for a minute at most, is for one upstream, and is no token: its type is another than
//! an access token's, so that nobody gets in with it. Signed once for a credential, an upstream and
//! half a minute, not for each request. It must not know routes.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use parking_lot::Mutex;
use percent_encoding::percent_decode;
use serde_json::{Map, json};

use super::issuer::random_id;
use super::keys::Keys;
use super::proved::Identity;
use crate::clock::Clock;
use crate::config::JwtTokens;
use crate::model::Timestamp;

/// How long one is good.
const LIFETIME: Duration = Duration::from_mins(1);

/// How long one is sent, so that it is good for as long again when it arrives.
const SENT_FOR: Duration = Duration::from_secs(30);

/// Upstreams of one credential of which the last assertion is kept; more are signed anew.
const MOST_KEPT: usize = 4;

/// Where nothing is configured as the issuer.
const ISSUER: &str = "portcullis";

/// Signs assertions.
pub struct Assertions {
    keys: Arc<Keys>,
    clock: Clock,
    issuer: String,
    type_claim: String,
}

/// The assertions that were made of one identity.
#[derive(Debug, Default)]
pub struct Asserted(Mutex<Vec<Made>>);

#[derive(Debug)]
struct Made {
    audience: Box<str>,
    at: Timestamp,
    value: HeaderValue,
}

impl Assertions {
    pub(super) fn new(keys: Arc<Keys>, clock: Clock, jwt: &JwtTokens) -> Self {
        let issuer = if jwt.issuer.is_empty() { ISSUER.to_owned() } else { jwt.issuer.clone() };
        Self { keys, clock, issuer, type_claim: jwt.token_type_claim.clone() }
    }

    /// The assertion of this identity for an upstream (RFC 7519: `aud`).
    #[must_use]
    pub fn of(&self, identity: &Identity, audience: &str) -> HeaderValue {
        let now = self.clock.now();
        let is_usable = |made: &Made| {
            *made.audience == *audience && made.at <= now && now.since(made.at) < SENT_FOR
        };
        if let Some(made) = identity.asserted.0.lock().iter().find(|made| is_usable(made)) {
            return made.value.clone();
        }
        // Not under the lock: others wait less than a signature takes, or make one more.
        let value = self.sign(identity, audience, now);
        let mut all = identity.asserted.0.lock();
        all.retain(|made| *made.audience != *audience);
        if all.len() >= MOST_KEPT {
            all.remove(0);
        }
        all.push(Made { audience: audience.into(), at: now, value: value.clone() });
        value
    }

    fn sign(&self, identity: &Identity, audience: &str, now: Timestamp) -> HeaderValue {
        let end = now.plus(LIFETIME);
        let expires = identity.expires.map_or(end, |expires| expires.min(end));
        let mut claims = Map::new();
        let mut set = |name: &str, value| drop(claims.insert(name.to_owned(), value));
        let text =
            |value: &HeaderValue| percent_decode(value.as_bytes()).decode_utf8_lossy().into_owned();
        set("iss", json!(self.issuer));
        set("aud", json!(audience));
        set("sub", json!(text(&identity.values.user_id)));
        set("iat", json!(now.seconds()));
        set("exp", json!(expires.seconds()));
        set("jti", json!(random_id()));
        set(&self.type_claim, json!("assertion"));
        set("preferred_username", json!(identity.username));
        if let Some(email) = &identity.values.email {
            set("email", json!(text(email)));
        }
        if !identity.groups.is_empty() {
            set("groups", json!(identity.groups));
        }
        if let Some(login) = identity.login {
            set("sid", json!(login.to_string()));
        }
        let payload = serde_json::Value::Object(claims).to_string();
        let signed = self.keys.sign_assertion(&URL_SAFE_NO_PAD.encode(payload));
        HeaderValue::try_from(signed).expect("base64 and dots are visible ASCII")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::identity::fixtures::{NOW, es256, own_keys, user};
    use crate::identity::proved::{CredentialKind, Subject};
    use crate::identity::values::HeaderValues;
    use crate::model::UserId;

    fn identity(expires: Option<Timestamp>) -> Identity {
        let mut ada = user(7, "ada 100%");
        ada.email = "ada+x@example.org".to_owned();
        Identity {
            subject: Subject::Local(UserId(7)),
            username: ada.username.clone(),
            is_staff: false,
            is_superuser: false,
            groups: vec!["a,b".to_owned()],
            kind: CredentialKind::Opaque,
            login: None,
            jti: None,
            expires,
            values: HeaderValues::of_user(&ada, true),
            asserted: Asserted::default(),
        }
    }

    fn assertions(clock: &Clock) -> Assertions {
        let jwt = es256();
        Assertions::new(Arc::new(own_keys(&jwt)), clock.clone(), &jwt)
    }

    fn part(token: &HeaderValue, index: usize) -> Value {
        let part = token.to_str().unwrap().split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn an_assertion_says_who_asks_for_one_upstream_and_one_minute() {
        let value = assertions(&Clock::manual(NOW)).of(&identity(None), "shop");
        let header = part(&value, 0);
        assert_eq!((&header["alg"], &header["typ"]), (&json!("ES256"), &json!("assertion+jwt")));
        let mut claims = part(&value, 1);
        let jti = claims.as_object_mut().unwrap().remove("jti").unwrap();
        assert_eq!(jti.as_str().map(str::len), Some(32));
        assert_eq!(
            claims,
            json!({
                "iss": "portcullis", "aud": "shop", "sub": "7", "token_type": "assertion",
                "iat": NOW.seconds(), "exp": NOW.seconds() + 60,
                "preferred_username": "ada 100%", "email": "ada+x@example.org", "groups": ["a,b"],
            })
        );
    }

    #[test]
    fn it_ends_with_the_credential() {
        let soon = NOW.plus(Duration::from_secs(7));
        let value = assertions(&Clock::manual(NOW)).of(&identity(Some(soon)), "shop");
        assert_eq!(part(&value, 1)["exp"], json!(soon.seconds()));
    }

    #[test]
    fn it_is_signed_once_for_an_upstream_and_half_a_minute() {
        let (clock, ada) = (Clock::manual(NOW), identity(None));
        let assertions = assertions(&clock);
        let first = assertions.of(&ada, "shop");
        assert_eq!(assertions.of(&ada, "shop"), first);
        assert_ne!(assertions.of(&ada, "other"), first);
        clock.set(NOW.plus(Duration::from_secs(29)));
        assert_eq!(assertions.of(&ada, "shop"), first);
        clock.set(NOW.plus(Duration::from_secs(30)));
        let second = assertions.of(&ada, "shop");
        assert_ne!(second, first);
        // A clock that was put back: none is sent from the future.
        clock.set(NOW);
        assert_eq!(part(&assertions.of(&ada, "shop"), 1)["iat"], json!(NOW.seconds()));
        for number in 0..100 {
            let _ = assertions.of(&ada, &number.to_string());
        }
        assert_eq!(ada.asserted.0.lock().len(), MOST_KEPT);
    }
}
