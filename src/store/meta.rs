//! Single values that belong to the installation and not to a replica.
//!
//! It must not know what they mean.

use super::errors::Result;
use super::handle::Store;
use super::query::sql;

impl Store {
    /// The value of this name.
    pub async fn meta(&self, name: &str) -> Result<Option<String>> {
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let query = sql("SELECT value FROM meta WHERE name = $1").bind(name);
                let found: Option<(String,)> = tx.optional(query).await?;
                tx.commit(found.map(|(value,)| value)).await
            })
            .await
    }

    /// Sets the value unless there is one, and answers the one that is there then: replicas
    /// starting at once agree.
    pub async fn ensure_meta(&self, name: &str, value: &str) -> Result<String> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let query =
                    "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
                tx.execute(sql(query).bind(name).bind(value)).await?;
                let query = sql("SELECT value FROM meta WHERE name = $1").bind(name);
                let (value,): (String,) = tx.one(query).await?;
                tx.commit(value).await
            })
            .await
    }
}
