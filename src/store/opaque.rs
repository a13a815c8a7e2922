//! Opaque tokens, by their digests: the token itself is stored nowhere.
//!
//! It must not know how a token is made, read or checked.

use sqlx::FromRow;

use super::db::Tx;
use super::errors::{Result, StoreError};
use super::handle::Store;
use super::logins::{self, LoginRecord, login_columns};
use super::query::sql;
use super::users::{self, UserRecord, user_columns};
use crate::model::{LogEntry, Login, LoginId, LoginKind, Timestamp, TokenDigest, User, UserId};

/// An opaque token to be stored with its login.
#[derive(Debug, Clone, Copy)]
pub struct NewOpaque {
    /// The login's name.
    pub login: LoginId,
    /// Whose it is.
    pub user: UserId,
    /// What the token is known by.
    pub digest: TokenDigest,
    /// What a derived token was made of (`tokens.opaque.scope = "user"`); none for a random one.
    pub seed: Option<[u8; 16]>,
    /// When it ends by itself.
    pub expires: Option<Timestamp>,
}

/// What came of logging in with an opaque token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpaqueLogin {
    /// The login whose token is to be handed out.
    pub login: LoginId,
    /// What that token is known by.
    pub digest: TokenDigest,
    /// What a derived token is made of: the user's one live token, if there was one, or the
    /// new one.
    pub seed: Option<[u8; 16]>,
    /// Logins that ended, because they were too many.
    pub entries: Vec<LogEntry>,
}

/// What an opaque token leads to.
#[derive(Debug, Clone)]
pub struct OpaqueRow {
    /// The login that it belongs to.
    pub login: Login,
    /// Its owner.
    pub user: User,
}

impl Store {
    /// Stores the token, and ends the user's oldest opaque logins beyond `max_per_user` (at
    /// least the new one stays). A token with a seed is stored only if the user has none that
    /// is live; otherwise that one is noted as used and answered.
    ///
    /// `None`: a cut overtook the login (the user is gone, inactive, or its generation is no
    /// longer `generation`), and nothing was stored.
    pub async fn log_in_opaque(
        &self,
        new: NewOpaque,
        generation: i64,
        max_per_user: u32,
        set_last_login: bool,
        at: Timestamp,
    ) -> Result<Option<OpaqueLogin>> {
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                if !logins::may_log_in(&mut tx, new.user, generation).await? {
                    return tx.commit(None).await;
                }
                if set_last_login {
                    users::note_login(&mut tx, new.user, at).await?;
                }
                if new.seed.is_some()
                    && let Some(live) = live_seeded(&mut tx, new.user, at).await?
                {
                    let query = sql("UPDATE logins SET last_used = $2 WHERE id = $1");
                    tx.execute(query.bind(live.login).bind(at)).await?;
                    self.note(&mut tx).await?;
                    return tx.commit(Some(live)).await;
                }
                insert(&mut tx, &new, generation, at).await?;
                let surplus = surplus(&mut tx, &new, max_per_user).await?;
                let entries = logins::end(&mut tx, &surplus, at).await?;
                let NewOpaque { login, digest, seed, .. } = new;
                self.note(&mut tx).await?;
                tx.commit(Some(OpaqueLogin { login, digest, seed, entries })).await
            })
            .await
    }

    /// The seed of the user's one live derived token (`tokens.opaque.scope = "user"`).
    pub async fn user_token_seed(&self, user: UserId, at: Timestamp) -> Result<Option<[u8; 16]>> {
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let live = live_seeded(&mut tx, user, at).await?;
                tx.commit(live.and_then(|live| live.seed)).await
            })
            .await
    }

    /// What a token leads to, whether or not it is still good.
    pub async fn opaque(&self, digest: TokenDigest) -> Result<Option<OpaqueRow>> {
        self.find_opaque(digest, false).await
    }

    /// The same for a token without our check sum: only an imported one can be good. Others
    /// were minted under another root secret, and end with it.
    pub async fn imported_opaque(&self, digest: TokenDigest) -> Result<Option<OpaqueRow>> {
        self.find_opaque(digest, true).await
    }

    async fn find_opaque(
        &self,
        digest: TokenDigest,
        imported_only: bool,
    ) -> Result<Option<OpaqueRow>> {
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let query = sql(concat!(
                    "SELECT ",
                    login_columns!(),
                    ", ",
                    user_columns!(),
                    " FROM opaque_tokens t JOIN logins l ON l.id = t.login_id \
                     JOIN users u ON u.id = l.user_id \
                     WHERE t.digest = $1 AND (t.imported OR NOT $2)"
                ));
                let query = query.bind(digest).bind(imported_only);
                let record: Option<OpaqueRecord> = tx.optional(query).await?;
                tx.commit(record.map(OpaqueRow::try_from).transpose()?).await
            })
            .await
    }

    /// Whether any token without a check sum (an imported one) may exist.
    pub async fn has_imported_tokens(&self) -> Result<bool> {
        self.db
            .read(|| async {
                let mut tx = self.db.snapshot().await?;
                let query = sql("SELECT login_id FROM opaque_tokens WHERE imported LIMIT 1");
                let imported: Option<(Vec<u8>,)> = tx.optional(query).await?;
                tx.commit(imported.is_some()).await
            })
            .await
    }
}

#[derive(FromRow)]
struct OpaqueRecord {
    #[sqlx(flatten)]
    login: LoginRecord,
    #[sqlx(flatten)]
    user: UserRecord,
}

impl TryFrom<OpaqueRecord> for OpaqueRow {
    type Error = StoreError;

    fn try_from(record: OpaqueRecord) -> Result<Self> {
        Ok(Self { login: record.login.try_into()?, user: record.user.into() })
    }
}

#[derive(FromRow)]
struct SeededRecord {
    login_id: Vec<u8>,
    digest: Vec<u8>,
    seed: Vec<u8>,
}

impl TryFrom<SeededRecord> for OpaqueLogin {
    type Error = StoreError;

    fn try_from(record: SeededRecord) -> Result<Self> {
        let unreadable = || StoreError::unreadable("a derived token");
        Ok(Self {
            login: logins::read_id(&record.login_id).ok_or_else(unreadable)?,
            digest: TokenDigest(record.digest.try_into().map_err(|_| unreadable())?),
            seed: Some(record.seed.try_into().map_err(|_| unreadable())?),
            entries: Vec::new(),
        })
    }
}

async fn live_seeded(tx: &mut Tx, user: UserId, at: Timestamp) -> Result<Option<OpaqueLogin>> {
    let query = sql("SELECT t.login_id, t.digest, t.seed FROM logins l \
         JOIN opaque_tokens t ON t.login_id = l.id \
         WHERE l.user_id = $1 AND t.seed IS NOT NULL AND (l.expires IS NULL OR l.expires > $2) \
         ORDER BY l.created DESC, l.id LIMIT 1");
    let record: Option<SeededRecord> = tx.optional(query.bind(user).bind(at)).await?;
    record.map(OpaqueLogin::try_from).transpose()
}

async fn insert(tx: &mut Tx, new: &NewOpaque, generation: i64, at: Timestamp) -> Result<()> {
    let login = Login {
        id: new.login,
        user: new.user,
        kind: LoginKind::Opaque,
        generation,
        created: at,
        last_used: at,
        expires: new.expires,
    };
    logins::insert(tx, &login).await?;
    let query = sql("INSERT INTO opaque_tokens (digest, login_id, seed) VALUES ($1, $2, $3)");
    let seed = new.seed.as_ref().map(<[u8; 16]>::as_slice);
    tx.execute(query.bind(new.digest).bind(new.login).bind(seed)).await?;
    Ok(())
}

/// The oldest opaque logins beyond `max_per_user`, the new one counted and never among them.
async fn surplus(tx: &mut Tx, new: &NewOpaque, max_per_user: u32) -> Result<Vec<LoginId>> {
    let query = sql("SELECT id FROM logins WHERE user_id = $1 AND kind = 'opaque' AND id <> $2 \
         ORDER BY created DESC, id LIMIT 1000 OFFSET $3");
    let others = i64::from(max_per_user.saturating_sub(1));
    let found = tx.all(query.bind(new.user).bind(new.login).bind(others)).await?;
    logins::ids(found)
}
