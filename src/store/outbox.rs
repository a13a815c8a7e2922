//! The outbox: mails that a transaction promised, until they are sent.
//!
//! Only purpose, user and address are kept. Links are made when a mail is sent, so no token
//! ever lies here. It must not know what a mail says or how it is sent.

use std::time::Duration;

use sqlx::FromRow;

use super::db::Tx;
use super::errors::{Result, StoreError};
use super::handle::Store;
use super::query::{sql, sql_by};
use crate::model::{MailPurpose, Site, Timestamp, UserId};

/// A mail to be sent after the transaction that it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct NewMail<'a> {
    /// What it is for.
    pub purpose: MailPurpose,
    /// Whom it is about. Nobody writes to a user that is gone.
    pub user: UserId,
    /// Where it goes. Without an address there is no mail.
    pub address: &'a str,
    /// Where its links lead, as far as the request decides it.
    pub site: Option<&'a Site>,
}

/// A mail that was taken to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Names it to [`Store::mail_done`] and [`Store::mail_retry`].
    pub id: i64,
    /// What it is for.
    pub purpose: MailPurpose,
    /// Whom it is about.
    pub user: UserId,
    /// Where it goes.
    pub address: String,
    /// Where its links lead, as far as the request decided it.
    pub site: Option<Site>,
    /// When it was promised.
    pub created: Timestamp,
    /// How often it was taken, this time included.
    pub attempts: i64,
}

/// What waits to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outbox {
    /// How many mails.
    pub entries: u64,
    /// When the first of them was promised.
    pub oldest: Option<Timestamp>,
}

impl Store {
    /// How much waits to be sent, and since when.
    pub async fn outbox(&self) -> Result<Outbox> {
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let query = sql("SELECT count(*), min(created) FROM outbox");
                let (entries, oldest): (i64, Option<i64>) = tx.one(query).await?;
                let oldest = oldest.map(Timestamp::from_micros);
                tx.commit(Outbox { entries: entries.unsigned_abs(), oldest }).await
            })
            .await
    }

    /// Promises mails that no other transaction promises, all or none of them.
    pub async fn enqueue_mail(&self, mails: &[NewMail<'_>], at: Timestamp) -> Result<()> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                for mail in mails {
                    enqueue(&mut tx, mail, at).await?;
                }
                self.note(&mut tx).await?;
                tx.commit(()).await
            })
            .await
    }

    /// Takes mails that are due, the longest due first, and hides them from other replicas for
    /// `lease`. Whoever takes a mail and dies leaves it to the next.
    pub async fn take_mail(&self, limit: u32, lease: Duration, at: Timestamp) -> Result<Vec<Mail>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let query = sql_by(
                    "UPDATE outbox SET due = $2, attempts = attempts + 1 WHERE id IN \
                     (SELECT id FROM outbox WHERE due <= $1 ORDER BY due, id LIMIT $3) \
                     RETURNING id, purpose, user_id, address, scheme, host, created, attempts",
                    // Mails that another replica is taking right now are passed over. As a list:
                    // a sub-select in its place may be run more than once.
                    "UPDATE outbox SET due = $2, attempts = attempts + 1 WHERE id = ANY (ARRAY \
                     (SELECT id FROM outbox WHERE due <= $1 ORDER BY due, id LIMIT $3 \
                     FOR UPDATE SKIP LOCKED)) \
                     RETURNING id, purpose, user_id, address, scheme, host, created, attempts",
                );
                let query = query.bind(at).bind(at.plus(lease)).bind(i64::from(limit));
                let records: Vec<MailRecord> = tx.all(query).await?;
                let mails: Result<Vec<_>> = records.into_iter().map(Mail::try_from).collect();
                let mut mails = mails?;
                mails.sort_unstable_by_key(|mail| mail.id);
                tx.commit(mails).await
            })
            .await
    }

    /// Forgets a mail: it was sent, or given up.
    pub async fn mail_done(&self, id: i64) -> Result<()> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                tx.execute(sql("DELETE FROM outbox WHERE id = $1").bind(id)).await?;
                tx.commit(()).await
            })
            .await
    }

    /// Puts a mail off until `due`.
    pub async fn mail_retry(&self, id: i64, due: Timestamp) -> Result<()> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let query = sql("UPDATE outbox SET due = $2 WHERE id = $1");
                tx.execute(query.bind(id).bind(due)).await?;
                tx.commit(()).await
            })
            .await
    }
}

/// Promises a mail; it is in the outbox when the transaction is committed.
pub(super) async fn enqueue(tx: &mut Tx, mail: &NewMail<'_>, at: Timestamp) -> Result<()> {
    if mail.address.is_empty() {
        return Ok(());
    }
    // Nobody writes to a user that is gone by now; locked, so that it cannot go meanwhile.
    let query = sql_by(
        "INSERT INTO outbox (purpose, user_id, address, scheme, host, created, due) \
         SELECT $1, id, $3, $4, $5, $6, $7 FROM users WHERE id = $2",
        "INSERT INTO outbox (purpose, user_id, address, scheme, host, created, due) \
         SELECT $1, id, $3, $4, $5, $6, $7 FROM users WHERE id = $2 FOR KEY SHARE",
    );
    let query = query.bind(purpose_text(mail.purpose)).bind(mail.user).bind(mail.address);
    let query = query.bind(mail.site.map(|site| site.scheme.as_str()));
    let query = query.bind(mail.site.map(|site| site.host.as_str()));
    tx.execute(query.bind(at).bind(at)).await?;
    Ok(())
}

#[derive(FromRow)]
struct MailRecord {
    id: i64,
    purpose: String,
    user_id: i64,
    address: String,
    scheme: Option<String>,
    host: Option<String>,
    created: i64,
    attempts: i64,
}

impl TryFrom<MailRecord> for Mail {
    type Error = StoreError;

    fn try_from(record: MailRecord) -> Result<Self> {
        let purpose = read_purpose(&record.purpose).ok_or_else(|| {
            StoreError::unreadable(format!("a mail for the purpose {:?}", record.purpose))
        })?;
        Ok(Self {
            id: record.id,
            purpose,
            user: UserId(record.user_id),
            address: record.address,
            site: record.scheme.zip(record.host).map(|(scheme, host)| Site { scheme, host }),
            created: Timestamp::from_micros(record.created),
            attempts: record.attempts,
        })
    }
}

fn purpose_text(purpose: MailPurpose) -> &'static str {
    match purpose {
        MailPurpose::PasswordReset => "password_reset",
        MailPurpose::UsernameReset => "username_reset",
        MailPurpose::Activation => "activation",
        MailPurpose::Confirmation => "confirmation",
        MailPurpose::PasswordChanged => "password_changed",
        MailPurpose::UsernameChanged => "username_changed",
    }
}

fn read_purpose(text: &str) -> Option<MailPurpose> {
    Some(match text {
        "password_reset" => MailPurpose::PasswordReset,
        "username_reset" => MailPurpose::UsernameReset,
        "activation" => MailPurpose::Activation,
        "confirmation" => MailPurpose::Confirmation,
        "password_changed" => MailPurpose::PasswordChanged,
        "username_changed" => MailPurpose::UsernameChanged,
        _ => return None,
    })
}
