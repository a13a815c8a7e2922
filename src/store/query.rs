//! An SQL text with its values, before a database was chosen.
//!
//! Almost every statement is the same text on SQLite and PostgreSQL; the few others carry
//! both. Texts are fixed at compile time, so that no value can become SQL. It must not know
//! tables or transactions.

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::sqlite::{Sqlite, SqliteArguments};

use crate::model::{LoginId, Timestamp, TokenDigest, UserId};

/// A statement and what is bound to it.
pub(super) struct Query {
    sqlite: &'static str,
    postgres: &'static str,
    values: Vec<Value>,
    holds_nul: bool,
}

/// A bound value. A missing one keeps its type: PostgreSQL remembers a statement by its text
/// alone and would read a later value in the type of the first.
#[derive(Clone)]
pub(super) enum Value {
    Integer(Option<i64>),
    Boolean(Option<bool>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

/// What can be bound, and as what it is stored.
pub(super) trait Bind {
    /// The missing value of this type.
    const NULL: Value;

    fn value(self) -> Value;
}

/// A statement that reads the same on both databases.
pub(super) fn sql(text: &'static str) -> Query {
    sql_by(text, text)
}

/// A statement that each database wants in its own words.
pub(super) fn sql_by(sqlite: &'static str, postgres: &'static str) -> Query {
    Query { sqlite, postgres, values: Vec::new(), holds_nul: false }
}

impl Query {
    /// Binds the next of `$1`, `$2`, ….
    pub(super) fn bind(mut self, value: impl Bind) -> Self {
        let value = value.value();
        if let Value::Text(Some(text)) = &value {
            self.holds_nul |= text.contains('\0');
        }
        self.values.push(value);
        self
    }

    pub(super) fn for_sqlite(
        self,
    ) -> sqlx::Result<sqlx::query::Query<'static, Sqlite, SqliteArguments>> {
        self.check()?;
        Ok(self.values.into_iter().fold(sqlx::query(self.sqlite), |query, value| match value {
            Value::Integer(value) => query.bind(value),
            Value::Boolean(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        }))
    }

    /// `persistent`: whether the server may keep the prepared statement on this connection.
    pub(super) fn for_postgres(
        self,
        persistent: bool,
    ) -> sqlx::Result<sqlx::query::Query<'static, Postgres, PgArguments>> {
        self.check()?;
        let query = sqlx::query(self.postgres).persistent(persistent);
        Ok(self.values.into_iter().fold(query, |query, value| match value {
            Value::Integer(value) => query.bind(value),
            Value::Boolean(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        }))
    }

    /// SQLite would store a NUL character and PostgreSQL refuse it half-way: neither sees one.
    fn check(&self) -> sqlx::Result<()> {
        if self.holds_nul {
            return Err(sqlx::Error::InvalidArgument("a text holds a NUL character".to_owned()));
        }
        Ok(())
    }
}

impl Bind for i64 {
    const NULL: Value = Value::Integer(None);

    fn value(self) -> Value {
        Value::Integer(Some(self))
    }
}

impl Bind for bool {
    const NULL: Value = Value::Boolean(None);

    fn value(self) -> Value {
        Value::Boolean(Some(self))
    }
}

impl Bind for String {
    const NULL: Value = Value::Text(None);

    fn value(self) -> Value {
        Value::Text(Some(self))
    }
}

impl Bind for &str {
    const NULL: Value = Value::Text(None);

    fn value(self) -> Value {
        self.to_owned().value()
    }
}

impl Bind for &[u8] {
    const NULL: Value = Value::Bytes(None);

    fn value(self) -> Value {
        Value::Bytes(Some(self.to_vec()))
    }
}

impl<T: Bind> Bind for Option<T> {
    const NULL: Value = T::NULL;

    fn value(self) -> Value {
        self.map_or(Self::NULL, T::value)
    }
}

impl Bind for UserId {
    const NULL: Value = Value::Integer(None);

    fn value(self) -> Value {
        self.0.value()
    }
}

impl Bind for Timestamp {
    const NULL: Value = Value::Integer(None);

    fn value(self) -> Value {
        self.micros().value()
    }
}

impl Bind for LoginId {
    const NULL: Value = Value::Bytes(None);

    fn value(self) -> Value {
        self.0.as_slice().value()
    }
}

impl Bind for TokenDigest {
    const NULL: Value = Value::Bytes(None);

    fn value(self) -> Value {
        self.0.as_slice().value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_nul_never_reaches_a_database() {
        let query = || sql("SELECT $1").bind("a\0b");
        assert!(matches!(query().for_sqlite(), Err(sqlx::Error::InvalidArgument(_))));
        assert!(matches!(query().for_postgres(true), Err(sqlx::Error::InvalidArgument(_))));
        assert!(sql("SELECT $1").bind("ab").for_sqlite().is_ok());
    }

    #[test]
    fn a_missing_value_keeps_its_type() {
        assert!(matches!(None::<Timestamp>.value(), Value::Integer(None)));
        assert!(matches!(None::<LoginId>.value(), Value::Bytes(None)));
        assert!(matches!(None::<&str>.value(), Value::Text(None)));
        assert!(matches!(None::<bool>.value(), Value::Boolean(None)));
    }
}
