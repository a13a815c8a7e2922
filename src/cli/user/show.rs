//! How accounts look on the terminal and in JSON.
//!
//! Names may come from an import with anything in them; what drives terminals is not
//! written. It must not show password hashes.

use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::accounts::passwords::is_usable;
use crate::model::{Login, LoginKind, Timestamp, User};

/// 9999-12-31: later times cannot be written.
const LAST_SECOND: u64 = 253_402_300_799;

/// A table that is written page by page. Its columns are as wide as the first page needs.
#[derive(Debug, Default)]
pub(super) struct Table {
    widths: Option<[usize; 4]>,
}

impl Table {
    pub(super) fn write(&mut self, users: &[User], out: &mut impl Write) -> io::Result<()> {
        const HEAD: [&str; 5] = ["ID", "USERNAME", "STATE", "LAST LOGIN", "EMAIL"];
        let rows: Vec<[String; 5]> = users.iter().map(row).collect();
        let widths = if let Some(widths) = self.widths {
            widths
        } else {
            let widths = widths(&HEAD, &rows);
            self.widths = Some(widths);
            line(&HEAD.map(str::to_owned), widths, out)?;
            widths
        };
        rows.iter().try_for_each(|row| line(row, widths, out))
    }
}

fn widths(head: &[&str; 5], rows: &[[String; 5]]) -> [usize; 4] {
    std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    })
}

fn line(row: &[String; 5], widths: [usize; 4], out: &mut impl Write) -> io::Result<()> {
    let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  "));
    let text = cells.chain([row[4].clone()]).collect::<String>();
    writeln!(out, "{}", text.trim_end())
}

fn row(user: &User) -> [String; 5] {
    [
        user.id.to_string(),
        plain(&user.username),
        state(user),
        user.last_login.map_or("never".to_owned(), time),
        plain(&user.email),
    ]
}

/// What is special about an account, in few words.
fn state(user: &User) -> String {
    let words = [
        (!user.is_active).then_some("inactive"),
        user.is_staff.then_some("staff"),
        user.is_superuser.then_some("superuser"),
    ];
    let words: Vec<_> = words.into_iter().flatten().collect();
    if words.is_empty() { "active".to_owned() } else { words.join(",") }
}

/// All of one account.
pub(super) fn page(user: &User, logins: &[Login], out: &mut impl Write) -> io::Result<()> {
    let count = |kind| logins.iter().filter(|login| login.kind == kind).count();
    let email = match (&*user.email, user.email_verified) {
        ("", _) => "none".to_owned(),
        (email, true) => format!("{} (verified)", plain(email)),
        (email, false) => format!("{} (not verified)", plain(email)),
    };
    let groups: Vec<_> = user.groups.iter().map(|group| plain(group)).collect();
    let lines = [
        ("id", user.id.to_string()),
        ("username", plain(&user.username)),
        ("name", plain(format!("{} {}", user.first_name, user.last_name).trim())),
        ("email", email),
        ("state", state(user)),
        ("password", if has_password(user) { "set" } else { "none" }.to_owned()),
        ("groups", groups.join(", ")),
        ("joined", time(user.date_joined)),
        ("last login", user.last_login.map_or("never".to_owned(), time)),
        ("tokens", format!("{} opaque", count(LoginKind::Opaque))),
        ("jwt logins", count(LoginKind::Jwt).to_string()),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(out, "{name:10}  {value}")?;
    }
    Ok(())
}

/// An account for machines: names as they are stored.
pub(super) fn json(user: &User) -> Value {
    json!({
        "id": user.id.0,
        "username": user.username,
        "email": user.email,
        "email_verified": user.email_verified,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "is_active": user.is_active,
        "is_staff": user.is_staff,
        "is_superuser": user.is_superuser,
        "has_password": has_password(user),
        "groups": user.groups,
        "date_joined": time(user.date_joined),
        "last_login": user.last_login.map(time),
    })
}

/// How messages name an account.
pub(super) fn title(user: &User) -> String {
    format!("{} (#{})", plain(&user.username), user.id)
}

/// Text without control characters.
pub(in crate::cli) fn plain(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

fn has_password(user: &User) -> bool {
    is_usable(user.password.expose_secret())
}

/// A moment, to the second.
pub(in crate::cli) fn time(at: Timestamp) -> String {
    let seconds = u64::try_from(at.seconds()).unwrap_or(0).min(LAST_SECOND);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LoginId, UserId};

    fn ada() -> User {
        User {
            id: UserId(7),
            username: "ada".into(),
            email: "ada@example.org".into(),
            email_verified: true,
            password: "!".into(),
            first_name: "Ada".into(),
            last_name: String::new(),
            is_active: true,
            is_staff: true,
            is_superuser: true,
            groups: vec!["editors".into(), "makers".into()],
            generation: 0,
            cut_at: None,
            version: 0,
            last_login: None,
            date_joined: Timestamp::from_seconds(1_700_000_000),
        }
    }

    fn bob() -> User {
        let (email, last_login) = (String::new(), Some(Timestamp::from_seconds(1_700_000_000)));
        User {
            id: UserId(1234),
            username: "böb\u{1b}[2J".into(),
            is_active: false,
            is_staff: false,
            is_superuser: false,
            ..User { email, last_login, ..ada() }
        }
    }

    #[test]
    fn a_list_is_an_aligned_table() {
        let mut out = Vec::new();
        let mut table = Table::default();
        table.write(&[ada(), bob()], &mut out).unwrap();
        table.write(&[ada()], &mut out).unwrap();
        table.write(&[], &mut out).unwrap();
        let expected = "\
ID    USERNAME  STATE            LAST LOGIN            EMAIL
7     ada       staff,superuser  never                 ada@example.org
1234  böb\u{fffd}[2J   inactive         2023-11-14T22:13:20Z
7     ada       staff,superuser  never                 ada@example.org
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_page_tells_everything_but_the_hash() {
        let at = Timestamp::from_seconds(1_700_000_000);
        let login = Login {
            id: LoginId([0; 16]),
            user: UserId(7),
            kind: LoginKind::Opaque,
            generation: 0,
            created: at,
            last_used: at,
            expires: None,
        };
        let mut out = Vec::new();
        page(&ada(), &[login.clone(), login], &mut out).unwrap();
        let expected = "\
id          7
username    ada
name        Ada
email       ada@example.org (verified)
state       staff,superuser
password    none
groups      editors, makers
joined      2023-11-14T22:13:20Z
last login  never
tokens      2 opaque
jwt logins  0
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn json_is_for_machines() {
        let json = json(&bob());
        assert_eq!(json["username"], "böb\u{1b}[2J");
        assert!(json.to_string().contains("\\u001b"), "escaped");
        assert_eq!(json["last_login"], "2023-11-14T22:13:20Z");
        assert_eq!(json["has_password"], false);
        assert!(json.get("password").is_none());
    }

    #[test]
    fn odd_times_do_no_harm() {
        assert_eq!(time(Timestamp::from_micros(i64::MIN)), "1970-01-01T00:00:00Z");
        assert_eq!(time(Timestamp::from_micros(i64::MAX)), "9999-12-31T23:59:59Z");
    }
}
