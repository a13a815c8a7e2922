//! What a row of a Django database means, or why it cannot be taken over.
//!
//! Pure: bytes in, our nouns out. It must not know where rows come from or go to.

use std::time::SystemTime;

use secrecy::SecretString;

use crate::accounts::names::{MAX_EMAIL, MAX_USERNAME, normalised};
use crate::accounts::passwords::unusable;
use crate::model::{Timestamp, User, UserId};
use crate::store::{DjangoRow, DjangoValue, USER_COLUMNS};

/// Django's column holds 128.
const MAX_HASH: usize = 1024;
/// Django's column holds 150.
const MAX_PERSON_NAME: usize = 1000;
/// What simplejwt's column holds.
const MAX_JTI: usize = 255;

/// Why a row is left out, as a part of a sentence.
pub(super) type Reason = String;

/// Whether the operator vouches for addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Emails {
    Verified,
    Unverified,
}

/// A user, and whether its name was written in another Unicode form there.
pub(super) fn user(
    row: &DjangoRow,
    groups: Vec<String>,
    emails: Emails,
    now: Timestamp,
) -> Result<(User, bool), Reason> {
    let value = |name| {
        let at = USER_COLUMNS.iter().position(|column| *column == name);
        at.and_then(|at| row.get(at)).unwrap_or(&None)
    };
    let written = |name| text(value(name), name);
    let flag = |name, default| match written(name)?.as_deref() {
        None => Ok(default),
        Some("1" | "true" | "t") => Ok(true),
        Some("0" | "false" | "f") => Ok(false),
        Some(_) => Err(format!("{name} is neither true nor false")),
    };
    let time = |name| written(name)?.map(|text| moment(&text, name)).transpose();
    let id = id(value("id")).ok_or("the id is not a positive number")?;
    let typed = written("username")?.filter(|name| !name.is_empty()).ok_or("it has no username")?;
    let username = normalised(&typed);
    no_longer(&username, MAX_USERNAME, "username")?;
    let email = written("email")?.unwrap_or_default();
    no_longer(&email, MAX_EMAIL, "email")?;
    let password = written("password")?.unwrap_or_else(unusable);
    no_longer(&password, MAX_HASH, "password")?;
    let (first_name, last_name) = (written("first_name")?, written("last_name")?);
    let (first_name, last_name) = (first_name.unwrap_or_default(), last_name.unwrap_or_default());
    no_longer(&first_name, MAX_PERSON_NAME, "first_name")?;
    no_longer(&last_name, MAX_PERSON_NAME, "last_name")?;
    let is_other_form = username != typed;
    let user = User {
        id: UserId(id),
        email_verified: emails == Emails::Verified && !email.is_empty(),
        username,
        email,
        password: SecretString::from(password),
        first_name,
        last_name,
        is_active: flag("is_active", true)?,
        is_staff: flag("is_staff", false)?,
        is_superuser: flag("is_superuser", false)?,
        groups,
        generation: 0,
        cut_at: None,
        version: 0,
        last_login: time("last_login")?,
        date_joined: time("date_joined")?.unwrap_or(now),
    };
    Ok((user, is_other_form))
}

/// The id in a row's first column.
pub(super) fn key(row: &DjangoRow) -> Option<i64> {
    number(row.first().unwrap_or(&None))
}

/// (user, group).
pub(super) fn member(row: &DjangoRow) -> Result<(i64, String), Reason> {
    let user = key(row).ok_or("the user's id is not a number")?;
    let name = text(row.get(1).unwrap_or(&None), "the group's name")?.unwrap_or_default();
    if name.is_empty() || name.contains(char::is_control) {
        return Err("the group's name is empty or holds a control character".to_owned());
    }
    Ok((user, name))
}

/// (token, created).
pub(super) fn token(row: &DjangoRow, now: Timestamp) -> Result<(String, Timestamp), Reason> {
    let key = text(row.get(1).unwrap_or(&None), "the token")?.unwrap_or_default();
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if key.len() != 40 || !key.bytes().all(is_digit) {
        return Err("the token is not 40 hex digits in lower case".to_owned());
    }
    let created = text(row.get(2).unwrap_or(&None), "created")?;
    let created = created.map(|text| moment(&text, "created")).transpose()?;
    Ok((key, created.unwrap_or(now)))
}

/// (jti, user, expires).
pub(super) fn ended(row: &DjangoRow) -> Result<(String, Option<UserId>, Timestamp), Reason> {
    let jti = text(row.get(1).unwrap_or(&None), "jti")?.unwrap_or_default();
    if jti.is_empty() {
        return Err("it has no jti".to_owned());
    }
    no_longer(&jti, MAX_JTI, "jti")?;
    let expires = text(row.get(3).unwrap_or(&None), "expires_at")?.ok_or("it has no expires_at")?;
    Ok((jti, id(row.get(2).unwrap_or(&None)).map(UserId), moment(&expires, "expires_at")?))
}

fn number(value: &DjangoValue) -> Option<i64> {
    value.as_ref()?.as_ref().ok()?.parse().ok()
}

fn id(value: &DjangoValue) -> Option<i64> {
    number(value).filter(|id| *id > 0)
}

fn text(value: &DjangoValue, name: &str) -> Result<Option<String>, Reason> {
    match value {
        None => Ok(None),
        Some(Err(_)) => Err(format!("{name} is not text in UTF-8")),
        Some(Ok(text)) if text.contains('\0') => Err(format!("{name} holds a NUL character")),
        Some(Ok(text)) => Ok(Some(text.clone())),
    }
}

fn no_longer(text: &str, most: usize, name: &str) -> Result<(), Reason> {
    if text.chars().count() > most {
        return Err(format!("{name} is longer than {most} characters"));
    }
    Ok(())
}

/// Microseconds since 1970, or Django's UTC text in SQLite (the fraction may be missing).
fn moment(text: &str, name: &str) -> Result<Timestamp, Reason> {
    if let Ok(micros) = text.parse() {
        return Ok(Timestamp::from_micros(micros));
    }
    let utc = text.strip_suffix("+00:00").unwrap_or(text);
    let parsed = humantime::parse_rfc3339_weak(utc).ok();
    let since = parsed.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let since = since.ok_or_else(|| format!("{name} is not a time"))?;
    Ok(Timestamp::from_seconds(0).plus(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(7);

    fn row(values: [&str; 11]) -> DjangoRow {
        values.map(|value| (value != "NULL").then(|| Ok(value.to_owned()))).to_vec()
    }

    const ADA: [&str; 11] = [
        "5",
        "ada",
        "!x",
        "a@b.c",
        "Ada",
        "L",
        "1",
        "0",
        "t",
        "NULL",
        "1970-01-01 00:00:01.000002",
    ];

    fn with(at: usize, value: &'static str) -> Result<(User, bool), Reason> {
        let mut values = ADA;
        values[at] = value;
        user(&row(values), Vec::new(), Emails::Unverified, NOW)
    }

    #[test]
    fn a_row_becomes_a_user() {
        let (ada, other) = with(0, "5").unwrap();
        assert_eq!((ada.id, &*ada.username, &*ada.email), (UserId(5), "ada", "a@b.c"));
        assert!(
            ada.is_active && !ada.is_staff && ada.is_superuser && !ada.email_verified && !other
        );
        assert_eq!((ada.last_login, ada.date_joined), (None, Timestamp::from_micros(1_000_002)));
        assert!(with(1, "ﬁona").unwrap().1);
        assert_eq!(with(10, "-3").unwrap().0.date_joined, Timestamp::from_micros(-3));
        assert_eq!(with(10, "NULL").unwrap().0.date_joined, NOW);
    }

    #[test]
    fn what_cannot_be_taken_over_has_a_reason() {
        for (at, value, reason) in [
            (0, "0", "the id is not a positive number"),
            (0, "-1", "the id is not a positive number"),
            (0, "c0ffee", "the id is not a positive number"),
            (1, "", "it has no username"),
            (1, "NULL", "it has no username"),
            (1, "a\0b", "username holds a NUL character"),
            (6, "maybe", "is_active is neither true nor false"),
            (9, "yesterday", "last_login is not a time"),
        ] {
            assert_eq!(with(at, value).unwrap_err(), reason, "{value}");
        }
        let mut bytes = row(ADA);
        bytes[3] = Some(Err(vec![0xff]));
        let refused = user(&bytes, Vec::new(), Emails::Unverified, NOW);
        assert_eq!(refused.unwrap_err(), "email is not text in UTF-8");
    }

    #[test]
    fn tokens_are_40_hex_digits_in_lower_case() {
        let token = |key: &str| token(&row3(key), NOW);
        let good = "658482acf877708f49d82607600c3ae9c029bc8b";
        assert_eq!(token(good), Ok((good.to_owned(), NOW)));
        for bad in [&good[1..], &good.to_uppercase(), "", &"g".repeat(40)] {
            assert!(token(bad).is_err(), "{bad}");
        }
    }

    fn row3(key: &str) -> DjangoRow {
        vec![Some(Ok("1".to_owned())), Some(Ok(key.to_owned())), None]
    }
}
