//! Why the store did not do it, read from what the databases say.
//!
//! The caller learns three things only: a name is taken, the database is away, or we are
//! at fault. It must not know how any of them is answered.

use std::io;
use std::time::Duration;

use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::migrate::MigrateError;
use sqlx::sqlite::SqliteError;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another live account, or a tombstone, holds this name or address.
    #[error("{0:?} is taken")]
    Taken(Field),
    /// The database cannot be reached, is read-only or full, or took too long.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// Anything else: a fault of ours, of the settings, or of the schema.
    #[error("the database refused")]
    Refused(#[source] sqlx::Error),
}

/// What can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The username.
    Username,
    /// The e-mail address.
    Email,
}

pub(super) type Result<T> = std::result::Result<T, StoreError>;

/// What went wrong, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// Two transactions were in each other's way; the loser may simply be repeated.
    Conflict,
    Unavailable,
    Fault,
}

impl StoreError {
    /// A store call took longer than it may.
    pub(super) fn too_slow(limit: Duration) -> Self {
        let text = format!("no answer within {limit:?}");
        Self::Unavailable(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, text)))
    }

    /// What was set makes no sense.
    pub(super) fn misconfigured(text: impl Into<String>) -> Self {
        Self::Refused(sqlx::Error::Configuration(text.into().into()))
    }

    /// A row holds what no release of this program writes.
    pub(super) fn unreadable(text: impl Into<String>) -> Self {
        Self::Refused(sqlx::Error::Decode(text.into().into()))
    }

    /// Whether to repeat the transaction.
    pub(super) fn is_conflict(&self) -> bool {
        match self {
            Self::Taken(_) => false,
            Self::Unavailable(error) | Self::Refused(error) => trouble(error) == Trouble::Conflict,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if names_username(&error) {
            return Self::Taken(Field::Username);
        }
        match trouble(&error) {
            // Whoever sees a conflict sees it after the last attempt.
            Trouble::Conflict | Trouble::Unavailable => Self::Unavailable(error),
            Trouble::Fault => Self::Refused(error),
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => error.into(),
            MigrateError::ExecuteMigration(error, _) if trouble(&error) != Trouble::Fault => {
                Self::Unavailable(error)
            }
            other => Self::Refused(sqlx::Error::Migrate(Box::new(other))),
        }
    }
}

/// Addresses are not unique in the schema (imports may hold duplicates), so the username is
/// the only field that a database itself can call taken.
fn names_username(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    // SQLite names the place in the text only.
    error.kind() == ErrorKind::UniqueViolation
        && (error.constraint() == Some("users_username")
            || error.message().ends_with("users.username"))
}

fn trouble(error: &sqlx::Error) -> Trouble {
    use sqlx::Error as E;
    match error {
        E::Database(error) => match error.code() {
            Some(code) if is_sqlite(&**error) => sqlite_trouble(&code),
            Some(code) => postgres_trouble(&code),
            None => Trouble::Fault,
        },
        E::Io(_)
        | E::Tls(_)
        | E::Protocol(_)
        | E::PoolTimedOut
        | E::PoolClosed
        | E::WorkerCrashed
        | E::BeginFailed => Trouble::Unavailable,
        _ => Trouble::Fault,
    }
}

fn is_sqlite(error: &dyn DatabaseError) -> bool {
    error.try_downcast_ref::<SqliteError>().is_some()
}

/// Result codes of SQLite, in decimal; the low byte is the kind.
fn sqlite_trouble(code: &str) -> Trouble {
    match code.parse::<u32>().unwrap_or_default() {
        // Busy because of a snapshot: comes at once. Plain busy has already waited.
        517 => Trouble::Conflict,
        // Busy, locked, read-only, input/output, full, cannot open.
        code if matches!(code & 0xff, 5 | 6 | 8 | 10 | 13 | 14) => Trouble::Unavailable,
        _ => Trouble::Fault,
    }
}

/// SQLSTATE codes (PostgreSQL, appendix A); the first two signs are the class.
fn postgres_trouble(code: &str) -> Trouble {
    match code {
        // Serialisation failure, deadlock, lock timeout.
        "40001" | "40P01" | "55P03" => Trouble::Conflict,
        // Read-only transaction, unknown database, a database closed to connections (among
        // others), cancelled by timeout.
        "25006" | "3D000" | "55000" | "57014" => Trouble::Unavailable,
        // Connection, authorisation (a rotated password), resources, shutdown, system.
        _ if ["08", "28", "53", "57P", "58"].iter().any(|class| code.starts_with(class)) => {
            Trouble::Unavailable
        }
        _ => Trouble::Fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_away_or_full_is_unavailable() {
        for code in ["57P01", "53300", "25006", "57014", "08006", "28P01", "55000"] {
            assert_eq!(postgres_trouble(code), Trouble::Unavailable, "{code}");
        }
        for code in ["5", "8", "10", "13", "14", "266", "1032"] {
            assert_eq!(sqlite_trouble(code), Trouble::Unavailable, "{code}");
        }
        assert!(matches!(
            StoreError::from(sqlx::Error::PoolTimedOut),
            StoreError::Unavailable(sqlx::Error::PoolTimedOut)
        ));
    }

    #[test]
    fn a_conflict_is_repeated_and_a_fault_is_not() {
        for code in ["40001", "40P01", "55P03"] {
            assert_eq!(postgres_trouble(code), Trouble::Conflict, "{code}");
        }
        assert_eq!(sqlite_trouble("517"), Trouble::Conflict);
        for code in ["42P01", "22021", "23505", "XX000"] {
            assert_eq!(postgres_trouble(code), Trouble::Fault, "{code}");
        }
        for code in ["1", "11", "787", "2067", ""] {
            assert_eq!(sqlite_trouble(code), Trouble::Fault, "{code}");
        }
        assert!(!StoreError::Taken(Field::Email).is_conflict());
        assert!(!StoreError::from(sqlx::Error::PoolTimedOut).is_conflict());
    }

    #[test]
    fn a_cause_is_kept_and_not_repeated_in_the_message() {
        let error = StoreError::too_slow(Duration::from_secs(3));
        assert_eq!(error.to_string(), "the database is unavailable");
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert_eq!(
            source.as_deref(),
            Some("error communicating with database: no answer within 3s")
        );
    }
}
