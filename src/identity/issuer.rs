//! Signs our own JWTs, with simplejwt's claims and those of `extra_claims`.
//!
//! It must not know whether anyone may have a token: who calls it has decided that.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use crate::config::Settings;
use crate::model::{LoginId, Timestamp, User, UserId};

use super::digest::password_mark;
use super::jwt::Genuine;
use super::keys::{Keys, Users};

/// Claims that an access token does not take over from its refresh token: those that are its
/// own, and those that say who signed it for whom. Its type and name go as well.
const OWN_TO_EACH_TOKEN: [&str; 4] = ["exp", "iat", "iss", "aud"];

/// Signs our own JWTs.
pub struct JwtIssuer {
    keys: Arc<Keys>,
    access_lifetime: Duration,
    refresh_lifetime: Duration,
    user_id_claim: String,
    type_claim: String,
    id_claim: String,
    with_login: bool,
    with_generation: bool,
    with_password_mark: bool,
    issuer: String,
    audience: Vec<String>,
}

/// A refresh token that was checked.
#[derive(Clone)]
pub struct RefreshClaims {
    /// Whose it is.
    pub user: UserId,
    /// Its claim `jti`.
    pub jti: String,
    /// The login it belongs to.
    pub login: Option<LoginId>,
    /// When it ends by itself.
    pub expires: Timestamp,
    /// What it says that tokens made from it say too.
    carried: Map<String, Value>,
    /// When it was found good. Tokens made from it are not younger than that, so that a cut
    /// between the check and the signature ends them too.
    checked: Timestamp,
}

// Written by hand: claims may hold a digest of the password's hash.
impl std::fmt::Debug for RefreshClaims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshClaims")
            .field("user", &self.user)
            .field("login", &self.login)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// What `jwt/create/` hands out.
pub struct TokenPair {
    /// The refresh token.
    pub refresh: String,
    /// The access token.
    pub access: String,
    /// What the refresh token says.
    pub claims: RefreshClaims,
}

impl RefreshClaims {
    /// Takes over the claims of a genuine refresh token that was found good at `checked`.
    pub(super) fn of(genuine: Genuine, user: UserId, checked: Timestamp) -> Self {
        let (login, expires) = (genuine.login(), genuine.expires);
        let own = genuine.issuer.users == Users::Own;
        let jti = genuine.jti().unwrap_or_default().to_owned();
        let its_own = [genuine.issuer.type_claim.as_str(), &genuine.issuer.id_claim];
        let mut carried = genuine.claims.into_map();
        carried.retain(|name, _| {
            !OWN_TO_EACH_TOKEN.contains(&name.as_str()) && !its_own.contains(&name.as_str())
        });
        if !own {
            // What others mean by these is not what we would read in a token of ours.
            carried.retain(|name, _| !["sid", "gen"].contains(&name.as_str()));
        }
        Self { user, jti, login, expires, carried, checked }
    }
}

impl JwtIssuer {
    /// With the lifetimes and claims of the settings.
    #[must_use]
    pub fn new(settings: &Settings, keys: Arc<Keys>) -> Self {
        Self::with(&settings.tokens.jwt, keys)
    }

    pub(super) fn with(jwt: &crate::config::JwtTokens, keys: Arc<Keys>) -> Self {
        let extra = |name: &str| jwt.extra_claims.iter().any(|claim| claim == name);
        Self {
            keys,
            access_lifetime: *jwt.access_lifetime,
            refresh_lifetime: *jwt.refresh_lifetime,
            user_id_claim: jwt.user_id_claim.clone(),
            type_claim: jwt.token_type_claim.clone(),
            id_claim: jwt.jti_claim.clone(),
            with_login: extra("sid"),
            with_generation: extra("gen"),
            with_password_mark: jwt.check_revoke_token,
            issuer: jwt.issuer.clone(),
            audience: jwt.audience.clone(),
        }
    }

    /// A fresh pair. `login`: the claim `sid`, where the settings have it. `at`: when the user was
    /// found to be who he is.
    #[must_use]
    pub fn pair(&self, user: &User, login: Option<LoginId>, at: Timestamp) -> TokenPair {
        let mut carried = Map::new();
        let login = login.filter(|_| self.with_login);
        if let Some(login) = login {
            carried.insert("sid".to_owned(), json!(login.to_string()));
        }
        if self.with_generation {
            carried.insert("gen".to_owned(), json!(user.generation));
        }
        if self.with_password_mark {
            let mark = password_mark(user.password.expose_secret());
            carried.insert("hash_password".to_owned(), json!(mark));
        }
        let claims = RefreshClaims {
            user: user.id,
            jti: random_id(),
            login,
            expires: at.plus(self.refresh_lifetime),
            carried,
            checked: at,
        };
        TokenPair {
            refresh: self.sign("refresh", &claims, &claims.jti, at, claims.expires),
            access: self.access(&claims, at),
            claims,
        }
    }

    /// An access token that copies the refresh token's claims.
    #[must_use]
    pub fn access(&self, refresh: &RefreshClaims, at: Timestamp) -> String {
        let at = at.min(refresh.checked);
        self.sign("access", refresh, &random_id(), at, at.plus(self.access_lifetime))
    }

    /// The refresh token's successor: other `jti`, `exp`, `iat`.
    #[must_use]
    pub fn rotated(&self, refresh: &RefreshClaims, at: Timestamp) -> (String, RefreshClaims) {
        let at = at.min(refresh.checked);
        let next = RefreshClaims {
            jti: random_id(),
            expires: at.plus(self.refresh_lifetime),
            checked: at,
            ..refresh.clone()
        };
        (self.sign("refresh", &next, &next.jti, at, next.expires), next)
    }

    /// The public key set (RFC 7517); never a shared secret.
    #[must_use]
    pub fn key_set(&self) -> Arc<str> {
        self.keys.key_set()
    }

    fn sign(
        &self,
        token_type: &str,
        source: &RefreshClaims,
        jti: &str,
        issued: Timestamp,
        expires: Timestamp,
    ) -> String {
        let mut claims = source.carried.clone();
        let mut set = |name: &str, value| claims.insert(name.to_owned(), value);
        set(&self.user_id_claim, json!(source.user.to_string()));
        set(&self.type_claim, json!(token_type));
        set("exp", json!(expires.seconds()));
        set("iat", json!(issued.seconds()));
        set(&self.id_claim, json!(jti));
        if !self.issuer.is_empty() {
            set("iss", json!(self.issuer));
        }
        // One audience is a text, as simplejwt writes it.
        match self.audience.as_slice() {
            [] => None,
            [one] => set("aud", json!(one)),
            many => set("aud", json!(many)),
        };
        self.keys.sign(&URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string()))
    }
}

/// 32 hex digits, as simplejwt's `jti`.
pub(super) fn random_id() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the random generator does not fail once it is seeded");
    hex::encode(bytes)
}

#[cfg(test)]
mod tests {
    use crate::config::{JwtTokens, TrustedUsers};
    use crate::identity::fixtures::{NOW, es256, hs256, own_keys, trusted, trusting, user};
    use crate::identity::jwt::check;

    use super::*;

    fn issuer(jwt: &JwtTokens) -> JwtIssuer {
        JwtIssuer::with(jwt, Arc::new(own_keys(jwt)))
    }

    /// Header and claims of a token, its `jti` checked and taken out.
    fn opened(token: &str) -> (Value, Value) {
        let part = |index| {
            let part = token.split('.').nth(index).unwrap();
            serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let (header, mut claims) = (part(0), part(1));
        let jti = claims.as_object_mut().unwrap().remove("jti").unwrap();
        assert!(jti.as_str().is_some_and(|jti| jti.len() == 32));
        (header, claims)
    }

    fn checked(jwt: &JwtTokens, issuer: &JwtIssuer, token: &str, at: Timestamp) -> RefreshClaims {
        let genuine = check(&issuer.keys, token, at).unwrap();
        assert_eq!(genuine.issuer.user_claim, jwt.user_id_claim);
        RefreshClaims::of(genuine, UserId(7), at)
    }

    #[test]
    fn with_simplejwts_settings_a_pair_is_simplejwts() {
        let pair = issuer(&hs256()).pair(&user(7, "ada"), Some(LoginId([1; 16])), NOW);
        let header = json!({"alg": "HS256", "typ": "JWT"});
        assert_eq!(
            opened(&pair.refresh),
            (
                header.clone(),
                json!({"token_type": "refresh", "exp": 87400, "iat": 1000, "user_id": "7"})
            )
        );
        assert_eq!(
            opened(&pair.access),
            (header, json!({"token_type": "access", "exp": 1300, "iat": 1000, "user_id": "7"}))
        );
    }

    #[test]
    fn our_own_tokens_name_key_login_and_generation() {
        let issuer = issuer(&es256());
        let pair = issuer.pair(&user(7, "ada"), Some(LoginId([1; 16])), NOW);
        let (header, claims) = opened(&pair.access);
        let set: Value = serde_json::from_str(&issuer.key_set()).unwrap();
        assert_eq!(header, json!({"alg": "ES256", "typ": "JWT", "kid": set["keys"][0]["kid"]}));
        assert_eq!(
            claims,
            json!({"token_type": "access", "exp": 1300, "iat": 1000, "user_id": "7",
                   "sid": "01".repeat(16), "gen": 1})
        );
    }

    #[test]
    fn issuer_audience_and_password_mark_are_claimed_where_configured() {
        let mut jwt = JwtTokens {
            issuer: "me".to_owned(),
            audience: vec!["you".to_owned()],
            check_revoke_token: true,
            ..hs256()
        };
        let pair = issuer(&jwt).pair(&user(7, "ada"), None, NOW);
        let mark = password_mark("pbkdf2_sha256$1$salt$hash");
        assert_eq!(
            opened(&pair.access).1,
            json!({"token_type": "access", "exp": 1300, "iat": 1000, "user_id": "7",
                   "iss": "me", "aud": "you", "hash_password": mark})
        );
        jwt.audience.push("them".to_owned());
        let pair = issuer(&jwt).pair(&user(7, "ada"), None, NOW);
        assert_eq!(opened(&pair.access).1["aud"], json!(["you", "them"]));
    }

    #[test]
    fn an_access_token_copies_the_refresh_tokens_claims() {
        let (jwt, later) = (es256(), Timestamp::from_seconds(2000));
        let issuer = issuer(&jwt);
        let pair = issuer.pair(&user(7, "ada"), Some(LoginId([1; 16])), NOW);
        let refresh = checked(&jwt, &issuer, &pair.refresh, later);
        assert_eq!((refresh.login, refresh.jti.len()), (Some(LoginId([1; 16])), 32));
        let (_, claims) = opened(&issuer.access(&refresh, later));
        assert_eq!(
            claims,
            json!({"token_type": "access", "exp": 2300, "iat": 2000, "user_id": "7",
                   "sid": "01".repeat(16), "gen": 1})
        );
    }

    #[tokio::test]
    async fn a_trusted_refresh_token_gives_a_token_of_our_own() {
        let jwt = JwtTokens { issuer: "me".to_owned(), ..es256() };
        let mut partner = trusted("partner", "https://partner", TrustedUsers::Local);
        partner.user_claim = "name".to_owned();
        let keys = trusting(&jwt, std::slice::from_ref(&partner)).await.unwrap();
        let issuer = JwtIssuer::with(&jwt, Arc::new(keys));
        let theirs = {
            let claims = json!({"token_type": "refresh", "exp": 9000, "iat": 900, "jti": "x",
                "iss": "https://partner", "name": "ada", "sid": "01".repeat(16), "gen": 9,
                "role": "editor"});
            let secret = format!("partner{}", "-".repeat(32));
            let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
            jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
        };
        let genuine = check(&issuer.keys, &theirs, NOW).unwrap();
        let refresh = RefreshClaims::of(genuine, UserId(7), NOW);
        assert_eq!(refresh.login, None);
        assert_eq!(
            opened(&issuer.access(&refresh, NOW)).1,
            json!({"token_type": "access", "exp": 1300, "iat": 1000, "iss": "me",
                   "user_id": "7", "name": "ada", "role": "editor"})
        );
    }

    #[test]
    fn a_token_is_not_younger_than_the_check_of_its_refresh_token() {
        let jwt = hs256();
        let issuer = issuer(&jwt);
        let pair = issuer.pair(&user(7, "ada"), None, NOW);
        let refresh = checked(&jwt, &issuer, &pair.refresh, Timestamp::from_seconds(2000));
        let (_, claims) = opened(&issuer.access(&refresh, Timestamp::from_seconds(2005)));
        assert_eq!((&claims["iat"], &claims["exp"]), (&json!(2000), &json!(2300)));
    }

    #[test]
    fn a_successor_keeps_everything_but_id_and_times() {
        let jwt = es256();
        let issuer = issuer(&jwt);
        let pair = issuer.pair(&user(7, "ada"), Some(LoginId([1; 16])), NOW);
        let refresh = checked(&jwt, &issuer, &pair.refresh, Timestamp::from_seconds(2000));
        let (token, next) = issuer.rotated(&refresh, Timestamp::from_seconds(2000));
        assert_ne!(next.jti, refresh.jti);
        assert_eq!(next.expires, Timestamp::from_seconds(88400));
        let (_, claims) = opened(&token);
        assert_eq!(
            claims,
            json!({"token_type": "refresh", "exp": 88400, "iat": 2000, "user_id": "7",
                   "sid": "01".repeat(16), "gen": 1})
        );
    }

    #[test]
    fn every_algorithm_signs_what_it_verifies() {
        for algorithm in [
            "HS384", "HS512", "ES256", "ES384", "EdDSA", "RS256", "RS384", "RS512", "PS256",
            "PS384", "PS512",
        ] {
            let base = if algorithm.starts_with("HS") { hs256() } else { es256() };
            let jwt = JwtTokens { algorithm: algorithm.to_owned(), ..base };
            let issuer = issuer(&jwt);
            let pair = issuer.pair(&user(7, "ada"), None, NOW);
            assert!(check(&issuer.keys, &pair.access, NOW).is_ok(), "{algorithm}");
        }
    }

    #[test]
    fn nothing_of_a_token_is_shown() {
        let pair = issuer(&hs256()).pair(&user(7, "ada"), None, NOW);
        assert!(!format!("{:?}", pair.claims).contains(&pair.claims.jti));
    }
}
