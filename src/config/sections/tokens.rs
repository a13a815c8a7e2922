//! `[tokens]`: what a login hands out, and whose tokens are believed.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::forms;
use crate::config::values::{Lifetime, Period, SecretText};

/// What a login hands out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Tokens {
    /// Tokens of `/token/login/`.
    pub opaque: OpaqueTokens,
    /// Tokens of `/jwt/create/`.
    pub jwt: JwtTokens,
}

/// Tokens that say nothing and are looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OpaqueTokens {
    /// (*) One token for each login, or djoser's one token for each user. Default `login`.
    pub scope: OpaqueScope,
    /// How long a token lives at most. Default `never`: without end.
    pub lifetime: Lifetime,
    /// (*) How long a token lives unused. Default 30d; djoser: `never`, without end.
    pub idle_timeout: Lifetime,
    /// How many tokens one user may have; the oldest makes room. Default 100.
    pub max_per_user: u32,
}

impl Default for OpaqueTokens {
    fn default() -> Self {
        Self {
            scope: OpaqueScope::Login,
            lifetime: Lifetime::Never,
            idle_timeout: Lifetime::For(*Period::days(30)),
            max_per_user: 100,
        }
    }
}

/// What an opaque token stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OpaqueScope {
    /// One login.
    #[default]
    Login,
    /// The user: every login gets the same token, one logout ends it for all.
    User,
}

/// Signed tokens: simplejwt's settings, same names in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "simplejwt's settings are switches")]
pub struct JwtTokens {
    /// (*) `HS256`, `HS384`, `HS512`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`,
    /// `ES256`, `ES384` or `EdDSA`. Default `ES256`; simplejwt: `HS256`.
    pub algorithm: String,
    /// simplejwt's `ACCESS_TOKEN_LIFETIME`. Default 5m.
    pub access_lifetime: Period,
    /// simplejwt's `REFRESH_TOKEN_LIFETIME`. Default 1d.
    pub refresh_lifetime: Period,
    /// Whether a refresh hands out a new refresh token. Default false.
    pub rotate_refresh_tokens: bool,
    /// Whether the old refresh token ends then. If it comes back more than 10 s after its use,
    /// its login ends (needs `sid` in `extra_claims`). Default false.
    pub blacklist_after_rotation: bool,
    /// Whether a login with JWTs sets `last_login`. Default false.
    pub update_last_login: bool,
    /// Whether tokens carry a fingerprint of the password and end with it. Default false.
    pub check_revoke_token: bool,
    /// Whether tokens of inactive users are refused. Default true.
    pub check_user_is_active: bool,
    /// (*) Claims beyond simplejwt's: `sid` (the login) and `gen` (the user's generation).
    /// Default both; simplejwt: none.
    pub extra_claims: Vec<String>,
    /// The claim `iss`, set and required; empty: none.
    pub issuer: String,
    /// The claim `aud`, set and required; empty: none.
    pub audience: Vec<String>,
    /// (*) Whether logout with a JWT ends that login, and `jwt/verify` knows revocations.
    /// Default true; djoser: false.
    pub strict_revocation: bool,
    /// The secret of `HS256`, `HS384` and `HS512`, at least 32 bytes.
    pub signing_key: SecretText,
    /// PEM files with private keys (PKCS#8), the one that signs first; empty: generated once
    /// and kept in the database, sealed.
    pub keys: Vec<PathBuf>,
    /// By how much a clock may be off when times are checked. Default 0s.
    pub leeway: Period,
    /// Words before a JWT in `Authorization`. Default `Bearer`.
    pub auth_header_types: Vec<String>,
    /// What of a user the user claim holds. Default `id`.
    pub user_id_field: String,
    /// The claim that names the user. Default `user_id`.
    pub user_id_claim: String,
    /// The claim that tells access from refresh tokens. Default `token_type`.
    pub token_type_claim: String,
    /// The claim that names the token. Default `jti`.
    pub jti_claim: String,
    /// simplejwt's `VERIFYING_KEY`. Not needed: it follows from `keys`.
    pub verifying_key: String,
    /// simplejwt's `JWK_URL`: keys of another issuer. `[[tokens.jwt.trusted]]` does it.
    pub jwk_url: String,
    /// Whose tokens are believed besides our own.
    pub trusted: Vec<TrustedIssuer>,
}

impl Default for JwtTokens {
    fn default() -> Self {
        Self {
            algorithm: "ES256".to_owned(),
            access_lifetime: Period::minutes(5),
            refresh_lifetime: Period::days(1),
            rotate_refresh_tokens: false,
            blacklist_after_rotation: false,
            update_last_login: false,
            check_revoke_token: false,
            check_user_is_active: true,
            extra_claims: vec!["sid".to_owned(), "gen".to_owned()],
            issuer: String::new(),
            audience: Vec::new(),
            strict_revocation: true,
            signing_key: SecretText::default(),
            keys: Vec::new(),
            leeway: Period::seconds(0),
            auth_header_types: vec!["Bearer".to_owned()],
            user_id_field: "id".to_owned(),
            user_id_claim: "user_id".to_owned(),
            token_type_claim: "token_type".to_owned(),
            jti_claim: "jti".to_owned(),
            verifying_key: String::new(),
            jwk_url: String::new(),
            trusted: Vec::new(),
        }
    }
}

/// Someone else whose tokens are believed. Exactly one of `secret`, `public_key_file`,
/// `jwks_file` and `jwks_url` says how they are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["name", "algorithm"]))]
pub struct TrustedIssuer {
    /// What to call it; part of foreign users' ids, so without `:`.
    pub name: String,
    /// The one algorithm its tokens may have.
    pub algorithm: String,
    /// Shared secret of `HS256`, `HS384` and `HS512`.
    pub secret: SecretText,
    /// PEM file with its public key.
    #[serde(with = "forms::path_or_none")]
    #[schemars(with = "String")]
    pub public_key_file: Option<PathBuf>,
    /// JSON file with its key set.
    #[serde(with = "forms::path_or_none")]
    #[schemars(with = "String")]
    pub jwks_file: Option<PathBuf>,
    /// Where its key set is served; then `issuer` and `audience` are required.
    pub jwks_url: String,
    /// What `iss` must be; empty: not checked.
    pub issuer: String,
    /// What `aud` must contain one of; empty: not checked.
    pub audience: Vec<String>,
    /// The claim that names the user. Default `user_id`.
    pub user_claim: String,
    /// Whose users its tokens are about. Default `local`.
    pub users: TrustedUsers,
}

impl Default for TrustedIssuer {
    fn default() -> Self {
        Self {
            name: String::new(),
            algorithm: String::new(),
            secret: SecretText::default(),
            public_key_file: None,
            jwks_file: None,
            jwks_url: String::new(),
            issuer: String::new(),
            audience: Vec::new(),
            user_claim: "user_id".to_owned(),
            users: TrustedUsers::Local,
        }
    }
}

/// Whose users a trusted issuer's tokens are about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrustedUsers {
    /// One of our users, by id or name.
    #[default]
    Local,
    /// The identity is in the claims; ids are written as `name:sub`.
    Claims,
}
