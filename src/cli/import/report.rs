//! What an import tells: each row that was left out at once, the sums at the end.
//!
//! It must not decide anything. No hash and no token is ever shown.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::accounts::passwords::{format_name, slower};
use crate::store::ImportOutcome;

use super::duplicates::Duplicates;

/// How many groups of duplicates are named; the others are counted.
const NAMED: usize = 20;

/// The sums so far.
#[derive(Default)]
pub(super) struct Report {
    pub(super) read: u64,
    outcomes: BTreeMap<&'static str, u64>,
    pub(super) invalid: u64,
    pub(super) formats: BTreeMap<&'static str, u64>,
    pub(super) other_forms: u64,
    pub(super) tokens: u64,
    pub(super) tokens_left_out: u64,
    pub(super) memberships: u64,
    pub(super) memberships_left_out: u64,
    pub(super) ended: u64,
    pub(super) ended_expired: u64,
    pub(super) ended_left_out: u64,
    pub(super) emails: Duplicates,
    pub(super) names: Duplicates,
    /// A stand-in for the slowest hash.
    pub(super) slowest: Option<String>,
}

impl Report {
    pub(super) fn note_hash(&mut self, hash: &str) {
        let name = match format_name(hash) {
            "unusable" if hash.starts_with('!') => "none (unusable)",
            "unusable" => "unknown",
            name => name,
        };
        *self.formats.entry(name).or_default() += 1;
        if let Some(found) = slower(hash, self.slowest.as_deref().unwrap_or("!")) {
            self.slowest = Some(found);
        }
    }

    /// Counts, and tells what did not come over.
    pub(super) fn note(
        &mut self,
        id: i64,
        outcome: ImportOutcome,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let (name, reason) = match outcome {
            ImportOutcome::Added => ("new", None),
            ImportOutcome::Updated => ("updated", None),
            ImportOutcome::Unchanged => ("unchanged", None),
            ImportOutcome::ChangedHere => {
                ("left as they are here", Some("it changed there, but was used or changed here"))
            }
            ImportOutcome::DeletedHere => ("deleted here", Some("it was deleted here")),
            ImportOutcome::IdTaken => {
                ("skipped", Some("an account that was not imported has this id here"))
            }
            ImportOutcome::NameTaken => {
                ("skipped", Some("another account here has this username, or had it"))
            }
        };
        *self.outcomes.entry(name).or_default() += 1;
        match reason {
            Some(reason) => writeln!(out, "user #{id}: {reason}"),
            None => Ok(()),
        }
    }

    /// The sums.
    pub(super) fn print(self, out: &mut impl Write) -> io::Result<()> {
        let outcomes: Vec<_> =
            self.outcomes.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let invalid = (self.invalid > 0).then(|| format!("{} invalid", self.invalid));
        let outcomes: Vec<_> = outcomes.into_iter().chain(invalid).collect();
        writeln!(out, "users: {} read{}", self.read, listed(&outcomes))?;
        let formats: Vec<_> =
            self.formats.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(out, "password hashes{}", listed(&formats))?;
        if self.formats.contains_key("unknown") {
            writeln!(out, "  unknown hashes fit no password: their users must reset it")?;
        }
        if self.other_forms > 0 {
            let count = self.other_forms;
            writeln!(out, "usernames: {count} brought into Unicode form NFKC")?;
        }
        let left =
            |count: u64| if count > 0 { format!(", {count} left out") } else { String::new() };
        writeln!(
            out,
            "group memberships: {}{}",
            self.memberships,
            left(self.memberships_left_out)
        )?;
        writeln!(out, "opaque tokens: {}{}", self.tokens, left(self.tokens_left_out))?;
        let (ended, expired) = (self.ended, self.ended_expired);
        let rest = left(self.ended_left_out);
        writeln!(out, "ended refresh tokens: {ended} new, {expired} had expired{rest}")?;
        let emails = self.emails.groups();
        duplicates("e-mail addresses of several accounts", &emails, out)?;
        duplicates("usernames that differ in spelling only", &self.names.groups(), out)
    }
}

fn listed(parts: &[String]) -> String {
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
}

fn duplicates(what: &str, groups: &[Vec<i64>], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{what}: {}", groups.len())?;
    for group in groups.iter().take(NAMED) {
        let ids: Vec<_> = group.iter().take(NAMED).map(|id| format!("#{id}")).collect();
        let more = if group.len() > NAMED { ", …" } else { "" };
        writeln!(out, "  users {}{more}", ids.join(", "))?;
    }
    if groups.len() > NAMED {
        writeln!(out, "  and {} more", groups.len() - NAMED)?;
    }
    Ok(())
}
