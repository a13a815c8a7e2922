//! What is left in the audit log, in its lines and in the database's table: who did what to
//! whom, and no secret.
//!
//! Each test takes a [`place::Place`] and is run on SQLite and on PostgreSQL by `on_each!` at
//! the end of its file. Whatever is told in lines must be in the table, word for word.

/// Runs each test on both databases.
macro_rules! on_each {
    ($($test:ident,)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                crate::audit::place::on_sqlite(super::$test).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                crate::audit::place::on_postgres(super::$test).await;
            })*
        }
    };
}

mod place;

mod requests;

mod shell;

mod table;
