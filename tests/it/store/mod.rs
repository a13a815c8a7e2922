//! What the store promises, on SQLite and on PostgreSQL alike, through PgBouncer too.
//!
//! Each test takes a [`place::Place`], an empty database of its own, and is run once for each
//! way to a database by `on_each!` at the end of its file. A test that is not named there is
//! dead code, which the lints refuse.

/// Runs each test on both databases, and on PostgreSQL through a pooler as well.
macro_rules! on_each {
    ($($test:ident,)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                crate::store::place::on_sqlite(super::$test).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                crate::store::place::on_postgres(super::$test).await;
            })*
        }
        mod pgbouncer {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                crate::store::place::on_pgbouncer(super::$test).await;
            })*
        }
    };
}

mod place;

mod users;

mod names;

mod profile;

mod passwords;

mod logins;

mod opaque;

mod log;

mod outbox;

mod keys;

mod database;
