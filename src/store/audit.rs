//! The audit log as a table: who did what to whom.
//!
//! A deed that changes rows is written by the transaction that changes them, so that neither is
//! there without the other ([`Store::noting`]); what changes none is written by itself. It must
//! not know which deeds there are, nor which are worth telling.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use super::db::Tx;
use super::errors::{Result, StoreError};
use super::handle::Store;
use super::query::sql;
use crate::model::{Actor, Deed, LogEntry, Person, Target, Timestamp, User, UserId};

/// Deeds in a page that is looked through. So many and not so many that are found: whatever is
/// looked for, no statement takes long.
const PAGE: i64 = 5_000;

/// What a page may take, be it read or written, in statements that each keep to the database's own
/// limits: no request waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which deeds are looked for; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct DeedFilter {
    /// Done by or to this user.
    pub user: Option<UserId>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Of this kind.
    pub action: Option<String>,
}

impl Store {
    /// The same store, with or without an audit log. Without, all about it does nothing.
    #[must_use]
    pub fn with_audit_log(mut self, keeps: bool) -> Self {
        self.keeps_audit_log = keeps;
        self
    }

    /// A handle for one call: the transaction of what is done by it writes these deeds as well.
    /// One that finds nothing to change (no entries, `None`, `false`) writes none.
    #[must_use]
    pub fn noting(&self, deeds: &[Deed]) -> Self {
        let store = self.clone();
        if self.keeps_audit_log { Self { deeds: deeds.into(), ..store } } else { store }
    }

    /// Writes deeds that changed nothing else.
    pub async fn write_deeds(&self, deeds: &[Deed]) -> Result<()> {
        if deeds.is_empty() || !self.keeps_audit_log {
            return Ok(());
        }
        self.db
            .write_within(PATIENCE, || async {
                let mut tx = self.db.begin().await?;
                for deed in deeds {
                    insert(&mut tx, deed).await?;
                }
                tx.commit(()).await
            })
            .await
    }

    /// A page of what was done, the earliest first: what of it is looked for, and where the next
    /// page begins. `None`: there is nothing after that.
    pub async fn deeds_after(
        &self,
        after: i64,
        filter: &DeedFilter,
    ) -> Result<Option<(i64, Vec<Deed>)>> {
        let since = filter.since.map_or(i64::MIN, Timestamp::micros);
        self.db
            .read_within(PATIENCE, || async {
                let mut tx = self.db.snapshot().await?;
                let next = sql("SELECT min(number) FROM audit_log WHERE number > $1").bind(after);
                let (next,): (Option<i64>,) = tx.one(next).await?;
                let Some(first) = next else { return tx.commit(None).await };
                let last = first.saturating_add(PAGE - 1);
                let query = match filter.user {
                    None => sql(select!("")),
                    Some(_) => sql(select!("AND (user_id = $5 OR actor_id = $6)")),
                };
                let query = query.bind(first).bind(last).bind(since);
                let query = query.bind(filter.action.as_deref());
                let query = match filter.user {
                    None => query,
                    Some(user) => query.bind(user).bind(user.to_string()),
                };
                let records: Vec<DeedRecord> = tx.all(query).await?;
                let deeds: Result<Vec<_>> = records.into_iter().map(Deed::try_from).collect();
                tx.commit(Some((last, deeds?))).await
            })
            .await
    }

    /// Who has this name, or was the last to have it.
    pub async fn holder_of(&self, username: &str) -> Result<Option<UserId>> {
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let query = sql("SELECT id FROM users WHERE username = $1 UNION ALL \
                     SELECT user_id FROM used_names WHERE name = $1 LIMIT 1");
                let found: Option<(i64,)> = tx.optional(query.bind(username)).await?;
                tx.commit(found.map(|(id,)| UserId(id))).await
            })
            .await
    }

    /// Writes what this handle notes.
    pub(super) async fn note(&self, tx: &mut Tx) -> Result<()> {
        for deed in &*self.deeds {
            insert(tx, deed).await?;
        }
        Ok(())
    }

    /// The same, unless the transaction changed nothing.
    pub(super) async fn note_changes(&self, tx: &mut Tx, entries: &[LogEntry]) -> Result<()> {
        if entries.is_empty() { Ok(()) } else { self.note(tx).await }
    }

    /// The same, where only the transaction knows whom it is about.
    pub(super) async fn note_about(&self, tx: &mut Tx, user: &User) -> Result<()> {
        for deed in &*self.deeds {
            insert(tx, &deed.clone().to(user)).await?;
        }
        Ok(())
    }

    /// The same, where only the transaction knows how many it is about; not if it is about none.
    pub(super) async fn note_count(&self, tx: &mut Tx, count: u64) -> Result<()> {
        for deed in self.deeds.iter().filter(|_| count > 0) {
            insert(tx, &Deed { count: Some(count), ..deed.clone() }).await?;
        }
        Ok(())
    }
}

macro_rules! select {
    ($more:literal) => {
        concat!(
            "SELECT number, at, action, reason, means, actor, actor_id, actor_name, user_id, \
             user_name, address, request_id, detail FROM audit_log \
             WHERE number BETWEEN $1 AND $2 AND at >= $3 AND ($4 IS NULL OR action = $4) ",
            $more,
            " ORDER BY number"
        )
    };
}
use select;

/// What has no column of its own.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Detail {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

async fn insert(tx: &mut Tx, deed: &Deed) -> Result<()> {
    let (actor, person) = match &deed.actor {
        Actor::User(person) => ("user", Some(person)),
        Actor::Anonymous => ("anonymous", None),
        Actor::Shell(person) => ("shell", person.as_ref()),
    };
    let detail = (deed.key.is_some() || deed.count.is_some()).then(|| {
        let detail = Detail { key: deed.key.clone(), count: deed.count };
        // A string and a number: this cannot fail.
        serde_json::to_string(&detail).unwrap_or_default()
    });
    let target = deed.target.as_ref();
    let query = sql("INSERT INTO audit_log (at, action, reason, means, actor, actor_id, \
         actor_name, user_id, user_name, address, request_id, detail) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)");
    let query = query.bind(deed.at).bind(&*deed.action);
    let query = query.bind(deed.failure.as_deref()).bind(deed.means.as_deref()).bind(actor);
    let query = query.bind(person.map(|person| storable(&person.id)));
    let query = query.bind(person.and_then(|person| person.name.as_deref()).map(storable));
    let query = query.bind(target.map(|target| target.id));
    let query = query.bind(target.and_then(|target| target.name.as_deref()).map(storable));
    let query = query.bind(deed.client.as_deref());
    let query = query.bind(deed.request_id.as_deref().map(storable)).bind(detail);
    tx.execute(query).await?;
    Ok(())
}

/// Names of foreign issuers' users may hold anything, and no database takes a NUL: one of them
/// must not keep the others of its transaction from being written.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[derive(FromRow)]
struct DeedRecord {
    number: i64,
    at: i64,
    action: String,
    reason: Option<String>,
    means: Option<String>,
    actor: Option<String>,
    actor_id: Option<String>,
    actor_name: Option<String>,
    user_id: Option<i64>,
    user_name: Option<String>,
    address: Option<String>,
    request_id: Option<String>,
    detail: Option<String>,
}

impl TryFrom<DeedRecord> for Deed {
    type Error = StoreError;

    fn try_from(record: DeedRecord) -> Result<Self> {
        let unreadable =
            || StoreError::unreadable(format!("entry {} of the audit log", record.number));
        let name = record.actor_name;
        let person = record.actor_id.map(|id| Person { id, name });
        let actor = match record.actor.as_deref() {
            Some("user") => Actor::User(person.ok_or_else(unreadable)?),
            Some("anonymous") => Actor::Anonymous,
            Some("shell") => Actor::Shell(person),
            _ => return Err(unreadable()),
        };
        let detail = record.detail.as_deref().map(serde_json::from_str::<Detail>).transpose();
        let detail = detail.map_err(|_| unreadable())?.unwrap_or_default();
        let name = record.user_name;
        Ok(Self {
            at: Timestamp::from_micros(record.at),
            action: Cow::Owned(record.action),
            failure: record.reason.map(Cow::Owned),
            means: record.means.map(Cow::Owned),
            actor,
            target: record.user_id.map(|id| Target { id: UserId(id), name }),
            key: detail.key,
            count: detail.count,
            client: record.address,
            request_id: record.request_id,
        })
    }
}
