//! Word from PostgreSQL that the log has grown.
//!
//! Sent inside the transaction that appends, so it comes when that commits and not otherwise.
//! Listening takes a connection of its own, past any pooler: behind one the word would land
//! in another client's query. It must not know what is done about it.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use super::db::{Db, Sharing};
use super::errors::{Result, StoreError};
use super::handle::Store;

/// The channel; each database has its own of that name. `log::append` sends to it.
const CHANNEL: &str = "portcullis_log";

const PATIENCE: Duration = Duration::from_secs(3);

/// After so much silence the connection is asked whether it is alive.
const SILENCE: Duration = Duration::from_secs(5);

/// Hints that the log has grown.
pub struct LogHints(PgListener);

impl Store {
    /// Whether the database can tell that the log has grown.
    #[must_use]
    pub fn gives_hints(&self) -> bool {
        match &self.db {
            Db::Sqlite { .. } => false,
            Db::Postgres { sharing, .. } => {
                *sharing == Sharing::Own || !self.options.direct_url.is_empty()
            }
        }
    }

    /// Listens. What was said before is lost.
    ///
    /// # Errors
    /// The database is away, or can give no hints.
    pub async fn log_hints(&self) -> Result<LogHints> {
        if !self.gives_hints() {
            return Err(StoreError::misconfigured("this database gives no hints"));
        }
        let url = match self.options.direct_url.as_str() {
            "" => &self.options.url,
            direct => direct,
        };
        let options = PgConnectOptions::from_str(url)?.application_name("portcullis hints");
        let listen = async {
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .acquire_timeout(PATIENCE)
                .max_lifetime(None)
                .idle_timeout(None)
                .connect_lazy_with(options);
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(CHANNEL).await?;
            Ok(LogHints(listener))
        };
        limited(listen).await
    }
}

impl LogHints {
    /// Waits for the next hint. A connection that is lost and found again is one.
    ///
    /// # Errors
    /// The connection is lost: to be made anew.
    pub async fn next(&mut self) -> Result<()> {
        loop {
            if let Ok(heard) = tokio::time::timeout(SILENCE, self.0.try_recv()).await {
                return heard.map(drop).map_err(StoreError::from);
            }
            let alive = async {
                sqlx::query("SELECT 1").execute(&mut self.0).await?;
                Ok(())
            };
            limited(alive).await?;
        }
    }
}

async fn limited<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(StoreError::too_slow(PATIENCE)))
}
