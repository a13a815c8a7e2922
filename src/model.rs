//! The nouns that every part speaks: users, logins, changes and times.
//!
//! Plain data without behaviour of its own. It must not know where the data is
//! kept, how it travels, or who is allowed to do what with it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use secrecy::SecretString;

/// A moment in microseconds since 1970-01-01 UTC, the resolution that Django stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole seconds since 1970, as JWT claims carry them; saturates.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This moment and `span` later; saturates.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }

    /// This moment and `span` earlier; saturates.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(micros(span)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// A user's number, as Django counts them: positive, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub i64);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one login: one act of logging in. Random, so that it tells nothing and that a
/// database restored from a backup cannot give it out again. Written as 32 hex digits
/// (the claim `sid`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoginId(pub [u8; 16]);

impl LoginId {
    /// Reads 32 hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for LoginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// SHA-256 of a token: the only form in which tokens are stored or kept in a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest(pub [u8; 32]);

impl std::hash::Hash for TokenDigest {
    /// A part of it will do: nobody can choose digests, and maps add a secret of their own.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let part = self.0.first_chunk().copied();
        state.write_u64(part.map_or(0, u64::from_ne_bytes));
    }
}

/// An account as it is stored.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of an account, as Django has them")]
pub struct User {
    /// The number that clients and JWTs name it by.
    pub id: UserId,
    /// The name as registered (Unicode form NFKC), unique and case-sensitive as in Django.
    pub username: String,
    /// As typed; empty if there is none.
    pub email: String,
    /// A link mailed to [`User::email`] was used, or an operator said so.
    pub email_verified: bool,
    /// The stored hash in PHC or Django's format.
    pub password: SecretString,
    /// Given name; only an import sets it. It counts for password similarity.
    pub first_name: String,
    /// Family name, likewise.
    pub last_name: String,
    /// Inactive accounts can neither log in nor pass the gate.
    pub is_active: bool,
    /// May see and change other users.
    pub is_staff: bool,
    /// May do anything.
    pub is_superuser: bool,
    /// Names of the user's groups, sorted.
    pub groups: Vec<String>,
    /// Raised by each cut: credentials that carry a smaller one are dead.
    pub generation: i64,
    /// When the generation was last raised; judges tokens that carry no generation.
    pub cut_at: Option<Timestamp>,
    /// Raised by each change of the record.
    pub version: i64,
    /// Last login, as Django keeps it.
    pub last_login: Option<Timestamp>,
    /// When the account was made.
    pub date_joined: Timestamp,
}

/// Why a user's credentials were cut off. Decides which recorded answer a client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CutReason {
    /// Logged out everywhere, by the user or by an operator.
    LoggedOut,
    /// The password was changed or reset.
    PasswordChanged,
    /// The account was deactivated.
    UserInactive,
    /// The account was deleted.
    UserDeleted,
}

/// What happened to credentials or records: one kind of entry in the numbered log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A login ended: its opaque token, or its family of refresh and access tokens.
    LoginEnded {
        /// The login.
        login: LoginId,
    },
    /// One JWT ended.
    TokenEnded {
        /// Its claim `jti`.
        jti: String,
    },
    /// Everything issued to a user before `generation` ended.
    UserCut {
        /// The user.
        user: UserId,
        /// The first generation that is good again.
        generation: i64,
        /// Why.
        reason: CutReason,
    },
    /// A record changed and wants to be read again; ends nothing.
    ProfileChanged {
        /// The user.
        user: UserId,
        /// The version that the change made.
        version: i64,
    },
}

/// An entry of the numbered log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// What happened.
    pub change: Change,
    /// When it happened, by the writing replica's clock.
    pub at: Timestamp,
}

/// What a login hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoginKind {
    /// An opaque token.
    Opaque,
    /// A family of refresh and access tokens.
    Jwt,
}

/// One act of logging in.
#[derive(Debug, Clone)]
pub struct Login {
    /// Its name.
    pub id: LoginId,
    /// Whose it is.
    pub user: UserId,
    /// What it hands out.
    pub kind: LoginKind,
    /// The user's generation at the time.
    pub generation: i64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last seen in use; written at most once an hour.
    pub last_used: Timestamp,
    /// When it ends by itself.
    pub expires: Option<Timestamp>,
}

/// What a mail is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MailPurpose {
    /// A link to set a new password.
    PasswordReset,
    /// A link to set a new username.
    UsernameReset,
    /// A link that activates an account.
    Activation,
    /// Word that an account was activated.
    Confirmation,
    /// Word that the password was changed.
    PasswordChanged,
    /// Word that the username was changed.
    UsernameChanged,
}

/// Where mailed links lead, as far as the request decides it. Settings win over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// `http` or `https`.
    pub scheme: String,
    /// Host and port, checked against `server.allowed_hosts`.
    pub host: String,
}

/// Something that was done to an account or a key, or was tried: what the audit log tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// When it was done.
    pub at: Timestamp,
    /// What was done, in one word of a closed list: `identity.login`, `user.delete`, …
    pub action: Cow<'static, str>,
    /// Why it failed, likewise; `None` if it did not.
    pub failure: Option<Cow<'static, str>>,
    /// How it was done: `opaque`, `jwt`, `basic`, `link`, …
    pub means: Option<Cow<'static, str>>,
    /// Who did it, or tried to.
    pub actor: Actor,
    /// Whose account it was done to.
    pub target: Option<Target>,
    /// The signing key that it was done to.
    pub key: Option<String>,
    /// How many it was done to, where they are not told one by one.
    pub count: Option<u64>,
    /// The client's address.
    pub client: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A user who was proved, or who was named by a login.
    User(Person),
    /// Somebody who needed no credential, or had no good one.
    Anonymous,
    /// An operator at a shell, as the system knows them.
    Shell(Option<Person>),
}

/// Somebody who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// A user's number, `issuer:sub`, or at a shell `uid:` and a number.
    pub id: String,
    /// The name, where that is at hand.
    pub name: Option<String>,
}

/// An account that something was done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its number.
    pub id: UserId,
    /// Its username, where that is at hand.
    pub name: Option<String>,
}

impl Deed {
    /// Done by nobody in particular, to nobody yet.
    #[must_use]
    pub const fn new(action: &'static str, at: Timestamp) -> Self {
        Self {
            at,
            action: Cow::Borrowed(action),
            failure: None,
            means: None,
            actor: Actor::Anonymous,
            target: None,
            key: None,
            count: None,
            client: None,
            request_id: None,
        }
    }

    /// It failed, for this reason.
    #[must_use]
    pub fn failed(mut self, reason: &'static str) -> Self {
        self.failure = Some(Cow::Borrowed(reason));
        self
    }

    /// It is done in this way.
    #[must_use]
    pub fn by(mut self, means: &'static str) -> Self {
        self.means = Some(Cow::Borrowed(means));
        self
    }

    /// It is done to this account.
    #[must_use]
    pub fn to(mut self, user: &User) -> Self {
        self.target = Some(Target { id: user.id, name: Some(user.username.clone()) });
        self
    }

    /// It is done to an account of which only the number is at hand.
    #[must_use]
    pub fn about(mut self, user: UserId) -> Self {
        self.target = Some(Target { id: user, name: None });
        self
    }

    /// This user does it, whoever was proved to be asking; `None`: nobody knows who.
    #[must_use]
    pub fn done_by(mut self, user: Option<&User>) -> Self {
        self.actor = user.map_or(Actor::Anonymous, |user| {
            Actor::User(Person { id: user.id.to_string(), name: Some(user.username.clone()) })
        });
        self
    }

    /// It is done to this key.
    #[must_use]
    pub fn to_key(mut self, kid: &str) -> Self {
        self.key = Some(kid.to_owned());
        self
    }
}
