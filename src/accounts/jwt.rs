//! Logging in with a password for a pair of JWTs, refreshing it, asking about one.
//!
//! What a token must have to be good is the business of `identity`; here is what follows from
//! it: login rows, rotation, the time of the last login.

use std::net::IpAddr;
use std::time::Duration;

use crate::identity::{
    IdentifyError, JwtFault, REUSE_GRACE, RefreshClaims, Rejection, TokenPair, TokenToEnd,
};
use crate::model::{Deed, Login, LoginId, LoginKind, Timestamp, User};
use crate::store::{RefreshOutcome, RefreshUse};

use super::login::{LoginError, Proved, random_bytes};
use super::{Accounts, Trouble};

/// The rest of a second, and what two clocks may reasonably differ by.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What a refresh hands out.
pub struct Refreshed {
    /// The new access token.
    pub access: String,
    /// The refresh token's successor, with `tokens.jwt.rotate_refresh_tokens`.
    pub refresh: Option<String>,
}

/// Why a token is not good.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The token is not good, and why.
    #[error("the token was rejected")]
    Rejected(Rejection),
    /// Our own trouble.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl From<IdentifyError> for RefreshError {
    fn from(error: IdentifyError) -> Self {
        match error {
            IdentifyError::Rejected(rejection) => Self::Rejected(rejection),
            IdentifyError::Unavailable => Self::Trouble(Trouble::Unavailable),
        }
    }
}

impl Accounts {
    /// Logs in and hands out a refresh and an access token.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub async fn log_in_jwt(
        &self,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<TokenPair, LoginError> {
        let proved = self.prove_password(name, password, address, "jwt").await?;
        let Proved { user, at } = self.past_the_last_cut(proved).await?;
        let deed = self.deed_from("identity.login", address).by("jwt").done_by(Some(&user));
        let login = self.store_jwt_login(&user, deed).await?;
        self.parts.authenticator.met(&user, at);
        Ok(self.parts.issuer.pair(&user, login, at))
    }

    /// Hands out a new access token, with rotation also a new refresh token.
    ///
    /// # Errors
    /// The refresh token is not good, or our own trouble.
    pub async fn refresh(&self, token: &str) -> Result<Refreshed, RefreshError> {
        let claims = self.parts.authenticator.refresh_token(token).await?;
        let now = self.parts.clock.now();
        let settings = &self.settings().tokens.jwt;
        if !settings.rotate_refresh_tokens {
            return Ok(Refreshed { access: self.parts.issuer.access(&claims, now), refresh: None });
        }
        let (refresh, successor) = self.parts.issuer.rotated(&claims, now);
        match (claims.login, settings.blacklist_after_rotation) {
            (Some(login), true) => self.exchange(&claims, login, &successor).await?,
            (None, true) => self.retire(&claims).await?,
            (Some(login), false) => {
                let until = self.end_of_login(successor.expires);
                let extended = self.parts.store.extend_login(login, until, now).await;
                extended.map_err(Trouble::from)?;
            }
            (None, false) => {}
        }
        let access = self.parts.issuer.access(&successor, now);
        Ok(Refreshed { access, refresh: Some(refresh) })
    }

    /// Ends a refresh token before its time; with `tokens.jwt.strict_revocation` its login with
    /// everything that hangs on it.
    ///
    /// # Errors
    /// The token is not good, or our own trouble.
    pub async fn blacklist(&self, token: &str) -> Result<(), RefreshError> {
        let TokenToEnd { jti, user, login, expires } =
            self.parts.authenticator.token_to_end(token).await?;
        let (store, now) = (&self.parts.store, self.parts.clock.now());
        if let Some(login) = login.filter(|_| self.settings().tokens.jwt.strict_revocation) {
            self.announce(&store.end_login(login, now).await.map_err(Trouble::from)?);
        }
        let deed = self.deed("token.revoke").by("jwt");
        let deed = match user {
            Some(user) => deed.about(user),
            None => deed,
        };
        let ended = self.noting(&deed).end_token(&jti, user, expires, now).await;
        let entries = ended.map_err(Trouble::from)?;
        if entries.is_empty() {
            return Err(RefreshError::Rejected(Rejection::Jwt(JwtFault::Blacklisted)));
        }
        self.announce(&entries);
        self.noted(&deed);
        Ok(())
    }

    /// Whether a JWT of any type is good.
    ///
    /// # Errors
    /// It is not, or our own trouble.
    pub async fn verify_jwt(&self, token: &str) -> Result<(), RefreshError> {
        Ok(self.parts.authenticator.verify_token(token).await?)
    }

    /// A token without the claim `gen` is judged by the second of its `iat`, and within the
    /// second of a cut the cut wins: whoever sets a new password and logs in with it at once
    /// would get tokens that are dead. So that second is waited out. It can be a long one only
    /// where replicas' clocks differ, and then it is our trouble.
    async fn past_the_last_cut(&self, proved: Proved) -> Result<Proved, LoginError> {
        let Proved { user, at } = proved;
        let second = user.cut_at.map_or(i64::MIN, Timestamp::seconds);
        if second < at.seconds() || self.issues("gen") {
            return Ok(Proved { user, at });
        }
        let over = Timestamp::from_seconds(second.saturating_add(1));
        let wait = over.since(self.parts.clock.now());
        if wait > LONGEST_WAIT {
            return Err(Trouble::Unavailable.into());
        }
        tokio::time::sleep(wait).await;
        let at = self.parts.clock.now();
        if at < over {
            return Err(Trouble::Unavailable.into());
        }
        // A second cut may have come meanwhile, before the time that is written now.
        let again = self.parts.store.user(user.id).await.map_err(Trouble::from)?;
        match again {
            Some(again) if again.is_active && again.generation == user.generation => {
                Ok(Proved { user, at })
            }
            _ => Err(LoginError::Refused),
        }
    }

    /// Whether our tokens have this claim.
    fn issues(&self, claim: &str) -> bool {
        self.settings().tokens.jwt.extra_claims.iter().any(|extra| extra == claim)
    }

    /// Keeps a row of the login where tokens name it, so that it can be listed and ended.
    async fn store_jwt_login(
        &self,
        user: &User,
        deed: Deed,
    ) -> Result<Option<LoginId>, LoginError> {
        let now = self.parts.clock.now();
        let settings = &self.settings().tokens.jwt;
        let store = self.noting(&deed);
        if !self.issues("sid") {
            if settings.update_last_login {
                store.set_last_login(user.id, now).await.map_err(Trouble::from)?;
                self.noted(&deed);
            } else {
                self.audit(deed);
            }
            return Ok(None);
        }
        let id = LoginId(random_bytes());
        let login = Login {
            id,
            user: user.id,
            kind: LoginKind::Jwt,
            generation: user.generation,
            created: now,
            last_used: now,
            // Each rotation moves it on.
            expires: Some(self.end_of_login(now.plus(*settings.refresh_lifetime))),
        };
        let stored = store.log_in_jwt(&login, settings.update_last_login, now).await;
        if !stored.map_err(Trouble::from)? {
            return Err(LoginError::Refused);
        }
        self.noted(&deed);
        Ok(Some(id))
    }

    /// A login lives as long as its last token may be believed.
    fn end_of_login(&self, token: Timestamp) -> Timestamp {
        token.plus(*self.settings().tokens.jwt.leeway)
    }

    /// An exchanged refresh token is good for a moment more. When it comes back later, it or its
    /// successor was stolen: nobody can tell which, so the login ends.
    async fn exchange(
        &self,
        claims: &RefreshClaims,
        login: LoginId,
        successor: &RefreshClaims,
    ) -> Result<(), RefreshError> {
        let used = RefreshUse {
            jti: &claims.jti,
            login,
            successor: &successor.jti,
            expires: claims.expires,
            until: self.end_of_login(successor.expires),
            grace: REUSE_GRACE,
        };
        let now = self.parts.clock.now();
        let deed = self.deed("token.refresh").about(claims.user).failed("reused");
        let outcome = self.noting(&deed).use_refresh(used, now).await.map_err(Trouble::from)?;
        match outcome {
            RefreshOutcome::Exchanged => return Ok(()),
            RefreshOutcome::Reused(entries) => {
                tracing::warn!(
                    user.id = %claims.user, %login,
                    "a refresh token came back after its use: the login has ended"
                );
                self.announce(&entries);
                self.noted(&deed);
            }
            RefreshOutcome::Gone => {}
        }
        Err(RefreshError::Rejected(Rejection::Jwt(JwtFault::Blacklisted)))
    }

    /// A rotated refresh token is good no more. Of several who exchange it at once the store
    /// lets one win.
    async fn retire(&self, claims: &RefreshClaims) -> Result<(), RefreshError> {
        let now = self.parts.clock.now();
        let ended = self.parts.store.end_token(&claims.jti, Some(claims.user), claims.expires, now);
        let entries = ended.await.map_err(Trouble::from)?;
        if entries.is_empty() {
            return Err(RefreshError::Rejected(Rejection::Jwt(JwtFault::Blacklisted)));
        }
        self.announce(&entries);
        Ok(())
    }
}
