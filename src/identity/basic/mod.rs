//! Proves `Authorization: Basic`: a name with a password or a token, checked once and then known.
//!
//! What it costs to check a password is paid at first sight only. A known credential costs one
//! HMAC and one look-up in memory, like any token; after `cache.token_ttl` the record is read
//! and the stored hash compared with the one that the password fitted, without hashing again.
//! Refused credentials are not remembered: the throttle must count them. It must not know how
//! passwords are checked; that is behind [`PasswordProver`].

mod claim;
mod port;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use aws_lc_rs::rand;
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;

use crate::config::{Scheme, Settings};
use crate::fold::fold;
use crate::model::{Timestamp, TokenDigest, User};

use super::assertion::Asserted;
use super::authenticator::Authenticator;
use super::credential::Credential;
use super::digest::token_digest;
use super::entry::{Entry, Standing};
use super::examination::Examination;
use super::flight::Flights;
use super::opaque::OpaqueForm;
use super::outage::Away;
use super::proved::{CredentialKind, Identity, Subject};
use super::reach::Reach;
use super::records::{ATTEMPTS, Record};
use super::rejection::{BasicFault, IdentifyError, Rejection};
use super::tier::CachedUser;
use super::ties::{Issued, Ties};
use super::weight::{Texts, Weighed, weighed};

use self::claim::Spoken;
pub use self::claim::{BasicCredential, claimed_basic};
pub use self::port::{PasswordError, PasswordProver};

/// The name that goes with a token where a client insists on one (Bitbucket's, which many git
/// clients and CI systems know). The token says whose it is.
const TOKEN_NAME: &str = "x-token-auth";

/// Why nobody was identified by name and password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BasicError {
    /// The credential is not good: 401.
    #[error("the credential was rejected")]
    Rejected(Rejection),
    /// Too many attempts; when to try again: 429.
    #[error("too many attempts, the next in {0:?}")]
    Throttled(Duration),
    /// It could not be found out: our own trouble, 503.
    #[error("credentials cannot be checked at present")]
    Unavailable,
}

/// Proves names with passwords or tokens.
pub struct BasicAuthenticator {
    authenticator: Arc<Authenticator>,
    prover: Arc<dyn PasswordProver>,
    /// Random for each process. A plain digest of a weak password in a memory dump could be
    /// guessed millions of times a second.
    key: Key,
    by_email: bool,
    any_spelling: bool,
    token_ttl: Duration,
    known: Weighed<TokenDigest, Arc<Known>>,
    proofs: Flights<(TokenDigest, Option<IpAddr>), Result<Arc<Known>, BasicError>>,
}

/// A credential that was proved.
struct Known {
    entry: Entry,
    by: By,
}

impl Texts for Known {
    fn bytes(&self) -> usize {
        self.entry.bytes()
    }
}

/// What it was proved by.
enum By {
    /// By a password; the mark of the login name and of the stored hash that it fitted.
    Password([u8; 32]),
    /// By a token, which can be proved anew at any time.
    Token,
}

/// What becomes of a password that looks like a token and is none that anybody has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Otherwise {
    Refused,
    /// 40 hex digits without our check sum can well be somebody's password.
    Password,
}

impl From<BasicFault> for BasicError {
    fn from(fault: BasicFault) -> Self {
        Self::Rejected(Rejection::Basic(fault))
    }
}

impl From<Away> for BasicError {
    fn from(_: Away) -> Self {
        Self::Unavailable
    }
}

impl BasicAuthenticator {
    /// Tokens are the authenticator's, passwords the prover's business.
    ///
    /// # Panics
    /// If the system has no randomness: nothing could be kept secret then.
    #[must_use]
    pub fn new(
        settings: &Settings,
        authenticator: Arc<Authenticator>,
        prover: Arc<dyn PasswordProver>,
    ) -> Self {
        let mut key = [0; 32];
        rand::fill(&mut key).expect("the random generator does not fail once it is seeded");
        let wanted = Self::is_wanted(settings);
        Self {
            authenticator,
            prover,
            key: Key::new(HMAC_SHA256, &key),
            by_email: settings.accounts.login_field != "username",
            any_spelling: settings.accounts.normalize_login,
            token_ttl: *settings.cache.token_ttl,
            known: weighed(if wanted { settings.cache.tokens } else { 1 }),
            proofs: Flights::new(),
        }
    }

    /// Whether any route takes what this proves; where none does, nothing is kept room for.
    #[must_use]
    pub fn is_wanted(settings: &Settings) -> bool {
        settings.routes.iter().any(|route| route.credentials.contains(&Scheme::Basic))
    }

    /// Proves a name and what came with it. No I/O and no hashing for what was seen before.
    /// Notes in `reach` how far it had to go.
    ///
    /// # Errors
    /// Why it is not good, or that this cannot be found out at present.
    pub async fn identify(
        &self,
        credential: BasicCredential<'_>,
        address: Option<IpAddr>,
        reach: &mut Reach,
    ) -> Result<Arc<Identity>, BasicError> {
        let (now, revocations) = (self.authenticator.clock.now(), &self.authenticator.revocations);
        if !revocations.is_fresh(now) {
            // Anything may have ended that we have not heard of.
            return Err(BasicError::Unavailable);
        }
        if credential.is_too_long() {
            return Err(BasicFault::Refused.into());
        }
        let digest = TokenDigest(self.mark(b"credential", &[credential.text()]));
        let Some(known) = self.known.get(&digest) else {
            reach.extend(Reach::Database);
            return Box::pin(self.find_out(credential, digest, None, address)).await;
        };
        let standing = known.entry.standing(revocations, now);
        if standing != Standing::Good {
            reach.extend(Reach::Database);
        }
        match standing {
            Standing::Good => Ok(Arc::clone(&known.entry.identity)),
            Standing::Due => Box::pin(self.confirm(credential, digest, known, address)).await,
            Standing::Outdated => {
                Box::pin(self.find_out(credential, digest, Some(known), address)).await
            }
            Standing::Over(_) => {
                self.known.remove(&digest);
                Box::pin(self.find_out(credential, digest, None, address)).await
            }
        }
    }

    /// What can be told of the token in the password's place, if one stands there.
    ///
    /// # Errors
    /// It is malformed, or the database is away.
    pub async fn examine(
        &self,
        credential: BasicCredential<'_>,
    ) -> Result<Option<Examination>, BasicError> {
        let spoken = Spoken::parse(credential)?;
        let Some((token, _)) = self.token_in(&spoken) else { return Ok(None) };
        let examined = self.authenticator.examine(token).await;
        examined.map(Some).map_err(|_| BasicError::Unavailable)
    }

    /// Confirms an entry; with the database away it stays good, for nothing that ended is
    /// unknown to us as long as the log is read.
    async fn confirm(
        &self,
        credential: BasicCredential<'_>,
        digest: TokenDigest,
        known: Arc<Known>,
        address: Option<IpAddr>,
    ) -> Result<Arc<Identity>, BasicError> {
        let spoken = Spoken::parse(credential)?;
        match self.confirmed(&known, &spoken).await {
            Ok(Some(again)) => {
                let identity = Arc::clone(&again.entry.identity);
                self.known.insert(digest, again);
                Ok(identity)
            }
            Ok(None) => {
                self.known.remove(&digest);
                self.find_out(credential, digest, None, address).await
            }
            Err(Away) => {
                let (now, revocations) =
                    (self.authenticator.clock.now(), &self.authenticator.revocations);
                match known.entry.standing(revocations, now) {
                    Standing::Good | Standing::Due if revocations.is_fresh(now) => {
                        Ok(Arc::clone(&known.entry.identity))
                    }
                    Standing::Over(_) | Standing::Good | Standing::Due | Standing::Outdated => {
                        Err(BasicError::Unavailable)
                    }
                }
            }
        }
    }

    /// Proves a credential, once for all who wait with it at one address, and remembers it.
    /// `prior`: what was known of it and may still hold.
    async fn find_out(
        &self,
        credential: BasicCredential<'_>,
        digest: TokenDigest,
        mut prior: Option<Arc<Known>>,
        address: Option<IpAddr>,
    ) -> Result<Arc<Identity>, BasicError> {
        let spoken = Spoken::parse(credential)?;
        for _ in 0..ATTEMPTS {
            let proof = self.prove(&spoken, prior.take(), address);
            let known = match self.proofs.join((digest, address), proof).await {
                Ok(known) => known,
                Err(error) => {
                    if error != BasicError::Unavailable {
                        self.known.remove(&digest);
                    }
                    return Err(error);
                }
            };
            // A proof that we joined may have begun before an end that we know of.
            let now = self.authenticator.clock.now();
            match known.entry.standing(&self.authenticator.revocations, now) {
                Standing::Good | Standing::Due => {
                    self.known.insert(digest, Arc::clone(&known));
                    return Ok(Arc::clone(&known.entry.identity));
                }
                Standing::Outdated => prior = Some(known),
                Standing::Over(_) => {}
            }
        }
        Err(BasicError::Unavailable)
    }

    async fn prove(
        &self,
        spoken: &Spoken,
        prior: Option<Arc<Known>>,
        address: Option<IpAddr>,
    ) -> Result<Arc<Known>, BasicError> {
        if let Some(prior) = prior
            && let Some(again) = self.confirmed(&prior, spoken).await?
        {
            return Ok(again);
        }
        if let Some((token, otherwise)) = self.token_in(spoken) {
            match self.prove_token(token, spoken.name()).await {
                Err(BasicError::Rejected(_)) if otherwise == Otherwise::Password => {}
                proved => return proved,
            }
        }
        self.prove_password(spoken, address).await
    }

    /// Proves anew what was proved before, without hashing. `None`: something has changed.
    async fn confirmed(&self, known: &Known, spoken: &Spoken) -> Result<Option<Arc<Known>>, Away> {
        match (&known.by, &known.entry.identity.subject) {
            (By::Password(mark), Subject::Local(id)) => {
                let of = &self.authenticator;
                let (epoch, asked) = (of.revocations.epoch(), of.clock.now());
                let user = of.outage.note(Box::pin(of.store.user(*id)).await)?;
                let same = |user: &User| bool::from(self.mark_of(user).ct_eq(mark));
                let user = user.filter(|user| user.is_active && same(user));
                Ok(user.map(|user| self.known_by_password(&user, asked, epoch)))
            }
            (By::Password(_), Subject::Foreign(_)) => Ok(None),
            (By::Token, _) => match self.token_in(spoken) {
                None => Ok(None),
                Some((token, _)) => match self.prove_token(token, spoken.name()).await {
                    Ok(known) => Ok(Some(known)),
                    Err(BasicError::Unavailable) => Err(Away),
                    Err(BasicError::Rejected(_) | BasicError::Throttled(_)) => Ok(None),
                },
            },
        }
    }

    async fn prove_password(
        &self,
        spoken: &Spoken,
        address: Option<IpAddr>,
    ) -> Result<Arc<Known>, BasicError> {
        let of = &self.authenticator;
        let (epoch, asked) = (of.revocations.epoch(), of.clock.now());
        let user = match self.prover.prove(spoken.name(), spoken.password(), address).await {
            Ok(user) => user,
            Err(PasswordError::Refused) => return Err(BasicFault::Refused.into()),
            Err(PasswordError::Throttled(wait)) => return Err(BasicError::Throttled(wait)),
            Err(PasswordError::Busy) => return Err(BasicError::Unavailable),
            Err(PasswordError::Store(error)) => {
                of.outage.note::<()>(Err(error))?;
                return Err(BasicError::Unavailable);
            }
        };
        Ok(self.known_by_password(&user, asked, epoch))
    }

    /// `epoch` and `asked`: from before the record was read.
    fn known_by_password(&self, user: &User, asked: Timestamp, epoch: u64) -> Arc<Known> {
        let with_mark = self.authenticator.policy.check_password_mark;
        let cached = CachedUser::of(user.clone(), with_mark, asked);
        let record = self.authenticator.records.remember(&cached);
        let issued = Issued::Generation(user.generation);
        let ties = Ties { user: Some(user.id), issued, login: None, jti: None };
        let identity = identity(&record);
        let until = asked.plus(self.token_ttl);
        // Checked against the revocations by whoever asked, as after every tier of cache.
        let entry = Entry::new(identity, ties, Some(record.stamp), None, until, epoch);
        Arc::new(Known { entry, by: By::Password(self.mark_of(user)) })
    }

    async fn prove_token(
        &self,
        token: Credential<'_>,
        name: &str,
    ) -> Result<Arc<Known>, BasicError> {
        let refused = || BasicError::from(BasicFault::Refused);
        let identity = match self.authenticator.identify(token).await {
            Ok(identity) => identity,
            // The same words whatever is wrong with it.
            Err(IdentifyError::Rejected(_)) => return Err(refused()),
            Err(IdentifyError::Unavailable) => return Err(BasicError::Unavailable),
        };
        if !self.is_named(&identity, name).await? {
            return Err(refused());
        }
        let (Credential::Opaque(text) | Credential::Jwt(text)) = token;
        // Displaced between the two steps: as if the cache were too small for anything.
        let held = self.authenticator.entries.get(&token_digest(text));
        let entry = held.ok_or(BasicError::Unavailable)?.twin();
        Ok(Arc::new(Known { entry, by: By::Token }))
    }

    /// A token proves its user by itself; a name beside it must not say somebody else, for a
    /// back end that is shown the credential might believe it.
    async fn is_named(&self, identity: &Identity, name: &str) -> Result<bool, Away> {
        if name.is_empty() || name == TOKEN_NAME || name == identity.username {
            return Ok(true);
        }
        if self.any_spelling && name.nfkc().eq(identity.username.chars()) {
            return Ok(true);
        }
        let (true, Subject::Local(id)) = (self.by_email, &identity.subject) else {
            return Ok(false);
        };
        let of = &self.authenticator;
        let user = of.outage.note(Box::pin(of.store.user(*id)).await)?;
        Ok(user.is_some_and(|user| !user.email.is_empty() && fold(&user.email) == fold(name)))
    }

    /// What looks like a token is proved as one: `eyJ` opens the header of every JWT.
    fn token_in<'s>(&self, spoken: &'s Spoken) -> Option<(Credential<'s>, Otherwise)> {
        let text = spoken.password();
        if text.starts_with("eyJ") && memchr::memchr_iter(b'.', text.as_bytes()).count() == 2 {
            return Some((Credential::Jwt(text), Otherwise::Refused));
        }
        match self.authenticator.opaque.form(text) {
            OpaqueForm::Minted => Some((Credential::Opaque(text), Otherwise::Refused)),
            OpaqueForm::Imported => Some((Credential::Opaque(text), Otherwise::Password)),
            OpaqueForm::Malformed => None,
        }
    }

    /// What a password was proved against: it fits as long as this stays the same.
    fn mark_of(&self, user: &User) -> [u8; 32] {
        self.mark(b"proof", &[&user.username, &user.email, user.password.expose_secret()])
    }

    /// A digest under this process's key. Lengths go in, so that no two lists are one text.
    fn mark(&self, purpose: &[u8], parts: &[&str]) -> [u8; 32] {
        let mut context = Context::with_key(&self.key);
        context.update(b"portcullis basic v1 ");
        context.update(purpose);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut mark = [0; 32];
        mark.copy_from_slice(context.sign().as_ref());
        mark
    }
}

fn identity(record: &Record) -> Identity {
    Identity {
        subject: Subject::Local(record.stamp.user),
        username: record.username.clone(),
        is_staff: record.is_staff,
        is_superuser: record.is_superuser,
        groups: record.groups.clone(),
        kind: CredentialKind::Basic,
        login: None,
        jti: None,
        expires: None,
        values: record.values.clone(),
        asserted: Asserted::default(),
    }
}
