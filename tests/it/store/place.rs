//! An empty database for one test, and the things that tests put into it.

use portcullis::model::{
    Change, CutReason, LogEntry, Login, LoginId, LoginKind, Timestamp, TokenDigest, User, UserId,
};
use portcullis::store::{
    Cursor, DatabaseOptions, Field, NameRules, NewOpaque, NewUser, Store, StoreError,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::servers::PostgresDatabase;

/// The product's defaults.
pub(super) const STRICT: NameRules = NameRules { unique_email: true, reuse_usernames: false };

/// Django's.
pub(super) const LAX: NameRules = NameRules { unique_email: false, reuse_usernames: true };

/// A database of which a test may open any number of handles, as replicas do.
pub(super) struct Place {
    pub(super) options: DatabaseOptions,
}

impl Place {
    fn at(url: String) -> Self {
        Self { options: DatabaseOptions { url, direct_url: String::new(), pooler: false } }
    }

    /// A migrated store on the database.
    pub(super) async fn store(&self) -> Store {
        let store = self.open().await;
        store.migrate().await.unwrap();
        store
    }

    /// A store as it is opened, without schema.
    pub(super) async fn open(&self) -> Store {
        Store::open(&self.options).await.unwrap()
    }

    /// Past any pooler.
    fn url(&self) -> &str {
        let DatabaseOptions { url, direct_url, .. } = &self.options;
        if direct_url.is_empty() { url } else { direct_url }
    }

    /// Runs commands past the store.
    pub(super) async fn execute(&self, commands: &str) {
        let url = self.url();
        let commands = sqlx::raw_sql(AssertSqlSafe(commands));
        if url.starts_with("sqlite:") {
            let mut connection = SqliteConnection::connect(url).await.unwrap();
            commands.execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        } else {
            let mut connection = PgConnection::connect(url).await.unwrap();
            commands.execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }

    /// Counts rows past the store.
    pub(super) async fn count(&self, table: &str) -> i64 {
        let url = self.url();
        let query = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let (count,): (i64,) = if url.starts_with("sqlite:") {
            let mut connection = SqliteConnection::connect(url).await.unwrap();
            sqlx::query_as(query).fetch_one(&mut connection).await.unwrap()
        } else {
            let mut connection = PgConnection::connect(url).await.unwrap();
            sqlx::query_as(query).fetch_one(&mut connection).await.unwrap()
        };
        count
    }
}

pub(super) async fn on_sqlite(test: impl AsyncFn(&Place)) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("portcullis.db").display());
    Box::pin(test(&Place::at(url))).await;
}

pub(super) async fn on_postgres(test: impl AsyncFn(&Place)) {
    let database = PostgresDatabase::create().await;
    Box::pin(test(&Place::at(database.url()))).await;
    database.remove().await;
}

/// Through a pooler that gives connections out for one transaction each, and has only two.
pub(super) async fn on_pgbouncer(test: impl AsyncFn(&Place)) {
    let database = PostgresDatabase::create().await;
    let (url, direct_url) = (database.pooled_url(), database.url());
    let options = DatabaseOptions { url, direct_url, pooler: true };
    Box::pin(test(&Place { options })).await;
    database.remove().await;
}

/// A moment: so many seconds after the tests' beginning of time.
pub(super) fn second(number: i64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + number)
}

/// An active account without rights.
pub(super) fn plain<'a>(username: &'a str, email: &'a str) -> NewUser<'a> {
    NewUser {
        username,
        email,
        password: "hash",
        is_active: true,
        is_staff: false,
        is_superuser: false,
        email_verified: false,
    }
}

/// Registers an active account at second 0.
pub(super) async fn register(store: &Store, username: &str, email: &str) -> User {
    store.create_user(plain(username, email), STRICT, None, None, second(0)).await.unwrap()
}

/// A token that nobody else has, with its login.
pub(super) fn token(user: UserId, number: u8) -> NewOpaque {
    NewOpaque {
        login: LoginId([number; 16]),
        user,
        digest: TokenDigest([number; 32]),
        seed: None,
        expires: None,
    }
}

/// A login for a family of JWTs, of the user's first generation.
pub(super) fn jwt_login(user: UserId, number: u8) -> Login {
    Login {
        id: LoginId([number; 16]),
        user,
        kind: LoginKind::Jwt,
        generation: 0,
        created: second(0),
        last_used: second(0),
        expires: Some(second(86_400)),
    }
}

/// Logs in with an opaque token that must be accepted, at second `number`.
pub(super) async fn log_in(store: &Store, user: UserId, number: u8) -> NewOpaque {
    let new = token(user, number);
    let at = second(i64::from(number));
    assert!(store.log_in_opaque(new, 0, 100, false, at).await.unwrap().is_some());
    new
}

/// Everything in the log.
pub(super) async fn whole_log(store: &Store) -> Vec<LogEntry> {
    store.log_since(Cursor::START).await.unwrap().0
}

pub(super) fn login_ended(login: LoginId, at: Timestamp) -> LogEntry {
    LogEntry { change: Change::LoginEnded { login }, at }
}

pub(super) fn user_cut(
    user: UserId,
    generation: i64,
    reason: CutReason,
    at: Timestamp,
) -> LogEntry {
    LogEntry { change: Change::UserCut { user, generation, reason }, at }
}

pub(super) fn profile_changed(user: UserId, version: i64, at: Timestamp) -> LogEntry {
    LogEntry { change: Change::ProfileChanged { user, version }, at }
}

/// What was taken, if that is why it failed.
pub(super) fn taken<T>(outcome: &Result<T, StoreError>) -> Option<Field> {
    match outcome {
        Err(StoreError::Taken(field)) => Some(*field),
        _ => None,
    }
}

/// Everything about a user but the moments and the hash, to be compared at once.
pub(super) fn sketch(user: &User) -> (i64, &str, &str, bool, [bool; 3], i64, i64) {
    let flags = [user.is_active, user.is_staff, user.is_superuser];
    (
        user.id.0,
        &user.username,
        &user.email,
        user.email_verified,
        flags,
        user.generation,
        user.version,
    )
}
