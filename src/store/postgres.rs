//! PostgreSQL 13 or newer, directly or through a pooler.
//!
//! sqlx sets no limit of its own on a server that stands still, and would let half-dead
//! connections use up the pool; every setting here answers such a case. It must not know
//! tables.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

use super::db::{Access, Db, Sharing};
use super::errors::{Result, StoreError};

/// Of one gateway, for calls. Listening takes one more.
pub(super) const CONNECTIONS: u32 = 8;

/// How long a call waits for a connection. Below the patience of a store call.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long a connection may take to prove itself alive when it comes back.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(300);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// `pg_current_xact_id`, which the numbered log goes by, is that young.
const OLDEST_VERSION: i64 = 130_000;

/// Prepares the pool; the first call connects, so that a server may come later than we do.
pub(super) fn open(url: &str, sharing: Sharing, access: Access) -> Result<Db> {
    let options = match sharing {
        Sharing::Own => parse(url)?.options([
            ("statement_timeout", "1500ms"),
            ("lock_timeout", "1s"),
            ("idle_in_transaction_session_timeout", "10s"),
        ]),
        // A pooler refuses unknown parameters at connect; the limits are set in each transaction.
        Sharing::PerTransaction => parse(url)?.statement_cache_capacity(0).extra_float_digits(None),
    };
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(true)
        .max_lifetime(Duration::from_mins(30))
        .idle_timeout(Duration::from_mins(10))
        // Before sqlx's own test, which waits without end: a connection whose query was given up
        // would take its place in the pool with it.
        .after_release(|connection, _| {
            Box::pin(async move {
                let alive = tokio::time::timeout(RELEASE_TIMEOUT, connection.ping()).await;
                Ok(matches!(alive, Ok(Ok(()))))
            })
        })
        .connect_lazy_with(options);
    Ok(Db::Postgres { pool, sharing, access })
}

/// A connection of its own for the migrations: their lock belongs to it, and if they fail,
/// only closing it gives the lock back.
pub(super) async fn connect_to_migrate(url: &str) -> Result<PgConnection> {
    let options = parse(url)?.options([("lock_timeout", "30s")]);
    let connect = tokio::time::timeout(CONNECT_TIMEOUT, async {
        let mut connection = options.connect().await?;
        check_version(&mut connection).await?;
        Ok(connection)
    });
    connect.await.unwrap_or_else(|_| Err(StoreError::too_slow(CONNECT_TIMEOUT)))
}

async fn check_version(connection: &mut PgConnection) -> Result<()> {
    let ask = sqlx::query_as("SELECT current_setting('server_version_num')::bigint");
    let (version,): (i64,) = ask.fetch_one(connection).await?;
    if version < OLDEST_VERSION {
        let found = version / 10_000;
        let text = format!("PostgreSQL 13 or newer is needed, this server is version {found}");
        return Err(StoreError::misconfigured(text));
    }
    Ok(())
}

fn parse(url: &str) -> Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(url)?;
    Ok(options.application_name("portcullis").disable_statement_logging())
}
