//! What `jwt/refresh/` and `jwt/verify/` ask of a token.
//!
//! Both ask the database itself: they are rare, and a refresh token outlives what the log
//! remembers. It must not know what is answered or handed out.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::authenticator::Authenticator;
use super::digest::password_mark;
use super::issuer::RefreshClaims;
use super::judgement::Inactive;
use super::jwt::{self, Claimant, Genuine};
use super::keys::Users;
use super::rejection::{IdentifyError, JwtFault, Rejection};
use super::revocation::Finding;
use super::ties::{Stamp, Ties};
use crate::model::{CutReason, LoginId, Timestamp, User, UserId};

/// For how long after its first use an exchanged refresh token may be used again: a client that
/// asked twice at once, or that lost the answer.
pub(crate) const REUSE_GRACE: Duration = Duration::from_secs(10);

/// A refresh token that may be ended.
#[derive(Debug)]
pub struct TokenToEnd {
    /// Its claim `jti`.
    pub jti: String,
    /// Whose it says it is.
    pub user: Option<UserId>,
    /// The login it belongs to.
    pub login: Option<LoginId>,
    /// When it ends by itself.
    pub expires: Timestamp,
}

impl Authenticator {
    /// Everything that `jwt/refresh/` asks of a token: good, of type `refresh`, not ended, its
    /// login alive, its user active. The blacklist is looked at before the type, as simplejwt does.
    ///
    /// # Errors
    /// Why the token is not good; of an inactive or deleted user [`Rejection::UserInactive`] or
    /// [`Rejection::UserNotFound`]. That it cannot be found out at present.
    pub async fn refresh_token(&self, token: &str) -> Result<RefreshClaims, IdentifyError> {
        let now = self.clock.now();
        let genuine = jwt::check(&self.keys, token, now)?;
        self.check_token_lives(&genuine).await?;
        let genuine = genuine.of_type("refresh")?;
        if matches!(genuine.issuer.users, Users::Foreign(_)) {
            // Whoever is not our user gets no tokens of ours.
            return Err(JwtFault::Invalid.into());
        }
        let user = self.claimed_user(&genuine).await?.ok_or(Rejection::UserNotFound)?;
        self.check_user(&genuine, &user).await?;
        self.met(&user, now);
        Ok(RefreshClaims::of(genuine, user.id, now))
    }

    /// What `jwt/blacklist/` asks of a token: good, of type `refresh`, not ended before. Whose it
    /// is does not matter, as with simplejwt: ending it does no harm.
    ///
    /// # Errors
    /// Why the token is not good, or that this cannot be found out at present.
    pub async fn token_to_end(&self, token: &str) -> Result<TokenToEnd, IdentifyError> {
        let genuine = jwt::check(&self.keys, token, self.clock.now())?;
        self.check_token_lives(&genuine).await?;
        let genuine = genuine.of_type("refresh")?;
        if matches!(genuine.issuer.users, Users::Foreign(_)) {
            return Err(JwtFault::Invalid.into());
        }
        let user = match genuine.claimant() {
            Ok(Claimant::Number(user)) => Some(user),
            Ok(_) | Err(_) => None,
        };
        let jti = genuine.jti().ok_or(JwtFault::NoId)?.to_owned();
        Ok(TokenToEnd { jti, user, login: genuine.login(), expires: genuine.expires })
    }

    /// Everything that `jwt/verify/` asks: signature, times, `exp`, `jti`; with `strict_revocation`
    /// also whether the token, its login or its user ended. With simplejwt's
    /// `blacklist_after_rotation` at least the blacklist counts.
    ///
    /// # Errors
    /// Why the token is not good, or that this cannot be found out at present.
    pub async fn verify_token(&self, token: &str) -> Result<(), IdentifyError> {
        let now = self.clock.now();
        let genuine = jwt::check(&self.keys, token, now)?;
        if self.policy.strict_revocation || self.policy.blacklist {
            self.check_token_lives(&genuine).await?;
        }
        if self.policy.blacklist
            && let Some(jti) = genuine.jti().filter(|_| genuine.login().is_some())
            && let Some(used) = self.outage.note(Box::pin(self.store.refresh_used(jti)).await)?
            && now.since(used) > REUSE_GRACE
        {
            return Err(JwtFault::Blacklisted.into());
        }
        let foreign = matches!(genuine.issuer.users, Users::Foreign(_));
        if !self.policy.strict_revocation || foreign {
            return Ok(());
        }
        match self.claimed_user(&genuine).await {
            Ok(Some(user)) => self.check_user(&genuine, &user).await,
            Ok(None) => Err(Rejection::UserNotFound.into()),
            // Of nobody, and good all the same.
            Err(IdentifyError::Rejected(Rejection::NoUserClaim)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether the token itself ended before its time. Here and in the database: the log reaches
    /// other replicas a moment later.
    async fn check_token_lives(&self, genuine: &Genuine) -> Result<(), IdentifyError> {
        let ties = Ties { login: None, ..genuine.ties(None) };
        if self.revocations.review(&ties, None).is_some() {
            return Err(JwtFault::Blacklisted.into());
        }
        self.ask_whether_ended(&ties).await
    }

    /// The user as the database has him now.
    async fn claimed_user(&self, genuine: &Genuine) -> Result<Option<User>, IdentifyError> {
        Ok(match genuine.claimant()? {
            Claimant::Number(id) => self.outage.note(Box::pin(self.store.user(id)).await)?,
            Claimant::Name(name) => {
                self.outage.note(Box::pin(self.store.user_by_username(&name)).await)?
            }
            Claimant::Foreign(_) | Claimant::Nobody => None,
        })
    }

    /// Whether user and login are still those that the token was issued for.
    async fn check_user(&self, genuine: &Genuine, user: &User) -> Result<(), IdentifyError> {
        if !user.is_active && self.policy.inactive == Inactive::Refused {
            return Err(Rejection::UserInactive.into());
        }
        if self.policy.check_password_mark {
            let mark = password_mark(user.password.expose_secret());
            if genuine.claims.text("hash_password") != Some(&mark) {
                return Err(Rejection::PasswordChanged.into());
            }
        }
        let ties = genuine.ties(Some(user.id));
        let stamp = Stamp { user: user.id, generation: user.generation, version: user.version };
        match self.revocations.review(&ties, Some(stamp)) {
            Some(Finding::Cut(CutReason::PasswordChanged)) => {
                return Err(Rejection::PasswordChanged.into());
            }
            Some(Finding::Ended | Finding::Cut(_)) => return Err(JwtFault::Blacklisted.into()),
            // The database is asked here, and the log is read from the same database.
            Some(Finding::Outdated) | None => {}
        }
        if ties.issued.is_ended_by(user.generation, user.cut_at) {
            return Err(JwtFault::Blacklisted.into());
        }
        let Some(login) = ties.login else { return Ok(()) };
        let login = self.outage.note(Box::pin(self.store.login(login)).await)?;
        // When it ends by itself is the token's to say: rotation moves that on.
        if login.is_some_and(|login| login.user == user.id) {
            Ok(())
        } else {
            Err(JwtFault::Blacklisted.into())
        }
    }
}
