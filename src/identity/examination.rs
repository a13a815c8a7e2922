//! A credential looked at closely, for somebody who wonders why it is refused.
//!
//! Takes the same steps as the [`Authenticator`] and tells what each has seen; whether the
//! credential counts, only that one says. Nothing here writes, caches or costs a request
//! anything. It must not show the credential.

use serde_json::{Map, Value, json};

use crate::model::{CutReason, Timestamp, User};

use super::authenticator::Authenticator;
use super::credential::Credential;
use super::digest::token_digest;
use super::flaw::{Flaw, JwtFlaw};
use super::judgement::judge_row;
use super::jwt::{self, Claimant, Genuine};
use super::opaque::OpaqueForm;
use super::rejection::IdentifyError;
use super::revocation::Finding;
use super::ties::{Issued, Ties};
use super::token::Token;

/// Claims that say whose token it is, for whom and how long; others may be private.
const TOLD: [&str; 11] =
    ["iss", "aud", "sub", "user_id", "token_type", "iat", "nbf", "exp", "jti", "sid", "gen"];

/// What can be told of a token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Examination {
    /// The first eight hex digits of its SHA-256.
    pub fingerprint: String,
    /// What it says of itself, or the database of it. Not believed where there is a flaw.
    pub says: Map<String, Value>,
    /// The key that checks it: a file, a setting, a stored key.
    pub key: Option<String>,
    /// The check that it fails; none if it passes all, or fails where only the gate looks.
    pub flaw: Option<Flaw>,
}

impl Authenticator {
    /// Looks at a token without believing or remembering anything.
    ///
    /// # Errors
    /// The database is away.
    pub async fn examine(&self, credential: Credential<'_>) -> Result<Examination, IdentifyError> {
        match credential {
            Credential::Jwt(token) => self.examine_jwt(token).await,
            Credential::Opaque(token) => self.examine_opaque(token).await,
        }
    }

    async fn examine_jwt(&self, token: &str) -> Result<Examination, IdentifyError> {
        let mut seen = Examination::of(token);
        let Some(parsed) = Token::parse(token) else {
            seen.flaw = Some(JwtFlaw::Malformed.into());
            return Ok(seen);
        };
        seen.say("alg", json!(format!("{:?}", parsed.parts.algorithm)));
        seen.say("kid", json!(parsed.parts.kid));
        for name in TOLD {
            seen.say(name, json!(parsed.claims.get(name)));
        }
        let key = self.keys.ring();
        let key = key.find(
            parsed.parts.algorithm,
            parsed.parts.kid.as_deref(),
            parsed.claims.text("iss"),
        );
        seen.key = key.map(|key| key.origin.clone());
        seen.flaw = match jwt::examine(&self.keys, token, self.clock.now()) {
            Err(flaw) => Some(flaw.into()),
            Ok(genuine) => self.end_of(&genuine).await?,
        };
        Ok(seen)
    }

    /// Whether a genuine JWT ended before its time.
    async fn end_of(&self, genuine: &Genuine) -> Result<Option<Flaw>, IdentifyError> {
        let user = match genuine.claimant() {
            Ok(Claimant::Number(id)) => Some(id),
            Ok(Claimant::Name(_) | Claimant::Foreign(_) | Claimant::Nobody) | Err(_) => None,
        };
        let ties = genuine.ties(user);
        if let Some(flaw) = self.ended(&ties) {
            return Ok(Some(flaw));
        }
        let Some(id) = user else { return Ok(None) };
        let user = self.outage.note(Box::pin(self.store.user(id)).await)?;
        let is_over = |user: &User| {
            ties.issued.is_ended_by(user.generation, user.cut_at)
                || matches!(ties.issued, Issued::Generation(own) if own > user.generation)
        };
        Ok(user.filter(is_over).map(|_| Flaw::Generation))
    }

    async fn examine_opaque(&self, token: &str) -> Result<Examination, IdentifyError> {
        let mut seen = Examination::of(token);
        let (form, digest) = (self.opaque.form(token), token_digest(token));
        let row = match form {
            OpaqueForm::Malformed => {
                let is_jwt = Token::parse(token).is_some();
                seen.flaw = Some(if is_jwt { Flaw::Word } else { Flaw::Form });
                return Ok(seen);
            }
            OpaqueForm::Minted => Box::pin(self.store.opaque(digest)).await,
            OpaqueForm::Imported => Box::pin(self.store.imported_opaque(digest)).await,
        };
        let Some(row) = self.outage.note(row)? else {
            let may_be = form == OpaqueForm::Minted || self.imported_may_exist().await?;
            seen.flaw = Some(if may_be { Flaw::Unknown } else { Flaw::CheckSum });
            return Ok(seen);
        };
        let seconds = |at: Timestamp| json!(at.seconds());
        seen.say("user", json!(row.user.username));
        seen.say("login", json!(row.login.id.to_string()));
        seen.say("created", seconds(row.login.created));
        seen.say("last_used", seconds(row.login.last_used));
        seen.say("exp", row.login.expires.map_or(Value::Null, seconds));
        let ties = Ties {
            user: Some(row.user.id),
            issued: Issued::Generation(row.login.generation),
            login: Some(row.login.id),
            jti: None,
        };
        let now = self.clock.now();
        let judged = judge_row(&row.login, &row.user, now, self.policy.idle_timeout);
        seen.flaw = judged.err().map(Flaw::from).or_else(|| self.ended(&ties));
        Ok(seen)
    }

    /// What the log says against it.
    fn ended(&self, ties: &Ties) -> Option<Flaw> {
        match self.revocations.review(ties, None)? {
            Finding::Ended => Some(Flaw::Ended),
            Finding::Cut(reason) => Some(Flaw::Cut(match reason {
                CutReason::LoggedOut => "logged out everywhere",
                CutReason::PasswordChanged => "the password was changed",
                CutReason::UserInactive => "the account was deactivated",
                CutReason::UserDeleted => "the account was deleted",
            })),
            Finding::Outdated => None,
        }
    }
}

impl Examination {
    fn of(token: &str) -> Self {
        let fingerprint = hex::encode(&token_digest(token).0[..4]);
        Self { fingerprint, says: Map::new(), key: None, flaw: None }
    }

    fn say(&mut self, name: &str, value: Value) {
        if !value.is_null() {
            self.says.insert(name.to_owned(), value);
        }
    }
}
