//! The numbered log: what ended and what changed, for every replica to follow.
//!
//! Entries are appended inside the transaction that makes the change, so that neither exists
//! without the other. It must not know who follows, nor what they do about an entry.

use std::time::Duration;

use sqlx::FromRow;

use super::db::{self, Tx, within};
use super::errors::{Result, StoreError};
use super::handle::Store;
use super::logins::read_id;
use super::query::sql_by;
use crate::model::{Change, CutReason, LogEntry, LoginId, Timestamp, UserId};

/// A place in the log. Good as long as the process only: keep it in memory.
///
/// On SQLite it is the next number: there is one writer at a time, so entries become visible
/// in order. On PostgreSQL transactions overlap and numbers do not, so it is the number of a
/// transaction: the oldest that was still running when the log was read. Whatever could not
/// be seen then belongs to it or to a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub i64);

/// How many entries one statement reads.
const PAGE: i64 = 5_000;

/// How long reading the log may take, whatever its length: a replica that starts reads it all.
const PATIENCE: Duration = Duration::from_secs(30);

/// What each step of that may take: a follower on a connection that went dead without a word
/// would otherwise hear of nothing for as long as the longest log takes.
const STEP: Duration = db::PATIENCE;

impl Cursor {
    /// Before the first entry.
    pub const START: Self = Self(0);
}

impl Store {
    /// What may have become visible since `cursor`, and the next cursor. Entries can come
    /// twice and in any order, never not at all.
    pub async fn log_since(&self, cursor: Cursor) -> Result<(Vec<LogEntry>, Cursor)> {
        self.db
            .read_within(PATIENCE, || async {
                let mut tx =
                    within(STEP, Box::pin(async { Ok(self.db.snapshot().await?) })).await?;
                // First the cursor, then the rows: see `Cursor`.
                let next = within(STEP, Box::pin(next_cursor(&mut tx))).await?;
                // A database that was restored or moved counts anew.
                let from = if next < cursor { Cursor::START } else { cursor };
                let entries = entries_from(&mut tx, from).await?;
                within(STEP, Box::pin(tx.commit((entries, next)))).await
            })
            .await
    }
}

/// Writes an entry; it is there when the transaction is committed.
pub(super) async fn append(tx: &mut Tx, change: Change, at: Timestamp) -> Result<LogEntry> {
    let row = Row::from(&change);
    let query = sql_by(
        "INSERT INTO change_log (kind, login_id, jti, user_id, generation, version, reason, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        // Whoever listens hears of it at the commit (`hints`).
        "INSERT INTO change_log (kind, login_id, jti, user_id, generation, version, reason, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         RETURNING pg_notify('portcullis_log', '')::text",
    );
    let query = query.bind(row.kind).bind(row.login).bind(row.jti).bind(row.user);
    let query = query.bind(row.generation).bind(row.version).bind(row.reason).bind(at);
    tx.execute(query).await?;
    Ok(LogEntry { change, at })
}

async fn next_cursor(tx: &mut Tx) -> Result<Cursor> {
    let query = sql_by(
        // Not the highest number, which goes back when the log is compacted.
        "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'change_log'",
        "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
    );
    let (next,): (i64,) = tx.one(query).await?;
    Ok(Cursor(next))
}

async fn entries_from(tx: &mut Tx, from: Cursor) -> Result<Vec<LogEntry>> {
    let mut entries = Vec::new();
    let mut last = 0;
    loop {
        let query = sql_by(
            "SELECT number, kind, login_id, jti, user_id, generation, version, reason, at \
             FROM change_log WHERE number >= $1 AND number > $2 ORDER BY number LIMIT $3",
            "SELECT number, kind, login_id, jti, user_id, generation, version, reason, at \
             FROM change_log WHERE xact >= $1 AND number > $2 ORDER BY number LIMIT $3",
        );
        let query = query.bind(from.0).bind(last).bind(PAGE);
        let page: Vec<EntryRecord> =
            within(STEP, Box::pin(async { Ok(tx.all(query).await?) })).await?;
        let Some(end) = page.last() else { return Ok(entries) };
        last = end.number;
        let is_last = i64::try_from(page.len()).is_ok_and(|length| length < PAGE);
        for record in page {
            entries.push(record.try_into()?);
        }
        if is_last {
            return Ok(entries);
        }
    }
}

/// The columns of a change.
#[derive(Default)]
struct Row<'a> {
    kind: &'static str,
    login: Option<LoginId>,
    jti: Option<&'a str>,
    user: Option<UserId>,
    generation: Option<i64>,
    version: Option<i64>,
    reason: Option<&'static str>,
}

impl<'a> From<&'a Change> for Row<'a> {
    fn from(change: &'a Change) -> Self {
        match change {
            Change::LoginEnded { login } => {
                Self { kind: "login_ended", login: Some(*login), ..Self::default() }
            }
            Change::TokenEnded { jti } => {
                Self { kind: "token_ended", jti: Some(jti), ..Self::default() }
            }
            Change::UserCut { user, generation, reason } => Self {
                kind: "user_cut",
                user: Some(*user),
                generation: Some(*generation),
                reason: Some(reason_text(*reason)),
                ..Self::default()
            },
            Change::ProfileChanged { user, version } => Self {
                kind: "profile_changed",
                user: Some(*user),
                version: Some(*version),
                ..Self::default()
            },
        }
    }
}

#[derive(FromRow)]
struct EntryRecord {
    number: i64,
    kind: String,
    login_id: Option<Vec<u8>>,
    jti: Option<String>,
    user_id: Option<i64>,
    generation: Option<i64>,
    version: Option<i64>,
    reason: Option<String>,
    at: i64,
}

impl TryFrom<EntryRecord> for LogEntry {
    type Error = StoreError;

    /// Fails on a kind that only a newer release knows. Passing over it could let something
    /// live that has ended; failing makes this replica stop vouching for anything.
    fn try_from(record: EntryRecord) -> Result<Self> {
        let unreadable = || {
            let (number, kind) = (record.number, &record.kind);
            StoreError::unreadable(format!("entry {number} of the log, {kind:?}"))
        };
        let user = record.user_id.map(UserId);
        let change = match record.kind.as_str() {
            "login_ended" => record
                .login_id
                .as_deref()
                .and_then(read_id)
                .map(|login| Change::LoginEnded { login }),
            "token_ended" => record.jti.clone().map(|jti| Change::TokenEnded { jti }),
            "user_cut" => user
                .zip(record.generation)
                .zip(record.reason.as_deref().and_then(read_reason))
                .map(|((user, generation), reason)| Change::UserCut { user, generation, reason }),
            "profile_changed" => user
                .zip(record.version)
                .map(|(user, version)| Change::ProfileChanged { user, version }),
            _ => None,
        };
        let change = change.ok_or_else(unreadable)?;
        Ok(Self { change, at: Timestamp::from_micros(record.at) })
    }
}

fn reason_text(reason: CutReason) -> &'static str {
    match reason {
        CutReason::LoggedOut => "logged_out",
        CutReason::PasswordChanged => "password_changed",
        CutReason::UserInactive => "user_inactive",
        CutReason::UserDeleted => "user_deleted",
    }
}

fn read_reason(text: &str) -> Option<CutReason> {
    Some(match text {
        "logged_out" => CutReason::LoggedOut,
        "password_changed" => CutReason::PasswordChanged,
        "user_inactive" => CutReason::UserInactive,
        "user_deleted" => CutReason::UserDeleted,
        _ => return None,
    })
}
