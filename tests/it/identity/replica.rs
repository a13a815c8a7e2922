//! One replica of a gateway, as far as credentials are concerned, and what tests do to it.

use std::sync::Arc;
use std::time::Duration;

use portcullis::clock::Clock;
use portcullis::cluster::{Announcer, Follower};
use portcullis::config::{SecretText, Settings};
use portcullis::identity::{
    Authenticator, Credential, IdentifyError, Identity, JwtFault, JwtIssuer, Keys, LastUsedWriter,
    OpaqueTokens, Rejection, Revocations, TokenCache, TokenPair, token_digest,
};
use portcullis::model::{Login, LoginId, LoginKind, Timestamp, User};
use portcullis::secret::RootKey;
use portcullis::store::{NameRules, NewOpaque, NewUser, PasswordChange, Store};
use secrecy::{ExposeSecret, SecretString};

pub(super) const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub(super) const MINUTE: Duration = Duration::from_mins(1);

/// One replica of a gateway, as far as credentials are concerned.
pub(super) struct Replica {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) keys: Arc<Keys>,
    pub(super) issuer: JwtIssuer,
    pub(super) opaque: Arc<OpaqueTokens>,
    pub(super) revocations: Arc<Revocations>,
    pub(super) announcer: Announcer,
    pub(super) follower: Follower,
    pub(super) last_used: LastUsedWriter,
    pub(super) authenticator: Arc<Authenticator>,
}

impl Replica {
    pub(super) async fn start(settings: &Settings, store: &Store, clock: &Clock) -> Self {
        Self::start_sharing(settings, store, clock, None).await
    }

    /// With a level that it shares with others.
    pub(super) async fn start_sharing(
        settings: &Settings,
        store: &Store,
        clock: &Clock,
        shared: Option<Arc<dyn TokenCache>>,
    ) -> Self {
        let root = RootKey::new("a secret key of this installation");
        let keys = Arc::new(Keys::load(settings, store, &root, clock).await.unwrap());
        let opaque = Arc::new(OpaqueTokens::new(&root));
        let revocations = Arc::new(Revocations::new(*settings.revocation.max_staleness));
        let mut follower =
            Follower::new(store.clone(), clock.clone(), Arc::clone(&revocations), MINUTE);
        follower.load().await.unwrap();
        let (authenticator, last_used) = Authenticator::new(
            settings,
            store.clone(),
            clock.clone(),
            Arc::clone(&keys),
            Arc::clone(&opaque),
            Arc::clone(&revocations),
        );
        let authenticator = match shared {
            Some(shared) => authenticator.sharing(shared),
            None => authenticator,
        };
        Self {
            store: store.clone(),
            clock: clock.clone(),
            issuer: JwtIssuer::new(settings, Arc::clone(&keys)),
            keys,
            opaque,
            announcer: Announcer::new(Arc::clone(&revocations)),
            revocations,
            follower,
            last_used,
            authenticator: Arc::new(authenticator),
        }
    }

    pub(super) async fn alone(settings: &Settings) -> Self {
        let store = Store::open_temporary().await.unwrap();
        Self::start(settings, &store, &Clock::manual(START)).await
    }

    pub(super) async fn user(&self, username: &str) -> User {
        let new = NewUser {
            username,
            email: &format!("{username}@example.org"),
            password: "old hash",
            is_active: true,
            is_staff: true,
            is_superuser: false,
            email_verified: false,
        };
        let rules = NameRules { unique_email: true, reuse_usernames: false };
        self.store.create_user(new, rules, None, None, self.clock.now()).await.unwrap()
    }

    /// The user as he is now.
    pub(super) async fn again(&self, user: &User) -> User {
        self.store.user(user.id).await.unwrap().unwrap()
    }

    pub(super) async fn log_in_opaque(&self, user: &User) -> (String, LoginId) {
        let (token, digest) = self.opaque.mint();
        let login = LoginId(digest.0[..16].try_into().unwrap());
        let new = NewOpaque { login, user: user.id, digest, seed: None, expires: None };
        let now = self.clock.now();
        let done = self.store.log_in_opaque(new, user.generation, 100, false, now).await.unwrap();
        assert!(done.is_some());
        (token.expose_secret().to_owned(), login)
    }

    pub(super) async fn log_in_jwt(&self, user: &User) -> (TokenPair, LoginId) {
        let now = self.clock.now();
        let (token, _) = self.opaque.mint();
        let login = Login {
            id: LoginId(token_digest(token.expose_secret()).0[..16].try_into().unwrap()),
            user: user.id,
            kind: LoginKind::Jwt,
            generation: user.generation,
            created: now,
            last_used: now,
            expires: Some(now.plus(Duration::from_hours(24))),
        };
        assert!(self.store.log_in_jwt(&login, false, now).await.unwrap());
        (self.issuer.pair(user, Some(login.id), now), login.id)
    }

    pub(super) async fn opaque(&self, token: &str) -> Result<Arc<Identity>, IdentifyError> {
        self.authenticator.identify(Credential::Opaque(token)).await
    }

    pub(super) async fn jwt(&self, token: &str) -> Result<Arc<Identity>, IdentifyError> {
        self.authenticator.identify(Credential::Jwt(token)).await
    }

    pub(super) async fn change_password(&self, user: &User) {
        let change = PasswordChange {
            password: "new hash",
            instead_of: None,
            log_out: true,
            set_last_login: false,
            verified_email: None,
        };
        let now = self.clock.now();
        let done = self.store.change_password(user.id, change, None, now).await.unwrap();
        self.announcer.announce(&done.unwrap().1);
    }

    pub(super) async fn set_active(&self, user: &User, active: bool) {
        let done = self.store.set_active(user.id, active, self.clock.now()).await.unwrap();
        self.announcer.announce(&done.unwrap().1);
    }

    pub(super) async fn delete(&self, user: &User) {
        let done = self.store.delete_user(user.id, self.clock.now()).await.unwrap();
        self.announcer.announce(&done.unwrap());
    }

    pub(super) async fn end_login(&self, login: LoginId) {
        self.announcer.announce(&self.store.end_login(login, self.clock.now()).await.unwrap());
    }

    /// Moves the clock, and pretends that the log was read to its end.
    pub(super) fn pass(&self, time: Duration) {
        self.clock.set(self.clock.now().plus(time));
        self.revocations.synced(self.clock.now());
    }
}

pub(super) fn django() -> Settings {
    let mut settings = Settings::default();
    "HS256".clone_into(&mut settings.tokens.jwt.algorithm);
    settings.tokens.jwt.signing_key = SecretText(SecretString::from("x".repeat(40)));
    settings.tokens.jwt.extra_claims = Vec::new();
    settings.tokens.jwt.strict_revocation = false;
    settings
}

/// Waits until something that happens beside the test has happened.
pub(super) async fn within_reason(happened: impl AsyncFn() -> bool) {
    let waiting = async {
        while !happened().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it never happens");
}

pub(super) fn rejection<T>(result: Result<T, IdentifyError>) -> Rejection {
    match result {
        Err(IdentifyError::Rejected(rejection)) => rejection,
        Err(IdentifyError::Unavailable) => panic!("unavailable"),
        Ok(_) => panic!("accepted"),
    }
}

pub(super) fn blacklisted() -> Rejection {
    Rejection::Jwt(JwtFault::Blacklisted)
}
