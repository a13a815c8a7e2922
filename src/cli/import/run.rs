//! One import, page by page.
//!
//! Where it stands is noted in the store with each page, so that a run that was interrupted is
//! taken up again; a run that came to its end begins anew the next time.

use std::collections::HashMap;
use std::io::Write;

use aws_lc_rs::digest::{SHA256, digest};
use secrecy::ExposeSecret as _;

use crate::accounts::passwords::{SLOWEST_HASH, slower};
use crate::clock::Clock;
use crate::config::{Lifetime, Settings};
use crate::identity::token_digest;
use crate::model::{Deed, LoginId, Timestamp};
use crate::store::{
    DjangoRow, DjangoShape, DjangoSource, ImportCursor, ImportMode, ImportedEnd, ImportedToken,
    ImportedUser, Store,
};

use super::accept::{self, Emails};
use super::progress::Progress;
use super::report::Report;
use super::{DjangoArguments, ImportError};
use crate::cli::deeds::ShellAudit;

/// Users in a page, which is a transaction.
const PAGE: u32 = 500;

type Result<T> = std::result::Result<T, ImportError>;

/// Takes a Django database over, and writes the report to `out`.
pub async fn import(
    arguments: &DjangoArguments,
    settings: &Settings,
    store: &Store,
    clock: &Clock,
    progress: Progress,
    out: &mut impl Write,
) -> Result<()> {
    let audit = if arguments.dry_run {
        ShellAudit::off(store, clock)
    } else {
        ShellAudit::open(settings, store, clock).map_err(ImportError::Audit)?
    };
    let done = take_over(arguments, settings, (store, &audit), clock, progress, out).await;
    if let Err(error) = &done {
        audit.told(&audit.deed("user.import").by("django").failed(error.reason())).await;
    }
    done
}

async fn take_over(
    arguments: &DjangoArguments,
    settings: &Settings,
    (store, audit): (&Store, &ShellAudit),
    clock: &Clock,
    progress: Progress,
    out: &mut impl Write,
) -> Result<()> {
    let (source, shape) = DjangoSource::open(&arguments.from, arguments.tables()).await?;
    let mode = if arguments.dry_run { ImportMode::DryRun } else { ImportMode::Write };
    let emails = if arguments.verified_emails { Emails::Verified } else { Emails::Unverified };
    let expires = match settings.tokens.opaque.lifetime {
        Lifetime::Never => None,
        Lifetime::For(span) => Some(clock.now().plus(span)),
    };
    let name = cursor_name(arguments);
    let report = Report::default();
    let run = Run { source, shape, store, audit, clock, mode, emails, expires, name, report, out };
    run.all(progress).await
}

struct Run<'a, W> {
    source: DjangoSource,
    shape: DjangoShape,
    store: &'a Store,
    audit: &'a ShellAudit,
    clock: &'a Clock,
    mode: ImportMode,
    emails: Emails,
    /// When imported tokens end.
    expires: Option<Timestamp>,
    name: String,
    report: Report,
    out: &'a mut W,
}

/// How far a run came.
#[derive(Clone, Copy)]
enum Stage {
    /// The users up to this id are done.
    Users(i64),
    /// All users are, and ended tokens up to this id.
    Ended(i64),
}

impl Stage {
    fn read(text: Option<&str>) -> Self {
        let read = text.and_then(|text| text.split_once(' '));
        match read.and_then(|(stage, key)| Some((stage, key.parse().ok()?))) {
            Some(("users", key)) => Self::Users(key),
            Some(("ended", key)) => Self::Ended(key),
            _ => Self::Users(i64::MIN),
        }
    }
}

/// A run is known by where it reads from and what it does with it. The address may hold a
/// password, so its digest stands for it.
fn cursor_name(arguments: &DjangoArguments) -> String {
    let what =
        format!("{} {} {}", arguments.from, arguments.users_table, arguments.verified_emails);
    let digest = digest(&SHA256, what.as_bytes());
    format!("import.django.{}", hex::encode(digest.as_ref().get(..8).unwrap_or_default()))
}

impl<W: Write> Run<'_, W> {
    async fn all(mut self, progress: Progress) -> Result<()> {
        self.tell_what_is_missing()?;
        let mut stage = Stage::Users(i64::MIN);
        if self.mode == ImportMode::Write {
            stage = Stage::read(self.store.meta(&self.name).await?.as_deref());
            match stage {
                Stage::Users(i64::MIN) => {}
                Stage::Users(last) => writeln!(
                    self.out,
                    "an earlier run was interrupted: going on after user #{last}"
                )?,
                Stage::Ended(_) => writeln!(
                    self.out,
                    "an earlier run was interrupted: going on with the ended tokens"
                )?,
            }
            self.store.reserve_user_ids(self.shape.highest_id).await?;
        }
        let ended = match stage {
            Stage::Users(last) => {
                let done = self.users(last, progress).await;
                progress.end();
                done?;
                i64::MIN
            }
            Stage::Ended(last) => last,
        };
        if self.shape.blacklist {
            self.ended(ended).await?;
        }
        if self.mode == ImportMode::Write {
            self.store.set_meta(&self.name, None).await?;
        } else {
            writeln!(self.out, "nothing was written (--dry-run); this would be done:")?;
        }
        self.report.print(self.out)?;
        Ok(())
    }

    fn tell_what_is_missing(&mut self) -> Result<()> {
        let DjangoShape { groups, tokens, blacklist, .. } = self.shape;
        for (there, what) in [
            (groups, "groups"),
            (tokens, "opaque tokens (REST framework's authtoken)"),
            (blacklist, "ended refresh tokens (simplejwt's token_blacklist)"),
        ] {
            if !there {
                writeln!(self.out, "the source has no tables of {what}: none are read")?;
            }
        }
        Ok(())
    }

    async fn users(&mut self, mut last: i64, progress: Progress) -> Result<()> {
        let begun = self.clock.now();
        loop {
            let rows = self.source.users_after(last, PAGE).await?;
            let Some(end) = rows.last() else { return Ok(()) };
            // An id that is no number (SQLite keeps anything) sorts after all that are.
            let Some(end) = accept::key(end) else { return self.leave_out(&rows) };
            let page = self.page(&rows, last, end).await?;
            self.raise_slowest().await?;
            let value = format!("users {end}");
            let cursor = ImportCursor { name: &self.name, value: &value };
            let now = self.clock.now();
            let deed = self.audit.deed("user.import").by("django");
            let store = self.audit.noting(&deed);
            let outcomes = store.import_users(&page, cursor, self.mode, now).await?;
            self.noted(deed, outcomes.iter().filter(|outcome| outcome.is_written()).count() as u64);
            for (imported, outcome) in page.iter().zip(outcomes) {
                let id = imported.user.id.0;
                self.report.note(id, outcome, self.out)?;
                if outcome.is_written() {
                    self.report.tokens += u64::from(imported.token.is_some());
                    self.report.memberships += imported.user.groups.len() as u64;
                }
            }
            let before = self.report.read;
            self.report.read += rows.len() as u64;
            progress.show(before, self.report.read, self.shape.users, begun, self.clock.now());
            last = end;
        }
    }

    /// Reads what belongs to the users of a page.
    async fn page(
        &mut self,
        rows: &[DjangoRow],
        after: i64,
        end: i64,
    ) -> Result<Vec<ImportedUser>> {
        let now = self.clock.now();
        let mut groups = self.groups(after, end).await?;
        let mut tokens = self.tokens(after, end, now).await?;
        let mut page = Vec::with_capacity(rows.len());
        for row in rows {
            let id = accept::key(row).unwrap_or_default();
            let names = groups.remove(&id).unwrap_or_default();
            let (user, other_form) = match accept::user(row, names, self.emails, now) {
                Ok(accepted) => accepted,
                Err(reason) => {
                    self.report.invalid += 1;
                    writeln!(self.out, "user #{id}: {reason}")?;
                    continue;
                }
            };
            self.report.other_forms += u64::from(other_form);
            self.report.note_hash(user.password.expose_secret());
            self.report.emails.add(&user.email, id);
            self.report.names.add(&user.username, id);
            page.push(ImportedUser { user, token: tokens.remove(&id) });
        }
        Ok(page)
    }

    async fn groups(&mut self, after: i64, end: i64) -> Result<HashMap<i64, Vec<String>>> {
        let mut groups: HashMap<i64, Vec<String>> = HashMap::new();
        if !self.shape.groups {
            return Ok(groups);
        }
        for row in self.source.groups_of(after, end).await? {
            match accept::member(&row) {
                Ok((user, name)) => groups.entry(user).or_default().push(name),
                Err(reason) => {
                    self.report.memberships_left_out += 1;
                    writeln!(self.out, "a group of user #{}: {reason}", shown(&row))?;
                }
            }
        }
        // The databases sort by their own rules, and fingerprints are of sorted names.
        for names in groups.values_mut() {
            names.sort_unstable();
        }
        Ok(groups)
    }

    async fn tokens(
        &mut self,
        after: i64,
        end: i64,
        now: Timestamp,
    ) -> Result<HashMap<i64, ImportedToken>> {
        let mut tokens = HashMap::new();
        if !self.shape.tokens {
            return Ok(tokens);
        }
        for row in self.source.tokens_of(after, end).await? {
            let user = accept::key(&row).unwrap_or_default();
            let reason = match accept::token(&row, now) {
                Ok(_) if tokens.contains_key(&user) => "it has another token".to_owned(),
                Ok((token, created)) => {
                    let (digest, login) = (token_digest(&token), LoginId(random()));
                    let expires = self.expires;
                    tokens.insert(user, ImportedToken { digest, created, expires, login });
                    continue;
                }
                Err(reason) => reason,
            };
            self.report.tokens_left_out += 1;
            writeln!(self.out, "the token of user #{}: {reason}", shown(&row))?;
        }
        Ok(tokens)
    }

    fn leave_out(&mut self, rows: &[DjangoRow]) -> Result<()> {
        for _ in rows {
            self.report.invalid += 1;
            writeln!(self.out, "a user: the id is not a number")?;
        }
        self.report.read += rows.len() as u64;
        Ok(())
    }

    async fn ended(&mut self, mut last: i64) -> Result<()> {
        loop {
            let rows = self.source.blacklist_after(last, PAGE).await?;
            let Some(end) = rows.last().and_then(accept::key) else { return Ok(()) };
            let now = self.clock.now();
            let mut page = Vec::with_capacity(rows.len());
            for row in &rows {
                match accept::ended(row) {
                    Ok((_, _, expires)) if expires <= now => self.report.ended_expired += 1,
                    Ok((jti, user, expires)) => page.push(ImportedEnd { jti, user, expires }),
                    Err(reason) => {
                        self.report.ended_left_out += 1;
                        writeln!(self.out, "ended refresh token #{}: {reason}", shown(row))?;
                    }
                }
            }
            self.report.ended += if self.mode == ImportMode::Write {
                let value = format!("ended {end}");
                let cursor = ImportCursor { name: &self.name, value: &value };
                let deed = self.audit.deed("token.import").by("django");
                let new = self.audit.noting(&deed).import_ended(&page, cursor, now).await?;
                self.noted(deed, new);
                new
            } else {
                page.len() as u64
            };
            last = end;
        }
    }

    /// Tells of a page that was written down.
    fn noted(&self, deed: Deed, count: u64) {
        if count > 0 {
            self.audit.noted(&Deed { count: Some(count), ..deed });
        }
    }

    /// Before the first account with a slower hash is there, a failed login costs as much.
    async fn raise_slowest(&mut self) -> Result<()> {
        if self.mode == ImportMode::DryRun {
            return Ok(());
        }
        let Some(found) = &self.report.slowest else { return Ok(()) };
        let kept = self.store.meta(SLOWEST_HASH).await?;
        if slower(found, kept.as_deref().unwrap_or("!")).is_some() {
            self.store.set_meta(SLOWEST_HASH, Some(found)).await?;
        }
        Ok(())
    }
}

fn shown(row: &DjangoRow) -> String {
    accept::key(row).map_or_else(|| "?".to_owned(), |key| key.to_string())
}

/// A login's name.
///
/// # Panics
/// If the system has no randomness: nothing could be kept secret then.
fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .expect("the system's random source does not fail once seeded");
    bytes
}
