//! Logging in with a password, and logging out again.
//!
//! A login is counted before anything is looked up, and costs one verification whether the
//! name is known or not. What it hands out carries the generation that the account had when the
//! password was checked: a cut that comes in between wins.

use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};

use crate::config::{Lifetime, OpaqueScope};
use crate::identity::{Credential, CredentialKind, Identity, Subject};
use crate::model::{Deed, LogEntry, LoginId, Timestamp, TokenDigest, User, UserId};
use crate::store::{NewOpaque, OpaqueLogin, Store};

use super::names::normalised;
use super::passwords::{Checked, SLOWEST_HASH};
use super::throttle::Throttled;
use super::{Accounts, Trouble};

/// An account whose password was shown to be known.
pub(super) struct Proved {
    pub(super) user: User,
    /// When the record was read. What is issued bears this time and not a later one: a cut that
    /// came in between must come after it.
    pub(super) at: Timestamp,
}

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Unknown name, wrong or unusable password, inactive account: never said which.
    #[error("the credentials are not good")]
    Refused,
    /// Too many attempts.
    #[error("too many attempts")]
    Throttled(Throttled),
    /// Our own trouble.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// Why nobody was logged out.
#[derive(Debug, thiserror::Error)]
pub enum LogOutError {
    /// Our own trouble.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Accounts {
    /// Logs in and hands out an opaque token: a new one for each login, or the account's one
    /// (`tokens.opaque.scope`).
    ///
    /// # Errors
    /// See [`LoginError`].
    pub async fn log_in_opaque(
        &self,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<SecretString, LoginError> {
        let Proved { user, .. } = self.prove_password(name, password, address, "opaque").await?;
        let deed = self.deed_from("identity.login", address).by("opaque").done_by(Some(&user));
        let token = match self.settings().tokens.opaque.scope {
            OpaqueScope::Login => {
                let (token, digest) = self.parts.opaque.mint();
                let row = self.new_opaque(user.id, digest, None);
                self.store_opaque(row, &user, &deed).await?;
                token
            }
            OpaqueScope::User => self.token_of_user(&user, &deed).await?,
        };
        self.noted(&deed);
        Ok(token)
    }

    /// Ends what the credential stands for. With `tokens.jwt.strict_revocation` a JWT's login
    /// ends (or the one token, if it names no login); without it djoser's way: the account's
    /// opaque tokens end and the JWT lives on.
    ///
    /// # Errors
    /// The store could not be reached: nothing has ended.
    pub async fn log_out(
        &self,
        identity: &Identity,
        credential: Credential<'_>,
    ) -> Result<(), LogOutError> {
        let deed = self.deed("identity.logout");
        let store = self.noting(&deed);
        let entries = match identity.kind {
            CredentialKind::Opaque => self.end_opaque(&store, identity).await?,
            CredentialKind::Jwt => self.end_jwt(&store, identity).await?,
            // Nothing was handed out; the API takes no such credential in the first place.
            CredentialKind::Basic => Vec::new(),
        };
        self.announce(&entries);
        self.parts.authenticator.forget(credential);
        self.noted_with(&entries, deed);
        Ok(())
    }

    /// The account whose name and password these are. `means` says in the audit log of a
    /// refusal what was wanted.
    pub(super) async fn prove_password(
        &self,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
        means: &'static str,
    ) -> Result<Proved, LoginError> {
        let deed = |user| self.deed_from("identity.login", address).by(means).done_by(user);
        let attempt = match self.parts.throttle.login(name, address).await {
            Ok(attempt) => attempt,
            Err(throttled) => {
                self.audit(deed(None).failed("throttled"));
                return Err(LoginError::Throttled(throttled));
            }
        };
        let at = self.parts.clock.now();
        let user = self.by_login_field(name).await?;
        match (self.check_password(password, user.as_ref()).await?, user) {
            (checked @ (Checked::Right | Checked::Outdated), Some(mut user)) if user.is_active => {
                attempt.succeeded();
                if checked == Checked::Outdated {
                    self.renew_hash(&mut user, password).await;
                }
                Ok(Proved { user, at })
            }
            (checked @ (Checked::Right | Checked::Outdated | Checked::Wrong), user) => {
                attempt.failed();
                // A name that nobody has is not told: it may be a password in the wrong field.
                let reason = match (checked, &user) {
                    (_, None) => "unknown_user",
                    (Checked::Wrong, _) => "wrong_password",
                    (Checked::Right | Checked::Outdated, _) => "inactive",
                };
                self.audit(deed(user.as_ref()).failed(reason));
                Err(LoginError::Refused)
            }
        }
    }

    /// Verifies, at the same cost for an account that does not exist.
    pub(super) async fn check_password(
        &self,
        password: &str,
        user: Option<&User>,
    ) -> Result<Checked, Trouble> {
        self.learn_slowest_hash().await?;
        let stored = user.map(|user| user.password.expose_secret());
        Ok(self.parts.passwords.verify(password, stored).await?)
    }

    /// Keeps up with what a failed login has to cost: an import may have brought slower hashes.
    async fn learn_slowest_hash(&self) -> Result<(), Trouble> {
        let now = self.parts.clock.now();
        if self.parts.passwords.wants_slowest(now) {
            let kept = self.parts.store.meta(SLOWEST_HASH).await?;
            self.parts.passwords.learn_slowest(kept.as_deref(), now);
        }
        Ok(())
    }

    /// Stores a hash of the present policy, in the record at hand as well: what is issued next
    /// may carry a digest of it. The password was right: that the new hash could not be stored
    /// is no reason to refuse it.
    async fn renew_hash(&self, user: &mut User, password: &str) {
        let Ok(new) = self.parts.passwords.hash(password).await else { return };
        let (old, now) = (user.password.expose_secret(), self.parts.clock.now());
        match self.parts.store.rehash(user.id, old, &new, now).await {
            Ok(entries) if entries.is_empty() => {}
            Ok(entries) => {
                self.announce(&entries);
                user.password = new.into();
            }
            Err(error) => {
                tracing::warn!(user.id = %user.id, %error, "an outdated password hash was kept");
            }
        }
    }

    /// By `accounts.login_field`. An address that several accounts share counts only in the
    /// exact spelling of one of them.
    async fn by_login_field(&self, name: &str) -> Result<Option<User>, Trouble> {
        match self.settings().accounts.login_field.as_str() {
            "email" => self.by_email(name).await,
            "either" => self.by_either(name).await,
            _ => self.by_username(name).await,
        }
    }

    async fn by_email(&self, name: &str) -> Result<Option<User>, Trouble> {
        let mut users = self.parts.store.users_by_email(name).await?;
        if users.len() > 1 {
            users.retain(|user| user.email == name);
        }
        Ok(if users.len() == 1 { users.pop() } else { None })
    }

    /// Names are stored in one Unicode form and typed in any. As typed comes first: imported
    /// names may have another form. Throttles count both as one, so there is no second guess.
    async fn by_username(&self, name: &str) -> Result<Option<User>, Trouble> {
        let found = self.parts.store.user_by_username(name).await?;
        if found.is_some() || !self.settings().accounts.normalize_login {
            return Ok(found);
        }
        let stored = normalised(name);
        if stored == name {
            return Ok(None);
        }
        Ok(self.parts.store.user_by_username(&stored).await?)
    }

    /// A username may look like somebody's address: whoever has verified it comes first, so
    /// that nobody can take another's way in by taking his address for a name.
    async fn by_either(&self, name: &str) -> Result<Option<User>, Trouble> {
        let by_name = self.by_username(name).await?;
        if !name.contains('@') {
            return Ok(by_name);
        }
        let by_email = self.by_email(name).await?;
        Ok(match (by_name, by_email) {
            (Some(_), Some(owner)) if owner.email_verified => Some(owner),
            (Some(named), _) => Some(named),
            (None, by_email) => by_email,
        })
    }

    /// The one token of an account is not stored but derived from a stored seed, so that a
    /// second login can show it again. The store keeps the first seed of several.
    async fn token_of_user(&self, user: &User, deed: &Deed) -> Result<SecretString, LoginError> {
        let seed = random_bytes();
        let (token, digest) = self.parts.opaque.derived(user.id, &seed);
        let row = self.new_opaque(user.id, digest, Some(seed));
        let stored = self.store_opaque(row, user, deed).await?;
        match stored.seed {
            Some(kept) if kept != seed => Ok(self.parts.opaque.derived(user.id, &kept).0),
            _ => Ok(token),
        }
    }

    fn new_opaque(&self, user: UserId, digest: TokenDigest, seed: Option<[u8; 16]>) -> NewOpaque {
        let expires = match self.settings().tokens.opaque.lifetime {
            Lifetime::Never => None,
            Lifetime::For(span) => Some(self.parts.clock.now().plus(span)),
        };
        NewOpaque { login: LoginId(random_bytes()), user, digest, seed, expires }
    }

    async fn store_opaque(
        &self,
        new: NewOpaque,
        user: &User,
        deed: &Deed,
    ) -> Result<OpaqueLogin, LoginError> {
        let most = self.settings().tokens.opaque.max_per_user;
        let now = self.parts.clock.now();
        let store = self.noting(deed);
        let stored = store.log_in_opaque(new, user.generation, most, true, now).await;
        let stored = stored.map_err(Trouble::from)?.ok_or(LoginError::Refused)?;
        self.announce(&stored.entries);
        Ok(stored)
    }

    async fn end_opaque(
        &self,
        store: &Store,
        identity: &Identity,
    ) -> Result<Vec<LogEntry>, Trouble> {
        let now = self.parts.clock.now();
        match (self.settings().tokens.opaque.scope, identity.login, &identity.subject) {
            (OpaqueScope::Login, Some(login), _) => Ok(store.end_login(login, now).await?),
            (_, _, Subject::Local(user)) => Ok(store.end_opaque_logins(*user, now).await?),
            // Opaque tokens are ours alone.
            (_, _, Subject::Foreign(_)) => Ok(Vec::new()),
        }
    }

    async fn end_jwt(&self, store: &Store, identity: &Identity) -> Result<Vec<LogEntry>, Trouble> {
        let now = self.parts.clock.now();
        let user = match &identity.subject {
            Subject::Local(user) => Some(*user),
            Subject::Foreign(_) => None,
        };
        if !self.settings().tokens.jwt.strict_revocation {
            return match user {
                Some(user) => Ok(store.end_opaque_logins(user, now).await?),
                None => Ok(Vec::new()),
            };
        }
        match (identity.login, &identity.jti, identity.expires) {
            (Some(login), _, _) => Ok(store.end_login(login, now).await?),
            (None, Some(jti), Some(expires)) => {
                Ok(store.end_token(jti, user, expires, now).await?)
            }
            // A JWT without `jti` or `exp` is never proved; there is nothing to name.
            (None, _, _) => Ok(Vec::new()),
        }
    }
}

/// 16 bytes that nobody can guess.
///
/// # Panics
/// If the system has no randomness: nothing could be kept secret then.
pub(super) fn random_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .expect("the system's random source does not fail once seeded");
    bytes
}
