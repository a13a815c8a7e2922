//! `portcullis audit`: who did what to whom, out of the database's audit log.
//!
//! The earliest first, page by page, so that any number of entries can be read. It must not
//! change anything.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::UNIX_EPOCH;

use clap::Args;

use super::user::{plain, time};
use crate::accounts::names;
use crate::config::Period;
use crate::model::{Actor, Deed, Timestamp, UserId};
use crate::store::{DeedFilter, Store, StoreError};
use crate::telemetry::audit_line;

/// Which entries, and how they are shown.
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// Done by or to this user: the username, or # and the number
    #[arg(long, value_name = "NAME|#ID")]
    user: Option<String>,
    /// Not before: 2026-01-31, 2026-01-31T08:00:00Z, or so long ago: 90m, 24h, 7d
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// Of this kind, such as user.delete
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// One JSON object a line, as `server.audit_log` has them
    #[arg(long)]
    json: bool,
}

/// A moment, or so long before now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    At(Timestamp),
    Ago(Period),
}

/// Why nothing is shown; the exit code is 1.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Nobody has this name, or had it.
    #[error("there is no user {0}, and there was none")]
    Unknown(String),
    /// The database did not do it.
    #[error("the database did not do it")]
    Store(#[from] StoreError),
    /// Nothing can be written.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

/// Shows the entries.
///
/// # Errors
/// See [`AuditError`].
pub async fn run(
    wanted: &AuditArguments,
    store: &Store,
    now: Timestamp,
    out: &mut impl Write,
) -> Result<(), AuditError> {
    let user = match &wanted.user {
        Some(name) => Some(user(store, name).await?),
        None => None,
    };
    let since = wanted.since.map(|since| match since {
        Since::At(at) => at,
        Since::Ago(span) => now.minus(*span),
    });
    let filter = DeedFilter { user, since, action: wanted.action.clone() };
    let mut after = 0;
    while let Some((last, page)) = store.deeds_after(after, &filter).await? {
        for deed in &page {
            if wanted.json {
                out.write_all(audit_line(deed).as_bytes())?;
            } else {
                writeln!(out, "{}", told(deed))?;
            }
        }
        after = last;
    }
    Ok(())
}

/// Also one that is gone: its name is kept.
async fn user(store: &Store, name: &str) -> Result<UserId, AuditError> {
    let unknown = || AuditError::Unknown(plain(name));
    if let Some(id) = name.strip_prefix('#') {
        return id.parse().map(UserId).map_err(|_| unknown());
    }
    let found = match store.holder_of(name).await? {
        None => store.holder_of(&names::normalised(name)).await?,
        found => found,
    };
    found.ok_or_else(unknown)
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(span) = text.parse() {
        return Ok(Since::Ago(span));
    }
    let moment = if text.len() == "2026-01-31".len() {
        format!("{text}T00:00:00Z")
    } else {
        text.to_owned()
    };
    let moment = humantime::parse_rfc3339_weak(&moment).ok();
    let since = moment.and_then(|moment| moment.duration_since(UNIX_EPOCH).ok());
    let micros = since.and_then(|since| i64::try_from(since.as_micros()).ok());
    micros.map(|micros| Since::At(Timestamp::from_micros(micros))).ok_or_else(|| {
        "neither a day (2026-01-31), nor a moment (2026-01-31T08:00:00Z), nor how long ago (24h)"
            .to_owned()
    })
}

/// One entry for people.
fn told(deed: &Deed) -> String {
    let outcome = deed.failure.as_deref().unwrap_or("success");
    let mut line = format!("{}  {:<23}  {outcome:<14}  ", time(deed.at), deed.action);
    match &deed.actor {
        Actor::User(person) | Actor::Shell(Some(person)) => {
            line += &title(person.name.as_deref(), &person.id);
        }
        Actor::Shell(None) => line += "shell",
        Actor::Anonymous => line += "anonymous",
    }
    // Writing to a string cannot fail.
    if let Some(target) = &deed.target {
        let _ = write!(line, "  to {}", title(target.name.as_deref(), &target.id.to_string()));
    }
    if let Some(key) = &deed.key {
        let _ = write!(line, "  to key {}", plain(key));
    }
    if let Some(count) = deed.count {
        let _ = write!(line, "  to {count}");
    }
    if let Some(means) = &deed.means {
        let _ = write!(line, "  by {means}");
    }
    if let Some(client) = &deed.client {
        let _ = write!(line, "  from {client}");
    }
    line
}

fn title(name: Option<&str>, id: &str) -> String {
    let id = if id.starts_with("uid:") { plain(id) } else { format!("#{}", plain(id)) };
    name.map_or_else(|| id.clone(), |name| format!("{} ({id})", plain(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Person, Target};

    #[test]
    fn a_time_is_a_day_a_moment_or_so_long_ago() {
        let at = |seconds| Ok(Since::At(Timestamp::from_seconds(seconds)));
        assert_eq!(since("2023-11-14"), at(1_699_920_000));
        assert_eq!(since("2023-11-14T22:13:20Z"), at(1_700_000_000));
        assert_eq!(since("2023-11-14 22:13:20"), at(1_700_000_000));
        assert_eq!(since("24h"), Ok(Since::Ago(Period::days(1))));
        for odd in ["yesterday", "2023-13-40", "1969-01-01", "", "€€€€"] {
            assert!(since(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn an_entry_says_who_did_what_to_whom_and_from_where() {
        let at = Timestamp::from_seconds(1_700_000_000);
        let ada = Person { id: "7".into(), name: Some("a\u{1b}da".into()) };
        let deed = Deed {
            actor: Actor::User(ada),
            target: Some(Target { id: UserId(8), name: None }),
            client: Some("203.0.113.9".into()),
            ..Deed::new("user.delete", at)
        };
        let expected = "2023-11-14T22:13:20Z  user.delete              success         \
                        a\u{fffd}da (#7)  to #8  from 203.0.113.9";
        assert_eq!(told(&deed), expected);

        let root = Person { id: "uid:0".into(), name: Some("root".into()) };
        let deed = Deed {
            actor: Actor::Shell(Some(root)),
            count: Some(3),
            ..Deed::new("user.import", at).by("django").failed("database")
        };
        let expected = "2023-11-14T22:13:20Z  user.import              database        \
                        root (uid:0)  to 3  by django";
        assert_eq!(told(&deed), expected);
    }
}
