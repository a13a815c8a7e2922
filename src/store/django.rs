//! Reads a Django database: users, groups, tokens, in pages by key.
//!
//! Only reads, and says so to the database. Columns are taken by name, as text: their order and
//! types depend on the database's history. What a value means, and whether it is any good,
//! is not decided here.

use std::str::FromStr;
use std::string::FromUtf8Error;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use tokio::time::timeout;

use super::django_sql::{self as text, Dialect};

/// How long one page may take, and the first connection.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the tables are called.
#[derive(Debug, Clone)]
pub struct DjangoTables {
    /// Of the users.
    pub users: String,
    /// Its column that people log in with.
    pub username: String,
    /// Of the groups.
    pub groups: String,
    /// Who is in which group.
    pub user_groups: String,
    /// REST framework's tokens.
    pub tokens: String,
    /// simplejwt's refresh tokens.
    pub outstanding: String,
    /// simplejwt's ended ones among them.
    pub blacklisted: String,
}

/// Why the database cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DjangoError {
    /// Neither SQLite nor PostgreSQL, or no such file.
    #[error("{0}")]
    Address(String),
    /// A table or a column is not what it has to be.
    #[error("{0}")]
    Schema(String),
    /// It does not answer, or refuses.
    #[error("the source database did not answer")]
    Database(#[source] sqlx::Error),
    /// It takes too long.
    #[error("the source database did not answer within {} s", PATIENCE.as_secs())]
    TooSlow,
}

type Result<T> = std::result::Result<T, DjangoError>;

/// A value as text; none for NULL and for missing columns. An error holds bytes that are no text.
pub type DjangoValue = Option<std::result::Result<String, Vec<u8>>>;

/// A row: values in the order of the columns that were asked for. Times are microseconds on
/// PostgreSQL and what SQLite holds otherwise.
pub type DjangoRow = Vec<DjangoValue>;

/// What there is to be read.
#[derive(Debug, Clone, Copy)]
pub struct DjangoShape {
    /// How many users.
    pub users: u64,
    /// The highest id that was ever given out, as far as the database knows.
    pub highest_id: i64,
    /// Whether the tables of groups are there.
    pub groups: bool,
    /// Whether the table of tokens is there.
    pub tokens: bool,
    /// Whether the tables of ended refresh tokens are there.
    pub blacklist: bool,
}

/// A Django database, open.
pub struct DjangoSource {
    connection: Source,
    tables: DjangoTables,
    user_columns: Vec<String>,
    /// The column of `user_groups` that names the user: it depends on the model's name.
    member: Option<String>,
}

enum Source {
    Sqlite(Box<SqliteConnection>),
    Postgres(Box<PgConnection>),
}

/// The columns of a user, in the order of [`DjangoSource::users_after`]; the second is called
/// [`DjangoTables::username`]. Those after the third may be missing.
pub const USER_COLUMNS: [&str; 11] = [
    "id",
    "username",
    "password",
    "email",
    "first_name",
    "last_name",
    "is_active",
    "is_staff",
    "is_superuser",
    "last_login",
    "date_joined",
];
const REQUIRED: usize = 3;

impl DjangoSource {
    /// Connects and looks at the tables.
    ///
    /// # Errors
    /// There is no such database, or its users cannot become ours.
    pub async fn open(url: &str, tables: DjangoTables) -> Result<(Self, DjangoShape)> {
        let connection = limited(connect(url)).await?;
        let mut source = Self { connection, tables, user_columns: Vec::new(), member: None };
        let shape = source.inspect().await?;
        Ok((source, shape))
    }

    async fn inspect(&mut self) -> Result<DjangoShape> {
        let (table, name) = (self.tables.users.clone(), self.tables.username.clone());
        let columns = self.columns(&table).await?;
        if columns.is_empty() {
            let hint = "is this a Django database? Another user model: --users-table";
            return Err(DjangoError::Schema(format!("there is no table {table}: {hint}")));
        }
        for needed in USER_COLUMNS.iter().take(REQUIRED) {
            let needed = if *needed == "username" { &*name } else { needed };
            if !columns.iter().any(|(column, _)| column == needed) {
                return Err(DjangoError::Schema(format!("{table} has no column {needed}")));
            }
        }
        let kind = columns.iter().find(|(column, _)| column == "id").map(|(_, kind)| kind);
        let kind = kind.map(|kind| kind.to_lowercase()).unwrap_or_default();
        if !kind.contains("int") && kind != "serial" && kind != "bigserial" {
            return Err(DjangoError::Schema(format!(
                "the ids in {table} are of type {kind}: users have integer ids here, and other \
                 ids (such as UUIDs) cannot be kept. Tokens and links name users by id, so they \
                 are not given new ones either"
            )));
        }
        self.user_columns = columns.into_iter().map(|(column, _)| column).collect();

        let members = self.columns(&self.tables.user_groups.clone()).await?;
        let is_member = |column: &&String| column.ends_with("_id") && *column != "group_id";
        self.member = members.iter().map(|(column, _)| column).find(is_member).cloned();
        let groups = self.has(&self.tables.groups.clone()).await? && self.member.is_some();
        let tokens = self.has(&self.tables.tokens.clone()).await?;
        let blacklist = self.has(&self.tables.outstanding.clone()).await?
            && self.has(&self.tables.blacklisted.clone()).await?;
        let dialect = self.dialect();
        let users = self.number(text::count(dialect, &table), None).await?;
        let highest = self.number(text::highest_id(dialect, &table), None).await?;
        let given = match dialect {
            // Kept only where the column is AUTOINCREMENT, as Django's are.
            Dialect::Sqlite if !self.has("sqlite_sequence").await? => 0,
            _ => self.number(text::last_given_id(dialect).to_owned(), Some(&table)).await?,
        };
        Ok(DjangoShape {
            users: users.unsigned_abs(),
            highest_id: highest.max(given),
            groups,
            tokens,
            blacklist,
        })
    }

    /// Users in the order of their ids, from the one after `after`.
    pub async fn users_after(&mut self, after: i64, limit: u32) -> Result<Vec<DjangoRow>> {
        let columns = USER_COLUMNS.map(|column| match column {
            "username" => Some(self.tables.username.as_str()),
            column => self.user_columns.iter().map(String::as_str).find(|has| *has == column),
        });
        let query = text::users_after(self.dialect(), &self.tables.users, &columns);
        self.rows(query, &[after, i64::from(limit)], USER_COLUMNS.len()).await
    }

    /// (user id, group name) of the users after `after` up to `last`.
    pub async fn groups_of(&mut self, after: i64, last: i64) -> Result<Vec<DjangoRow>> {
        let Some(member) = &self.member else { return Ok(Vec::new()) };
        let (groups, join) = (&self.tables.groups, &self.tables.user_groups);
        let query = text::groups_of(self.dialect(), groups, join, member);
        self.rows(query, &[after, last], 2).await
    }

    /// (user id, key, created) of the tokens of the users after `after` up to `last`.
    pub async fn tokens_of(&mut self, after: i64, last: i64) -> Result<Vec<DjangoRow>> {
        let query = text::tokens_of(self.dialect(), &self.tables.tokens);
        self.rows(query, &[after, last], 3).await
    }

    /// (id, jti, user id, expires) of ended refresh tokens, from the one after `after`.
    pub async fn blacklist_after(&mut self, after: i64, limit: u32) -> Result<Vec<DjangoRow>> {
        let (ended, all) = (&self.tables.blacklisted, &self.tables.outstanding);
        let query = text::blacklist_after(self.dialect(), ended, all);
        self.rows(query, &[after, i64::from(limit)], 4).await
    }

    fn dialect(&self) -> Dialect {
        match self.connection {
            Source::Sqlite(_) => Dialect::Sqlite,
            Source::Postgres(_) => Dialect::Postgres,
        }
    }

    async fn has(&mut self, table: &str) -> Result<bool> {
        Ok(!self.columns(table).await?.is_empty())
    }

    /// Names and types of a table's columns; none if there is no such table.
    async fn columns(&mut self, table: &str) -> Result<Vec<(String, String)>> {
        let query = text::columns(self.dialect());
        match &mut self.connection {
            Source::Sqlite(connection) => {
                let query = sqlx::query_as(query).bind(table.to_owned());
                limited(query.fetch_all(&mut **connection)).await
            }
            Source::Postgres(connection) => {
                let query = sqlx::query_as(query).bind(text::quoted(Dialect::Postgres, table));
                limited(query.fetch_all(&mut **connection)).await
            }
        }
    }

    async fn number(&mut self, query: String, table: Option<&str>) -> Result<i64> {
        let query = AssertSqlSafe(query);
        let found: Option<(i64,)> = match &mut self.connection {
            Source::Sqlite(connection) => {
                let query = sqlx::query_as(query);
                let query =
                    if let Some(table) = table { query.bind(table.to_owned()) } else { query };
                limited(query.fetch_optional(&mut **connection)).await?
            }
            Source::Postgres(connection) => {
                let query = sqlx::query_as(query);
                let name = table.map(|table| text::quoted(Dialect::Postgres, table));
                let query = if let Some(name) = name { query.bind(name) } else { query };
                limited(query.fetch_optional(&mut **connection)).await?
            }
        };
        Ok(found.map_or(0, |(number,)| number))
    }

    async fn rows(&mut self, query: String, keys: &[i64], width: usize) -> Result<Vec<DjangoRow>> {
        let query = AssertSqlSafe(query);
        match &mut self.connection {
            Source::Sqlite(connection) => {
                let query = keys.iter().fold(sqlx::query(query), |query, key| query.bind(*key));
                let rows = limited(query.fetch_all(&mut **connection)).await?;
                rows.iter().map(|row| from_sqlite(row, width)).collect()
            }
            Source::Postgres(connection) => {
                let query = keys.iter().fold(sqlx::query(query), |query, key| query.bind(*key));
                let rows = limited(query.fetch_all(&mut **connection)).await?;
                rows.iter().map(|row| from_postgres(row, width)).collect()
            }
        }
    }
}

async fn connect(url: &str) -> std::result::Result<Source, sqlx::Error> {
    if url.starts_with("sqlite:") {
        let options = SqliteConnectOptions::from_str(url)?;
        let options = options.read_only(true).create_if_missing(false).disable_statement_logging();
        return Ok(Source::Sqlite(Box::new(options.connect().await?)));
    }
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        let text = "the source is neither sqlite:///path/to/db.sqlite3 nor postgres://…";
        return Err(sqlx::Error::Configuration(text.into()));
    }
    let options = PgConnectOptions::from_str(url)?.application_name("portcullis import");
    let options = options.disable_statement_logging();
    let mut connection = options.connect().await?;
    sqlx::raw_sql("SET default_transaction_read_only = on").execute(&mut connection).await?;
    connection.ping().await?;
    Ok(Source::Postgres(Box::new(connection)))
}

async fn limited<T>(work: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
    match timeout(PATIENCE, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sqlx::Error::Configuration(error))) => Err(DjangoError::Address(error.to_string())),
        Ok(Err(error)) => Err(DjangoError::Database(error)),
        Err(_) => Err(DjangoError::TooSlow),
    }
}

fn from_sqlite(row: &SqliteRow, width: usize) -> Result<DjangoRow> {
    let value = |at| {
        let bytes: Option<Vec<u8>> = row.try_get(at).map_err(DjangoError::Database)?;
        Ok(bytes.map(|bytes| String::from_utf8(bytes).map_err(FromUtf8Error::into_bytes)))
    };
    (0..width).map(value).collect()
}

fn from_postgres(row: &PgRow, width: usize) -> Result<DjangoRow> {
    let value = |at| {
        let text: Option<String> = row.try_get(at).map_err(DjangoError::Database)?;
        Ok(text.map(Ok))
    };
    (0..width).map(value).collect()
}
