//! Logins: acts of logging in, on which opaque tokens and families of JWTs hang.
//!
//! Ending one is a deletion and an entry in the log. It must not know what a token looks like.

use sqlx::FromRow;

use super::db::Tx;
use super::errors::{Result, StoreError};
use super::handle::Store;
use super::query::sql;
use super::{log, users};
use crate::model::{Change, LogEntry, Login, LoginId, LoginKind, Timestamp, UserId};

/// How many of a user's logins are listed.
const LISTED: i64 = 1_000;

impl Store {
    /// Stores the login of a family of JWTs. `false`: a cut overtook it (the user is gone,
    /// inactive, or its generation is no longer the login's), and nothing was stored.
    pub async fn log_in_jwt(
        &self,
        login: &Login,
        set_last_login: bool,
        at: Timestamp,
    ) -> Result<bool> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                if !may_log_in(&mut tx, login.user, login.generation).await? {
                    return tx.commit(false).await;
                }
                insert(&mut tx, login).await?;
                if set_last_login {
                    users::note_login(&mut tx, login.user, at).await?;
                }
                self.note(&mut tx).await?;
                tx.commit(true).await
            })
            .await
    }

    /// The login of this name.
    pub async fn login(&self, id: LoginId) -> Result<Option<Login>> {
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let query = concat!("SELECT ", login_columns!(), " FROM logins l WHERE l.id = $1");
                let record: Option<LoginRecord> = tx.optional(sql(query).bind(id)).await?;
                tx.commit(record.map(Login::try_from).transpose()?).await
            })
            .await
    }

    /// A user's logins, the latest first; at most a thousand.
    pub async fn logins_of(&self, user: UserId) -> Result<Vec<Login>> {
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let query = concat!(
                    "SELECT ",
                    login_columns!(),
                    " FROM logins l WHERE l.user_id = $1 ORDER BY l.created DESC, l.id LIMIT $2"
                );
                let records: Vec<LoginRecord> = tx.all(sql(query).bind(user).bind(LISTED)).await?;
                let logins: Result<Vec<_>> = records.into_iter().map(Login::try_from).collect();
                tx.commit(logins?).await
            })
            .await
    }

    /// Notes that a login is in use; never backwards, as replicas' clocks differ.
    pub async fn touch_login(&self, id: LoginId, at: Timestamp) -> Result<()> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let query =
                    sql("UPDATE logins SET last_used = $2 WHERE id = $1 AND last_used < $2");
                tx.execute(query.bind(id).bind(at)).await?;
                tx.commit(()).await
            })
            .await
    }

    /// A login whose tokens are renewed lives as long as the newest of them.
    pub async fn extend_login(&self, id: LoginId, until: Timestamp, at: Timestamp) -> Result<()> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                extend(&mut tx, id, until, at).await?;
                tx.commit(()).await
            })
            .await
    }

    /// Ends one login. No entries: there was none of this name.
    pub async fn end_login(&self, id: LoginId, at: Timestamp) -> Result<Vec<LogEntry>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let entries = end(&mut tx, &[id], at).await?;
                self.note_changes(&mut tx, &entries).await?;
                tx.commit(entries).await
            })
            .await
    }

    /// Ends one login if it is this user's. No entries: the user has none of this name.
    pub async fn end_login_of(
        &self,
        user: UserId,
        id: LoginId,
        at: Timestamp,
    ) -> Result<Vec<LogEntry>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let query = sql("SELECT id FROM logins WHERE id = $1 AND user_id = $2");
                let found = tx.all(query.bind(id).bind(user)).await?;
                let entries = end(&mut tx, &ids(found)?, at).await?;
                self.note_changes(&mut tx, &entries).await?;
                tx.commit(entries).await
            })
            .await
    }

    /// Ends all of a user's logins but one.
    pub async fn end_other_logins(
        &self,
        user: UserId,
        but: Option<LoginId>,
        at: Timestamp,
    ) -> Result<Vec<LogEntry>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let query = sql("SELECT id FROM logins WHERE user_id = $1 ORDER BY created, id");
                let mut others = ids(tx.all(query.bind(user)).await?)?;
                others.retain(|login| Some(*login) != but);
                let entries = end(&mut tx, &others, at).await?;
                self.note_changes(&mut tx, &entries).await?;
                tx.commit(entries).await
            })
            .await
    }

    /// Ends all of a user's logins that hand out opaque tokens.
    pub async fn end_opaque_logins(&self, user: UserId, at: Timestamp) -> Result<Vec<LogEntry>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let query = sql("SELECT id FROM logins \
                     WHERE user_id = $1 AND kind = 'opaque' ORDER BY created, id");
                let found = tx.all(query.bind(user)).await?;
                let entries = end(&mut tx, &ids(found)?, at).await?;
                self.note_changes(&mut tx, &entries).await?;
                tx.commit(entries).await
            })
            .await
    }
}

/// The columns of a [`LoginRecord`], from a table called `l`.
macro_rules! login_columns {
    () => {
        "l.id AS login_id, l.user_id AS login_user, l.kind AS login_kind, \
         l.generation AS login_generation, l.created AS login_created, \
         l.last_used AS login_last_used, l.expires AS login_expires"
    };
}
pub(super) use login_columns;

/// A row of `login_columns`; prefixed, so that it can stand beside a user's.
#[derive(FromRow)]
pub(super) struct LoginRecord {
    #[sqlx(rename = "login_id")]
    id: Vec<u8>,
    #[sqlx(rename = "login_user")]
    user: i64,
    #[sqlx(rename = "login_kind")]
    kind: String,
    #[sqlx(rename = "login_generation")]
    generation: i64,
    #[sqlx(rename = "login_created")]
    created: i64,
    #[sqlx(rename = "login_last_used")]
    last_used: i64,
    #[sqlx(rename = "login_expires")]
    expires: Option<i64>,
}

impl TryFrom<LoginRecord> for Login {
    type Error = StoreError;

    fn try_from(record: LoginRecord) -> Result<Self> {
        let kind = match record.kind.as_str() {
            "opaque" => LoginKind::Opaque,
            "jwt" => LoginKind::Jwt,
            other => return Err(StoreError::unreadable(format!("a login of kind {other:?}"))),
        };
        Ok(Self {
            id: read_id(&record.id).ok_or_else(|| StoreError::unreadable("a login's name"))?,
            user: UserId(record.user),
            kind,
            generation: record.generation,
            created: Timestamp::from_micros(record.created),
            last_used: Timestamp::from_micros(record.last_used),
            expires: record.expires.map(Timestamp::from_micros),
        })
    }
}

/// Reads the sixteen bytes of a login's name.
pub(super) fn read_id(bytes: &[u8]) -> Option<LoginId> {
    bytes.try_into().ok().map(LoginId)
}

/// The names in rows of one column.
pub(super) fn ids(rows: Vec<(Vec<u8>,)>) -> Result<Vec<LoginId>> {
    let read =
        |(id,): (Vec<u8>,)| read_id(&id).ok_or_else(|| StoreError::unreadable("a login's name"));
    rows.into_iter().map(read).collect()
}

/// Locks the user and says whether its credentials of this generation are still good.
pub(super) async fn may_log_in(tx: &mut Tx, user: UserId, generation: i64) -> Result<bool> {
    let user = users::lock(tx, user).await?;
    Ok(user.is_some_and(|user| user.is_active && user.generation == generation))
}

pub(super) async fn insert(tx: &mut Tx, login: &Login) -> Result<()> {
    let kind = match login.kind {
        LoginKind::Opaque => "opaque",
        LoginKind::Jwt => "jwt",
    };
    let query =
        sql("INSERT INTO logins (id, user_id, kind, generation, created, last_used, expires) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)");
    let query = query.bind(login.id).bind(login.user).bind(kind).bind(login.generation);
    let query = query.bind(login.created).bind(login.last_used).bind(login.expires);
    tx.execute(query).await?;
    Ok(())
}

/// Moves a login's end on and notes that it is in use; neither ever moves back.
pub(super) async fn extend(
    tx: &mut Tx,
    id: LoginId,
    until: Timestamp,
    at: Timestamp,
) -> Result<()> {
    let later = sql("UPDATE logins SET expires = $2 WHERE id = $1 AND expires < $2");
    tx.execute(later.bind(id).bind(until)).await?;
    let used = sql("UPDATE logins SET last_used = $2 WHERE id = $1 AND last_used < $2");
    tx.execute(used.bind(id).bind(at)).await?;
    Ok(())
}

/// Ends logins; an entry for each that was still there.
pub(super) async fn end(tx: &mut Tx, logins: &[LoginId], at: Timestamp) -> Result<Vec<LogEntry>> {
    let mut entries = Vec::with_capacity(logins.len());
    for login in logins {
        let query = sql("DELETE FROM logins WHERE id = $1").bind(*login);
        if tx.execute(query).await? > 0 {
            entries.push(log::append(tx, Change::LoginEnded { login: *login }, at).await?);
        }
    }
    Ok(entries)
}
