//! Users: how they are made, found and removed.
//!
//! Changes of a user stand in `profile`, `passwords` and `groups`; what all of them need
//! (lock the record, cut credentials off) is here. It must not know which changes are allowed.

use secrecy::SecretString;
use sqlx::FromRow;

use super::db::Tx;
use super::errors::Result;
use super::handle::Store;
use super::names::{self, NameRules};
use super::outbox::{self, NewMail};
use super::query::{Query, sql, sql_by};
use super::{groups, log};
use crate::fold::fold;
use crate::model::{Change, CutReason, LogEntry, MailPurpose, Site, Timestamp, User, UserId};

/// A user as it is after a change, and what the change wrote to the log. No entries: there was
/// nothing to change.
pub type Changed = (User, Vec<LogEntry>);

/// An account to be made.
#[expect(clippy::struct_excessive_bools, reason = "the flags of an account, as Django has them")]
pub struct NewUser<'a> {
    /// In Unicode form NFKC.
    pub username: &'a str,
    /// As typed; empty for none.
    pub email: &'a str,
    /// The stored hash.
    pub password: &'a str,
    /// See [`User::is_active`].
    pub is_active: bool,
    /// See [`User::is_staff`].
    pub is_staff: bool,
    /// See [`User::is_superuser`].
    pub is_superuser: bool,
    /// See [`User::email_verified`].
    pub email_verified: bool,
}

impl Store {
    /// Makes an account and, if one is wanted, the mail to its address.
    ///
    /// # Errors
    /// [`StoreError::Taken`](super::StoreError::Taken) as `rules` have it.
    pub async fn create_user(
        &self,
        new: NewUser<'_>,
        rules: NameRules,
        mail: Option<MailPurpose>,
        site: Option<&Site>,
        at: Timestamp,
    ) -> Result<User> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                names::claim_email(&mut tx, rules, new.email, None).await?;
                let id = insert(&mut tx, &new, at).await?;
                // After the insert: whoever held the name until now has left its tombstone.
                names::refuse_used(&mut tx, rules, new.username, id).await?;
                if let Some(purpose) = mail {
                    let mail = NewMail { purpose, user: id, address: new.email, site };
                    outbox::enqueue(&mut tx, &mail, at).await?;
                }
                let user = require(&mut tx, id).await?;
                self.note_about(&mut tx, &user).await?;
                tx.commit(user).await
            })
            .await
    }

    /// The user of this number.
    pub async fn user(&self, id: UserId) -> Result<Option<User>> {
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let user = find(&mut tx, id).await?;
                tx.commit(user).await
            })
            .await
    }

    /// By the exact username.
    pub async fn user_by_username(&self, username: &str) -> Result<Option<User>> {
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let query = sql(select_user!("WHERE u.username = $1")).bind(username);
                let user = one(&mut tx, query).await?;
                tx.commit(user).await
            })
            .await
    }

    /// By the address in any spelling; imported accounts may share one. At most a hundred.
    pub async fn users_by_email(&self, email: &str) -> Result<Vec<User>> {
        let key = fold(email);
        if key.is_empty() {
            return Ok(Vec::new());
        }
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let text = select_user!(
                    "WHERE u.email_key = $1 AND u.email_key <> '' ORDER BY u.id LIMIT 100"
                );
                let users = many(&mut tx, sql(text).bind(key.as_str())).await?;
                tx.commit(users).await
            })
            .await
    }

    /// Users in the order of their numbers, from the one after `after`: a page of a list.
    pub async fn users_after(&self, after: UserId, limit: u32) -> Result<Vec<User>> {
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let text = select_user!("WHERE u.id > $1 ORDER BY u.id LIMIT $2");
                let users = many(&mut tx, sql(text).bind(after).bind(i64::from(limit))).await?;
                tx.commit(users).await
            })
            .await
    }

    /// How many accounts there are.
    pub async fn user_count(&self) -> Result<u64> {
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let (count,): (i64,) = tx.one(sql("SELECT count(*) FROM users")).await?;
                tx.commit(count.unsigned_abs()).await
            })
            .await
    }

    /// Removes an account with everything that hangs on it: logins, tokens, groups, mails not
    /// yet sent. Its name stays taken (see [`NameRules::reuse_usernames`]). `None`: no such user.
    pub async fn delete_user(&self, id: UserId, at: Timestamp) -> Result<Option<Vec<LogEntry>>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let Some(user) = lock(&mut tx, id).await? else { return tx.commit(None).await };
                names::retire(&mut tx, &user.username, id, at).await?;
                // Whatever belongs to the user goes with the record (ON DELETE CASCADE).
                tx.execute(sql("DELETE FROM users WHERE id = $1").bind(id)).await?;
                let cut = Change::UserCut {
                    user: id,
                    generation: user.generation + 1,
                    reason: CutReason::UserDeleted,
                };
                let entry = log::append(&mut tx, cut, at).await?;
                self.note(&mut tx).await?;
                tx.commit(Some(vec![entry])).await
            })
            .await
    }

    /// Ends every login of a user (logged out everywhere). `None`: no such user.
    pub async fn cut_user(&self, id: UserId, at: Timestamp) -> Result<Option<Vec<LogEntry>>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                if lock(&mut tx, id).await?.is_none() {
                    return tx.commit(None).await;
                }
                let entry = cut(&mut tx, id, CutReason::LoggedOut, at).await?;
                self.note(&mut tx).await?;
                tx.commit(Some(vec![entry])).await
            })
            .await
    }

    /// Notes a login, as Django does. Not a change of the record: caches may keep theirs.
    pub async fn set_last_login(&self, id: UserId, at: Timestamp) -> Result<()> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                note_login(&mut tx, id, at).await?;
                self.note(&mut tx).await?;
                tx.commit(()).await
            })
            .await
    }
}

/// The columns of a [`UserRecord`], from a table called `u`. Group names cannot hold U+001F
/// (see `groups`).
macro_rules! user_columns {
    () => {
        "u.id, u.username, u.email, u.email_verified, u.password, u.first_name, u.last_name, \
         u.is_active, u.is_staff, u.is_superuser, u.generation, u.version, u.cut_at, \
         u.last_login, u.date_joined, \
         (SELECT string_agg(g.name, '\u{1f}') FROM user_groups m \
         JOIN groups g ON g.id = m.group_id WHERE m.user_id = u.id) AS group_names"
    };
}
pub(super) use user_columns;

macro_rules! select_user {
    ($rest:literal) => {
        concat!("SELECT ", user_columns!(), " FROM users u ", $rest)
    };
}
use select_user;

/// A row of `user_columns`.
#[derive(FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of an account, as Django has them")]
pub(super) struct UserRecord {
    id: i64,
    username: String,
    email: String,
    email_verified: bool,
    password: String,
    first_name: String,
    last_name: String,
    is_active: bool,
    is_staff: bool,
    is_superuser: bool,
    generation: i64,
    version: i64,
    cut_at: Option<i64>,
    last_login: Option<i64>,
    date_joined: i64,
    group_names: Option<String>,
}

impl From<UserRecord> for User {
    fn from(record: UserRecord) -> Self {
        Self {
            id: UserId(record.id),
            username: record.username,
            email: record.email,
            email_verified: record.email_verified,
            password: SecretString::from(record.password),
            first_name: record.first_name,
            last_name: record.last_name,
            is_active: record.is_active,
            is_staff: record.is_staff,
            is_superuser: record.is_superuser,
            groups: groups::split(record.group_names.as_deref()),
            generation: record.generation,
            cut_at: record.cut_at.map(Timestamp::from_micros),
            version: record.version,
            last_login: record.last_login.map(Timestamp::from_micros),
            date_joined: Timestamp::from_micros(record.date_joined),
        }
    }
}

/// Reads a user.
pub(super) async fn find(tx: &mut Tx, id: UserId) -> Result<Option<User>> {
    one(tx, sql(select_user!("WHERE u.id = $1")).bind(id)).await
}

/// Reads a user that this transaction has made or locked.
pub(super) async fn require(tx: &mut Tx, id: UserId) -> Result<User> {
    Ok(find(tx, id).await?.ok_or(sqlx::Error::RowNotFound)?)
}

/// Reads a user and keeps all others from changing it, or logging in, until the transaction ends.
pub(super) async fn lock(tx: &mut Tx, id: UserId) -> Result<Option<User>> {
    let query = sql_by(
        select_user!("WHERE u.id = $1"),
        select_user!("WHERE u.id = $1 FOR NO KEY UPDATE OF u"),
    );
    one(tx, query.bind(id)).await
}

/// Kills everything issued to a locked user so far, and says so in the log. The logins of a
/// deactivated account stay, dead by their generation: their tokens are told that the account
/// is inactive, not that they never were. The time never goes backwards, as replicas' clocks
/// differ: it is all that ends tokens without `gen`.
pub(super) async fn cut(
    tx: &mut Tx,
    id: UserId,
    reason: CutReason,
    at: Timestamp,
) -> Result<LogEntry> {
    let raise = sql("UPDATE users SET generation = generation + 1, version = version + 1, \
         cut_at = CASE WHEN cut_at > $2 THEN cut_at ELSE $2 END WHERE id = $1 RETURNING generation");
    let (generation,): (i64,) = tx.one(raise.bind(id).bind(at)).await?;
    if reason != CutReason::UserInactive {
        tx.execute(sql("DELETE FROM logins WHERE user_id = $1").bind(id)).await?;
    }
    log::append(tx, Change::UserCut { user: id, generation, reason }, at).await
}

/// Tells caches that a locked user's record changed.
pub(super) async fn announce(tx: &mut Tx, id: UserId, at: Timestamp) -> Result<LogEntry> {
    let raise = sql("UPDATE users SET version = version + 1 WHERE id = $1 RETURNING version");
    let (version,): (i64,) = tx.one(raise.bind(id)).await?;
    log::append(tx, Change::ProfileChanged { user: id, version }, at).await
}

/// Writes the time of a login; never backwards, as replicas' clocks differ.
pub(super) async fn note_login(tx: &mut Tx, id: UserId, at: Timestamp) -> Result<()> {
    let query = sql(
        "UPDATE users SET last_login = $2 WHERE id = $1 AND (last_login IS NULL OR last_login < $2)",
    );
    tx.execute(query.bind(id).bind(at)).await?;
    Ok(())
}

async fn insert(tx: &mut Tx, new: &NewUser<'_>, at: Timestamp) -> Result<UserId> {
    let query = sql(
        "INSERT INTO users (username, username_key, email, email_key, email_verified, password, \
         is_active, is_staff, is_superuser, date_joined) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id",
    );
    let query = query.bind(new.username).bind(fold(new.username));
    let query = query.bind(new.email).bind(fold(new.email)).bind(new.email_verified);
    let query = query.bind(new.password);
    let query = query.bind(new.is_active).bind(new.is_staff).bind(new.is_superuser).bind(at);
    let (id,): (i64,) = tx.one(query).await?;
    Ok(UserId(id))
}

async fn one(tx: &mut Tx, query: Query) -> Result<Option<User>> {
    Ok(tx.optional::<UserRecord>(query).await?.map(User::from))
}

async fn many(tx: &mut Tx, query: Query) -> Result<Vec<User>> {
    Ok(tx.all::<UserRecord>(query).await?.into_iter().map(User::from).collect())
}
