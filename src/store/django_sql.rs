//! The statements that read a Django database, whose tables' names come from the operator.
//!
//! Names are quoted, so that none can become SQL. Every value comes as text (SQLite: as the
//! bytes of it, since it does not check that they are text). It must not know what is read.

/// The source's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// A table's or a column's name, quoted. On PostgreSQL a dot stands between schema and table.
pub(super) fn quoted(dialect: Dialect, name: &str) -> String {
    let quote = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    match dialect {
        Dialect::Sqlite => quote(name),
        Dialect::Postgres => name.split('.').map(quote).collect::<Vec<_>>().join("."),
    }
}

pub(super) fn columns(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "SELECT name, type FROM pragma_table_info(?1)",
        Dialect::Postgres => {
            "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute \
             WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped"
        }
    }
}

pub(super) fn count(dialect: Dialect, table: &str) -> String {
    format!("SELECT count(*) FROM {}", quoted(dialect, table))
}

pub(super) fn highest_id(dialect: Dialect, table: &str) -> String {
    let (table, kind) = (quoted(dialect, table), integer(dialect));
    format!("SELECT CAST(coalesce(max(id), 0) AS {kind}) FROM {table}")
}

/// Of the table that is bound.
pub(super) fn last_given_id(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "SELECT seq FROM sqlite_sequence WHERE name = ?1",
        Dialect::Postgres => {
            "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence($1, 'id')::regclass), 0)"
        }
    }
}

/// `columns` in their order (sorted by `t.id`: a bare `id` would be the text on PostgreSQL); NULL stands for one that is missing.
pub(super) fn users_after(dialect: Dialect, table: &str, columns: &[Option<&str>]) -> String {
    let values: Vec<_> = columns
        .iter()
        .map(|column| match column {
            None => missing(dialect).to_owned(),
            Some(name) if is_time(name) => time(dialect, &quoted(dialect, name)),
            Some(name) => value(dialect, &quoted(dialect, name)),
        })
        .collect();
    let (values, table) = (values.join(", "), quoted(dialect, table));
    format!("SELECT {values} FROM {table} t WHERE t.id > $1 ORDER BY t.id LIMIT $2")
}

pub(super) fn groups_of(dialect: Dialect, groups: &str, join: &str, member: &str) -> String {
    let (groups, join) = (quoted(dialect, groups), quoted(dialect, join));
    let member = format!("m.{}", quoted(dialect, member));
    let (user, name) = (value(dialect, &member), value(dialect, "g.name"));
    format!(
        "SELECT {user}, {name} FROM {join} m JOIN {groups} g ON g.id = m.group_id \
         WHERE {member} > $1 AND {member} <= $2 ORDER BY {member}"
    )
}

pub(super) fn tokens_of(dialect: Dialect, table: &str) -> String {
    let (user, key) = (value(dialect, "user_id"), value(dialect, "\"key\""));
    let (created, table) = (time(dialect, "created"), quoted(dialect, table));
    format!(
        "SELECT {user}, {key}, {created} FROM {table} t \
         WHERE t.user_id > $1 AND t.user_id <= $2 ORDER BY t.user_id, t.created"
    )
}

pub(super) fn blacklist_after(dialect: Dialect, ended: &str, all: &str) -> String {
    let (id, jti) = (value(dialect, "b.id"), value(dialect, "o.jti"));
    let (user, expires) = (value(dialect, "o.user_id"), time(dialect, "o.expires_at"));
    let (ended, all) = (quoted(dialect, ended), quoted(dialect, all));
    format!(
        "SELECT {id}, {jti}, {user}, {expires} FROM {ended} b JOIN {all} o ON o.id = b.token_id \
         WHERE b.id > $1 ORDER BY b.id LIMIT $2"
    )
}

fn is_time(column: &str) -> bool {
    matches!(column, "last_login" | "date_joined")
}

fn value(dialect: Dialect, column: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("CAST({column} AS BLOB)"),
        Dialect::Postgres => format!("{column}::text"),
    }
}

/// Microseconds since 1970 on PostgreSQL, whose text depends on the session.
fn time(dialect: Dialect, column: &str) -> String {
    match dialect {
        Dialect::Sqlite => value(dialect, column),
        Dialect::Postgres => format!("(extract(epoch FROM {column}) * 1000000)::bigint::text"),
    }
}

fn missing(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "CAST(NULL AS BLOB)",
        Dialect::Postgres => "NULL::text",
    }
}

fn integer(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "INTEGER",
        Dialect::Postgres => "bigint",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_become_sql() {
        assert_eq!(quoted(Dialect::Sqlite, r#"a"; DROP TABLE x"#), r#""a""; DROP TABLE x""#);
        assert_eq!(quoted(Dialect::Postgres, r#"my."u"#), r#""my"."""u""#);
    }
}
