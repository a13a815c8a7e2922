//! Proves credentials: the cache of proved ones first, then keys, records and revocations.
//!
//! A known credential costs one digest and one look-up in memory. What is not known is proved
//! once, however many requests wait for it. Our own trouble is never a refusal: it is said to
//! be unavailable. It must not know routes or what an identity may do.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use quick_cache::sync::Cache;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::{JwtTokens, Settings};
use crate::model::{Timestamp, TokenDigest, User};
use crate::store::Store;

use super::assertion::Assertions;
use super::credential::{Credential, claimed};
use super::digest::token_digest;
use super::entry::{Entry, Standing};
use super::flight::Flights;
use super::identities::{foreign, local};
use super::imported::Imported;
use super::judgement::{answer, judge_generation, judge_row, judge_user};
use super::jwt::{self, Claimant, Proof};
use super::keys::Keys;
use super::last_used::{LastUsed, LastUsedWriter, last_used};
use super::opaque::{OpaqueForm, OpaqueTokens};
use super::outage::{Away, Outage};
use super::policy::Policy;
use super::proved::{CredentialKind, Identity};
use super::reach::Reach;
use super::records::{ATTEMPTS, Records};
use super::rejection::{IdentifyError, JwtFault, Rejection};
use super::revocation::Revocations;
use super::tier::{CachedToken, CachedUser, Found, LookedUp, Source, TokenCache, reach_of};
use super::ties::{Issued, Ties};
use super::weight::{Weighed, weighed};

/// How many unknown opaque tokens are remembered, and for how long. Apart from the good ones, so
/// that a flood of guesses cannot drive them out.
const UNKNOWN_TOKENS: usize = 4096;
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// How long a request waits for what it knows already to be confirmed: not for a database that
/// stands still.
const CONFIRM_TIME: Duration = Duration::from_millis(200);

/// Opaque tokens are this long, and nothing else is worth a digest.
const OPAQUE_LENGTH: usize = 40;

/// Proves credentials: caches, keys, revocation, records.
pub struct Authenticator {
    pub(super) clock: Clock,
    pub(super) store: Store,
    pub(super) keys: Arc<Keys>,
    pub(super) revocations: Arc<Revocations>,
    pub(super) outage: Arc<Outage>,
    pub(super) policy: Policy,
    pub(super) opaque: Arc<OpaqueTokens>,
    pub(super) records: Records,
    last_used: LastUsed,
    pub(super) entries: Weighed<TokenDigest, Arc<Entry>>,
    unknown: Cache<TokenDigest, Timestamp>,
    look_ups: Flights<(TokenDigest, Source), LookedUp<Arc<CachedToken>>>,
    shared: Option<Arc<dyn TokenCache>>,
    imported: Imported,
}

impl From<Away> for IdentifyError {
    fn from(_: Away) -> Self {
        Self::Unavailable
    }
}

impl Authenticator {
    /// The writer wants to be run beside the listeners: it notes when opaque tokens were used.
    #[must_use]
    pub fn new(
        settings: &Settings,
        store: Store,
        clock: Clock,
        keys: Arc<Keys>,
        opaque: Arc<OpaqueTokens>,
        revocations: Arc<Revocations>,
    ) -> (Self, LastUsedWriter) {
        let policy = Policy::of(settings);
        let outage = Arc::new(Outage::new("identity"));
        let (last_used, writer) =
            last_used(store.clone(), Arc::clone(&outage), policy.idle_timeout);
        let records = Records::new(
            settings,
            store.clone(),
            clock.clone(),
            Arc::clone(&revocations),
            Arc::clone(&outage),
        );
        let authenticator = Self {
            clock,
            store,
            keys,
            revocations,
            outage,
            policy,
            opaque,
            records,
            last_used,
            entries: weighed(settings.cache.tokens),
            unknown: Cache::new(UNKNOWN_TOKENS),
            look_ups: Flights::new(),
            shared: None,
            imported: Imported::new(),
        };
        (authenticator, writer)
    }

    /// Signs about whom it has proved, with the keys that it knows.
    #[must_use]
    pub fn assertions(&self, jwt: &JwtTokens) -> Assertions {
        Assertions::new(Arc::clone(&self.keys), self.clock.clone(), jwt)
    }

    /// Asks a level that replicas share before the database.
    #[must_use]
    pub fn sharing(mut self, shared: Arc<dyn TokenCache>) -> Self {
        self.records.share(Arc::clone(&shared));
        self.shared = Some(shared);
        self
    }

    /// What a request claims. `Ok(None)`: nothing.
    ///
    /// # Errors
    /// See [`claimed`].
    pub fn claimed<'a>(&self, headers: &'a HeaderMap) -> Result<Option<Credential<'a>>, Rejection> {
        claimed(headers, &self.policy.jwt_words)
    }

    /// Proves a credential. No I/O for one that was seen before.
    ///
    /// # Errors
    /// Why it is not good, or that this cannot be found out at present.
    pub async fn identify(
        &self,
        credential: Credential<'_>,
    ) -> Result<Arc<Identity>, IdentifyError> {
        self.identify_noting(credential, &mut Reach::default()).await
    }

    /// As [`Authenticator::identify`]; notes in `reach` how far it had to go.
    ///
    /// # Errors
    /// The same.
    pub async fn identify_noting(
        &self,
        credential: Credential<'_>,
        reach: &mut Reach,
    ) -> Result<Arc<Identity>, IdentifyError> {
        let now = self.clock.now();
        if !self.revocations.is_fresh(now) {
            // Anything may have ended that we have not heard of.
            return Err(IdentifyError::Unavailable);
        }
        let (token, kind) = match credential {
            Credential::Opaque(token) if token.len() != OPAQUE_LENGTH => {
                return Err(Rejection::UnknownToken.into());
            }
            Credential::Opaque(token) => (token, CredentialKind::Opaque),
            Credential::Jwt(token) if token.len() > jwt::LONGEST => {
                return Err(JwtFault::Invalid.into());
            }
            Credential::Jwt(token) => (token, CredentialKind::Jwt),
        };
        let digest = token_digest(token);
        let held = self.entries.get(&digest).filter(|entry| entry.identity.kind == kind);
        let standing = held.as_ref().map(|entry| entry.standing(&self.revocations, now));
        match (held, standing) {
            (Some(entry), Some(Standing::Good)) => Ok(Arc::clone(&entry.identity)),
            (_, Some(Standing::Over(rejection))) => {
                // A JWT that ran out stays: its next use costs no signature either.
                if rejection != Rejection::Jwt(JwtFault::Expired) {
                    self.entries.remove(&digest);
                }
                Err(rejection.into())
            }
            // Boxed: the future of the way above stays small.
            (Some(entry), Some(Standing::Due)) => {
                Box::pin(self.confirm(credential, digest, entry, reach)).await
            }
            (held, _) => {
                let proof = held.and_then(|entry| entry.proof.clone());
                Box::pin(self.prove(credential, digest, proof, reach)).await
            }
        }
    }

    /// Forgets what is cached of a credential (after its logout).
    pub fn forget(&self, credential: Credential<'_>) {
        let (Credential::Opaque(token) | Credential::Jwt(token)) = credential;
        let digest = token_digest(token);
        self.entries.remove(&digest);
        if let Some(shared) = &self.shared {
            shared.forget(digest);
        }
    }

    /// How many proved tokens are held in memory.
    #[must_use]
    pub fn held(&self) -> usize {
        self.entries.len()
    }

    /// Takes note of a record that was read to hand out tokens (at `read`). They may come back
    /// before the log says what changed since we last looked: an account that was activated from
    /// the shell, say.
    pub fn met(&self, user: &User, read: Timestamp) {
        let with_mark = self.policy.check_password_mark;
        self.records.remember(&CachedUser::of(user.clone(), with_mark, read));
    }

    /// Proves an entry anew; with the database away it stays good, for nothing that ended is
    /// unknown to us as long as the log is read.
    async fn confirm(
        &self,
        credential: Credential<'_>,
        digest: TokenDigest,
        entry: Arc<Entry>,
        reach: &mut Reach,
    ) -> Result<Arc<Identity>, IdentifyError> {
        let prove = self.prove(credential, digest, entry.proof.clone(), reach);
        let proved = timeout(CONFIRM_TIME, prove).await.unwrap_or(Err(IdentifyError::Unavailable));
        if !matches!(proved, Err(IdentifyError::Unavailable)) {
            return proved;
        }
        let now = self.clock.now();
        match entry.standing(&self.revocations, now) {
            Standing::Over(rejection) => Err(rejection.into()),
            Standing::Good | Standing::Due if self.revocations.is_fresh(now) => {
                Ok(Arc::clone(&entry.identity))
            }
            Standing::Good | Standing::Due | Standing::Outdated => proved,
        }
    }

    /// Proves a credential and remembers it if it is good. Forged ones are never remembered.
    async fn prove(
        &self,
        credential: Credential<'_>,
        digest: TokenDigest,
        proof: Option<Arc<Proof>>,
        reach: &mut Reach,
    ) -> Result<Arc<Identity>, IdentifyError> {
        let proved = match credential {
            Credential::Opaque(token) => self.prove_opaque(token, digest, reach).await,
            Credential::Jwt(token) => self.prove_jwt(token, proof, reach).await,
        };
        match proved {
            Ok(entry) => {
                let identity = Arc::clone(&entry.identity);
                self.entries.insert(digest, Arc::new(entry));
                Ok(identity)
            }
            Err(error) => {
                if error != IdentifyError::Unavailable {
                    self.entries.remove(&digest);
                }
                Err(error)
            }
        }
    }

    async fn prove_opaque(
        &self,
        token: &str,
        digest: TokenDigest,
        reach: &mut Reach,
    ) -> Result<Entry, IdentifyError> {
        let form = self.opaque.form(token);
        match form {
            OpaqueForm::Minted => {}
            OpaqueForm::Imported if self.imported_may_exist().await? => {}
            OpaqueForm::Imported | OpaqueForm::Malformed => {
                return Err(Rejection::UnknownToken.into());
            }
        }
        if self.unknown.get(&digest).is_some_and(|until| self.clock.now() < until) {
            return Err(Rejection::UnknownToken.into());
        }
        let mut source = Source::Any;
        for _ in 0..=ATTEMPTS {
            let (epoch, asked) = (self.revocations.epoch(), self.clock.now());
            let look_up = self.look_up(digest, form, source);
            let look_up = self.look_ups.join((digest, source), look_up);
            let found = look_up.await;
            reach.extend(reach_of(&found));
            let Some(found) = found? else {
                self.unknown.insert(digest, asked.plus(UNKNOWN_FOR));
                return Err(Rejection::UnknownToken.into());
            };
            source = Source::Database;
            let (now, CachedToken { login, owner }) = (self.clock.now(), &*found.value);
            if let Err(flaw) = judge_row(login, &owner.user, now, self.policy.idle_timeout) {
                if found.source == Source::Any {
                    // Only the database refuses: the account may be active again by now.
                    continue;
                }
                return Err(Rejection::from(flaw).into());
            }
            let record = self.records.remember(owner);
            let ties = Ties {
                user: Some(owner.user.id),
                issued: Issued::Generation(login.generation),
                login: Some(login.id),
                jti: None,
            };
            if let Some(finding) = self.revocations.review(&ties, Some(record.stamp)) {
                match answer(CredentialKind::Opaque, finding) {
                    Some(rejection) => return Err(rejection.into()),
                    // The look-up was overtaken, perhaps because we joined one under way.
                    None => continue,
                }
            }
            self.last_used.note(login.id, login.last_used, now);
            let identity = local(&record, CredentialKind::Opaque, &ties, login.expires);
            let until = owner.read.min(asked).plus(self.policy.token_ttl);
            return Ok(Entry::new(identity, ties, Some(record.stamp), None, until, epoch));
        }
        Err(IdentifyError::Unavailable)
    }

    async fn prove_jwt(
        &self,
        token: &str,
        proof: Option<Arc<Proof>>,
        reach: &mut Reach,
    ) -> Result<Entry, IdentifyError> {
        let proof = if let Some(proof) = proof {
            proof
        } else {
            reach.extend(Reach::Keys);
            let genuine = self.genuine(token).await?.of_type("access")?;
            Arc::new(Proof::of(&genuine, self.policy.access_lifetime)?)
        };
        let mut source = Source::Any;
        for _ in 0..=ATTEMPTS {
            let (epoch, asked) = (self.revocations.epoch(), self.clock.now());
            if proof.outlives_log {
                reach.extend(Reach::Database);
                self.ask_whether_ended(&proof.ties).await?;
            }
            let record = match &proof.claimant {
                Claimant::Number(id) => {
                    self.records.by_id(*id, proof.generation(), source, reach).await?
                }
                Claimant::Name(name) => self.records.by_name(name, reach).await?,
                Claimant::Nobody => None,
                Claimant::Foreign(name) => {
                    if let Some(finding) = self.revocations.review(&proof.ties, None)
                        && let Some(rejection) = answer(CredentialKind::Jwt, finding)
                    {
                        return Err(rejection.into());
                    }
                    let until = asked.plus(self.policy.token_ttl);
                    let (identity, ties) = (foreign(name, &proof), proof.ties.clone());
                    return Ok(Entry::new(identity, ties, None, Some(proof), until, epoch));
                }
            };
            let record = record.ok_or(Rejection::UserNotFound)?;
            let ties = Ties { user: Some(record.stamp.user), ..proof.ties.clone() };
            let judged = judge_user(proof.password_mark.as_deref(), &record, self.policy.inactive);
            if let Err(rejection) = judged {
                if source == Source::Any {
                    // Only the database refuses: another replica may have changed the record, and
                    // then issued this token.
                    source = Source::Database;
                    continue;
                }
                return Err(rejection.into());
            }
            if let Some(finding) = self.revocations.review(&ties, Some(record.stamp)) {
                match answer(CredentialKind::Jwt, finding) {
                    Some(rejection) => return Err(rejection.into()),
                    None if self.revocations.outdates(record.stamp) => continue,
                    // Active again after a cut: the record's generation tells.
                    None => {}
                }
            }
            judge_generation(&ties, &record)?;
            let identity = local(&record, CredentialKind::Jwt, &ties, Some(proof.expires));
            let until = record.read.plus(self.policy.token_ttl);
            return Ok(Entry::new(identity, ties, Some(record.stamp), Some(proof), until, epoch));
        }
        Err(IdentifyError::Unavailable)
    }

    /// Asks the database whether a token or its login ended, where the log may have forgotten.
    pub(super) async fn ask_whether_ended(&self, ties: &Ties) -> Result<(), IdentifyError> {
        if let Some(jti) = &ties.jti
            && self.outage.note(Box::pin(self.store.token_ended(jti)).await)?
        {
            return Err(JwtFault::Blacklisted.into());
        }
        if let Some(login) = ties.login
            && self.outage.note(Box::pin(self.store.login(login)).await)?.is_none()
        {
            return Err(JwtFault::Blacklisted.into());
        }
        Ok(())
    }

    async fn look_up(
        &self,
        digest: TokenDigest,
        form: OpaqueForm,
        source: Source,
    ) -> LookedUp<Arc<CachedToken>> {
        let read = self.clock.now();
        if source == Source::Any
            && let Some(shared) = &self.shared
            && let Some(value) = shared.token(digest, read).await
            && value.owner.suffices(self.policy.check_password_mark)
        {
            return Ok(Some(Found { value: Arc::new(value), source: Source::Any }));
        }
        let row = match form {
            OpaqueForm::Minted => Box::pin(self.store.opaque(digest)).await,
            OpaqueForm::Imported | OpaqueForm::Malformed => {
                Box::pin(self.store.imported_opaque(digest)).await
            }
        };
        let row = self.outage.note(row)?;
        let with_mark = self.policy.check_password_mark;
        let Some(value) = row.map(|row| CachedToken::of(row, with_mark, read)) else {
            return Ok(None);
        };
        if let Some(shared) = &self.shared {
            shared.keep_token(digest, value.clone());
        }
        Ok(Some(Found { value: Arc::new(value), source: Source::Database }))
    }

    pub(super) async fn imported_may_exist(&self) -> Result<bool, Away> {
        let ask = async { self.outage.note(Box::pin(self.store.has_imported_tokens()).await) };
        self.imported.may_exist(self.clock.now(), ask).await
    }
}
