//! Takes over users, tokens and ended JWTs from elsewhere, a page in each transaction.
//!
//! What was brought is remembered by fingerprint, so that a second run knows what changed
//! there, touches nobody who has changed here, and does not bring back what ended here. Pages
//! travel as JSON: a few statements for hundreds of rows, with fixed texts. It must not know
//! where the rows come from.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::Serialize;

use super::db::Tx;
use super::errors::{Result, StoreError};
use super::handle::Store;
use super::import_sql as text;
use super::query::sql;
use super::{logins, users};
use crate::fold::fold;
use crate::model::{LoginId, Timestamp, TokenDigest, User, UserId};

/// What a page may take: nobody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A user to be taken over.
#[derive(Debug, Clone)]
pub struct ImportedUser {
    /// The account as it is there. `generation`, `version` and `cut_at` do not count.
    pub user: User,
    /// Its opaque token.
    pub token: Option<ImportedToken>,
}

/// An opaque token to be taken over.
#[derive(Debug, Clone, Copy)]
pub struct ImportedToken {
    /// What it is known by.
    pub digest: TokenDigest,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends by itself.
    pub expires: Option<Timestamp>,
    /// What its login is to be called.
    pub login: LoginId,
}

/// A JWT that had ended there.
#[derive(Debug, Clone)]
pub struct ImportedEnd {
    /// Its name.
    pub jti: String,
    /// Whose it was, if that is known.
    pub user: Option<UserId>,
    /// Until when it would have lived.
    pub expires: Timestamp,
}

/// What became of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportOutcome {
    /// It is new here.
    Added,
    /// It had changed there, and not here, since the last run.
    Updated,
    /// The same as at the last run; whatever happened here stays.
    Unchanged,
    /// It changed there, and here as well: left as it is here.
    ChangedHere,
    /// It was deleted here since the last run: not brought back.
    DeletedHere,
    /// An account that was not imported has its id.
    IdTaken,
    /// Another account has its username, or had it.
    NameTaken,
}

impl ImportOutcome {
    /// Whether the account here was made or changed.
    #[must_use]
    pub fn is_written(self) -> bool {
        matches!(self, Self::Added | Self::Updated)
    }
}

/// Whether anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportMode {
    /// Yes.
    Write,
    /// No: only say what would be done.
    DryRun,
}

/// Where an import stands: the name of the value and what it is set to.
#[derive(Debug, Clone, Copy)]
pub struct ImportCursor<'a> {
    /// The name.
    pub name: &'a str,
    /// The value.
    pub value: &'a str,
}

impl Store {
    /// Takes over a page of users, and notes the cursor with it. One outcome for each, in order.
    pub async fn import_users(
        &self,
        page: &[ImportedUser],
        cursor: ImportCursor<'_>,
        mode: ImportMode,
        at: Timestamp,
    ) -> Result<Vec<ImportOutcome>> {
        let rows: Vec<Row> = page.iter().map(Row::new).collect();
        if mode == ImportMode::DryRun {
            let read = self.db.read_within(PATIENCE, || async {
                let mut tx = self.db.snapshot().await?;
                let outcomes = judge(&mut tx, &rows).await?;
                tx.commit(outcomes).await
            });
            return read.await;
        }
        self.db
            .write_within(PATIENCE, || async {
                let mut tx = self.db.begin().await?;
                let outcomes = judge(&mut tx, &rows).await?;
                write(&mut tx, page, &rows, &outcomes, at).await?;
                let taken = outcomes.iter().filter(|outcome| outcome.is_written()).count();
                self.note_count(&mut tx, taken as u64).await?;
                set_meta(&mut tx, cursor.name, cursor.value).await?;
                tx.commit(outcomes).await
            })
            .await
    }

    /// Takes over ended JWTs; how many were not known yet. Whoever asks about a refresh token
    /// asks the database, so nothing is logged.
    pub async fn import_ended(
        &self,
        page: &[ImportedEnd],
        cursor: ImportCursor<'_>,
        at: Timestamp,
    ) -> Result<u64> {
        #[derive(Serialize)]
        struct End<'a> {
            jti: &'a str,
            user_id: Option<i64>,
            expires: i64,
        }
        let ends = page.iter().map(|end| End {
            jti: &end.jti,
            user_id: end.user.map(|user| user.0),
            expires: end.expires.micros(),
        });
        let ends = json(&ends.collect::<Vec<_>>())?;
        self.db
            .write_within(PATIENCE, || async {
                let mut tx = self.db.begin().await?;
                let new = tx.execute(text::insert_ended().bind(&*ends).bind(at)).await?;
                self.note_count(&mut tx, new).await?;
                set_meta(&mut tx, cursor.name, cursor.value).await?;
                tx.commit(new).await
            })
            .await
    }

    /// Keeps ids up to this one for imported users: nobody who registers gets one of them.
    pub async fn reserve_user_ids(&self, highest: i64) -> Result<()> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                for query in text::reserve_ids() {
                    tx.execute(query.bind(highest)).await?;
                }
                tx.commit(()).await
            })
            .await
    }

    /// Sets a value that belongs to the installation; none removes it.
    pub async fn set_meta(&self, name: &str, value: Option<&str>) -> Result<()> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                if let Some(value) = value {
                    set_meta(&mut tx, name, value).await?;
                } else {
                    tx.execute(sql("DELETE FROM meta WHERE name = $1").bind(name)).await?;
                }
                tx.commit(()).await
            })
            .await
    }
}

/// A user as it is bound; its text without the hash of the token is the fingerprint's source.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of an account, as Django has them")]
struct Record<'a> {
    id: i64,
    username: &'a str,
    username_key: String,
    email: &'a str,
    email_key: String,
    email_verified: bool,
    password: &'a str,
    first_name: &'a str,
    last_name: &'a str,
    is_active: bool,
    is_staff: bool,
    is_superuser: bool,
    last_login: Option<i64>,
    date_joined: i64,
    #[serde(skip)]
    groups: &'a [String],
}

struct Row<'a> {
    record: Record<'a>,
    fingerprint: String,
    digest: String,
}

impl<'a> Row<'a> {
    fn new(imported: &'a ImportedUser) -> Self {
        use secrecy::ExposeSecret as _;
        let user = &imported.user;
        let record = Record {
            id: user.id.0,
            username: &user.username,
            username_key: fold(&user.username),
            email: &user.email,
            email_key: fold(&user.email),
            email_verified: user.email_verified,
            password: user.password.expose_secret(),
            first_name: &user.first_name,
            last_name: &user.last_name,
            is_active: user.is_active,
            is_staff: user.is_staff,
            is_superuser: user.is_superuser,
            last_login: user.last_login.map(Timestamp::micros),
            date_joined: user.date_joined.micros(),
            groups: &user.groups,
        };
        // Strings and numbers only: this cannot fail.
        let text = serde_json::to_vec(&(&record, &user.groups)).unwrap_or_default();
        let fingerprint = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text);
        let fingerprint = hex::encode(fingerprint.as_ref().get(..16).unwrap_or_default());
        let digest = imported.token.map(|token| hex::encode(token.digest.0)).unwrap_or_default();
        Self { record, fingerprint, digest }
    }
}

/// Compares a page with what is here.
async fn judge(tx: &mut Tx, rows: &[Row<'_>]) -> Result<Vec<ImportOutcome>> {
    let ids = json(&rows.iter().map(|row| row.record.id).collect::<Vec<_>>())?;
    let names = json(&rows.iter().map(|row| row.record.username).collect::<Vec<_>>())?;
    let here: Vec<(i64, i64, i64, String)> = tx.all(text::users_here().bind(&*ids)).await?;
    let here: HashMap<i64, (bool, String)> = here
        .into_iter()
        .map(|(id, version, generation, hash)| (id, (version == 0 && generation == 0, hash)))
        .collect();
    let brought: Vec<(i64, String, String)> = tx.all(text::brought().bind(&*ids)).await?;
    let brought: HashMap<i64, (String, String)> =
        brought.into_iter().map(|(id, print, digest)| (id, (print, digest))).collect();
    let held: Vec<(String, i64)> = tx.all(text::names_held().bind(&*names)).await?;
    let mut holders: HashMap<String, HashSet<i64>> = HashMap::new();
    for (name, id) in held {
        holders.entry(name).or_default().insert(id);
    }
    let mut outcomes = Vec::with_capacity(rows.len());
    for row in rows {
        let id = row.record.id;
        let outcome = match (here.get(&id), brought.get(&id)) {
            (None, Some(_)) => ImportOutcome::DeletedHere,
            (Some(_), None) => ImportOutcome::IdTaken,
            (Some(_), Some((print, digest)))
                if *print == row.fingerprint && *digest == row.digest =>
            {
                ImportOutcome::Unchanged
            }
            // Hashes of our own begin with `$`: somebody has logged in here.
            (Some((untouched, hash)), Some(_)) if !untouched || hash.starts_with('$') => {
                ImportOutcome::ChangedHere
            }
            (user, _) => {
                let others = holders.entry(row.record.username.to_owned()).or_default();
                if others.iter().any(|other| *other != id) {
                    ImportOutcome::NameTaken
                } else {
                    others.insert(id);
                    if user.is_some() { ImportOutcome::Updated } else { ImportOutcome::Added }
                }
            }
        };
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

async fn write(
    tx: &mut Tx,
    page: &[ImportedUser],
    rows: &[Row<'_>],
    outcomes: &[ImportOutcome],
    at: Timestamp,
) -> Result<()> {
    let with = |wanted: &[ImportOutcome]| -> Vec<usize> {
        (0..rows.len()).filter(|index| wanted.contains(&outcomes[*index])).collect()
    };
    let added = with(&[ImportOutcome::Added]);
    let updated = with(&[ImportOutcome::Updated]);
    let both = with(&[ImportOutcome::Added, ImportOutcome::Updated]);
    if both.is_empty() {
        return Ok(());
    }
    if !added.is_empty() {
        let records: Vec<_> = added.iter().map(|index| &rows[*index].record).collect();
        tx.execute(text::insert_users().bind(json(&records)?)).await?;
    }
    for index in &updated {
        update(tx, &rows[*index], at).await?;
    }
    let marks: Vec<_> = both
        .iter()
        .map(|index| &rows[*index])
        .map(|row| Mark { id: row.record.id, print: &row.fingerprint, digest: &row.digest })
        .collect();
    tx.execute(text::insert_marks().bind(json(&marks)?)).await?;

    let members: Vec<_> = both
        .iter()
        .flat_map(|index| {
            let record = &rows[*index].record;
            record.groups.iter().map(|name| Member { id: record.id, name })
        })
        .collect();
    if !members.is_empty() {
        let members = json(&members)?;
        tx.execute(text::insert_groups().bind(&*members)).await?;
        tx.execute(text::insert_members().bind(&*members)).await?;
    }

    let tokens: Vec<_> = both
        .iter()
        .filter_map(|index| {
            let (id, token) = (rows[*index].record.id, page[*index].token.as_ref()?);
            Some(Token {
                id,
                login: hex::encode(token.login.0),
                digest: hex::encode(token.digest.0),
                created: token.created.micros(),
                expires: token.expires.map(Timestamp::micros),
            })
        })
        .collect();
    if !tokens.is_empty() {
        let tokens = json(&tokens)?;
        // The same token of somebody else: he keeps it, who had it first.
        tx.execute(text::insert_logins().bind(&*tokens).bind(at)).await?;
        tx.execute(text::insert_tokens().bind(&*tokens)).await?;
    }
    Ok(())
}

/// Brings a user that nobody has touched here to what it is there now. Its old token ends.
async fn update(tx: &mut Tx, row: &Row<'_>, at: Timestamp) -> Result<()> {
    let id = UserId(row.record.id);
    let Some(user) = users::lock(tx, id).await? else { return Ok(()) };
    tx.execute(text::update_user().bind(json(&[&row.record])?)).await?;
    tx.execute(sql("DELETE FROM user_groups WHERE user_id = $1").bind(id)).await?;
    let query = sql("SELECT l.id FROM logins l JOIN opaque_tokens t ON t.login_id = l.id \
         WHERE l.user_id = $1 AND t.imported");
    let old = tx.all(query.bind(user.id)).await?;
    logins::end(tx, &logins::ids(old)?, at).await?;
    Ok(())
}

#[derive(Serialize)]
struct Mark<'a> {
    id: i64,
    print: &'a str,
    digest: &'a str,
}

#[derive(Serialize)]
struct Member<'a> {
    id: i64,
    name: &'a str,
}

#[derive(Serialize)]
struct Token {
    id: i64,
    login: String,
    digest: String,
    created: i64,
    expires: Option<i64>,
}

async fn set_meta(tx: &mut Tx, name: &str, value: &str) -> Result<()> {
    let query = sql("INSERT INTO meta (name, value) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value");
    tx.execute(query.bind(name).bind(value)).await?;
    Ok(())
}

fn json(rows: &impl Serialize) -> Result<String> {
    serde_json::to_string(rows).map_err(|_| StoreError::unreadable("a page to be imported"))
}
