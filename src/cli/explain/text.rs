//! Writes an account for people: the answer first, then what it rests on, one subject a line.
//!
//! It must not know anything that is not in the account.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::account::{Account, Near, RouteTold, Sent, Tried, Who};
use super::logged::Logged;
use crate::model::Timestamp;

/// Room for the longest subject.
const WIDTH: usize = 12;

/// An account of a request that nobody sent.
pub(super) fn account(told: &Account, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", capitalised(&told.summary))?;
    writeln!(out)?;
    let asked = &told.request;
    line(out, "request", &format!("{} {}", asked.method, asked.target))?;
    line(
        out,
        "",
        &format!("host {}{}", asked.host, from(asked.peer.as_deref(), asked.client.as_deref())),
    )?;
    if let Some(path) =
        asked.path.as_deref().filter(|path| asked.target.split('?').next() != Some(path))
    {
        line(out, "path", path)?;
    }
    if told.route.is_some() || told.reason == "no_route" {
        route(out, told.route.as_ref())?;
    }
    missed(out, &told.near)?;
    for tried in &told.credentials {
        credential(out, tried, told.now)?;
    }
    if let Some(user) = &told.user {
        line(out, "user", &who(user))?;
    }
    if let Some(rule) = &told.rule {
        line(out, "rule", rule)?;
    }
    if let Some(upstream) = &told.upstream {
        line(out, "upstream", &format!("{}: {}", upstream.name, upstream.servers.join(", ")))?;
    }
    if let Some(sent) = &told.sent {
        head(out, sent)?;
    }
    if let Some(answer) = &told.answer {
        line(out, "answer", &answer.body)?;
    }
    for hint in &told.hints {
        line(out, "hint", hint)?;
    }
    Ok(())
}

/// An account of a request that was made.
pub(super) fn logged(told: &Logged, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", capitalised(&told.summary))?;
    writeln!(out)?;
    line(out, "request", &format!("{} {}", told.method, told.path))?;
    line(
        out,
        "",
        &format!("id {}{}", told.id, from(told.peer.as_deref(), told.client.as_deref())),
    )?;
    line(out, "time", &format!("{}, took {}", told.at, told.took))?;
    route(out, told.route.as_ref())?;
    if told.route.is_none()
        && let Some(name) = &told.route_name
    {
        line(out, "", &format!("{name}, which the present configuration does not have"))?;
    }
    line(out, "credential", &told.credential)?;
    if let Some(user) = &told.user {
        line(out, "user", user)?;
    }
    line(out, "decision", &told.decision)?;
    if let Some(upstream) = &told.upstream {
        line(out, "upstream", upstream)?;
    }
    if let Some(dialect) = &told.asked_by {
        line(out, "asked by", &format!("another proxy ({dialect})"))?;
    }
    Ok(())
}

fn line(out: &mut impl Write, subject: &str, text: &str) -> io::Result<()> {
    let text: String = text.chars().map(|c| if c.is_control() { '.' } else { c }).collect();
    writeln!(out, "{}", format!("{subject:WIDTH$}{text}").trim_end())
}

fn from(peer: Option<&str>, client: Option<&str>) -> String {
    match (peer, client) {
        (Some(peer), Some(client)) if peer != client => format!(", from {client} through {peer}"),
        (_, Some(address)) | (Some(address), None) => format!(", from {address}"),
        (None, None) => String::new(),
    }
}

fn route(out: &mut impl Write, route: Option<&RouteTold>) -> io::Result<()> {
    let Some(route) = route else { return line(out, "route", "none") };
    let at = if route.at.is_empty() { String::new() } else { format!(" ({})", route.at) };
    line(out, "route", &format!("{}{at}", route.name))?;
    let groups = if route.groups.is_empty() {
        String::new()
    } else {
        format!(", groups = {:?}", route.groups)
    };
    let mode =
        if route.mode == "enforce" { String::new() } else { format!(", mode = {}", route.mode) };
    let (access, takes) = (&route.access, list(&route.credentials));
    line(out, "", &format!("access = {access}, credentials = [{takes}]{groups}{mode}"))
}

fn list(values: &Value) -> String {
    let all = values.as_array().into_iter().flatten();
    all.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn missed(out: &mut impl Write, near: &[Near]) -> io::Result<()> {
    for (number, one) in near.iter().enumerate() {
        let at = if one.at.is_empty() { String::new() } else { format!(" ({})", one.at) };
        let subject = if number == 0 { "missed" } else { "" };
        line(out, subject, &format!("{}{at} by {}", one.route, one.differs))?;
    }
    Ok(())
}

fn credential(out: &mut impl Write, tried: &Tried, now: Timestamp) -> io::Result<()> {
    let kind = if tried.kind == "unknown" { "Authorization" } else { tried.kind };
    let print = tried.fingerprint.as_ref().map(|print| format!(" {print}")).unwrap_or_default();
    line(out, "credential", &format!("{kind}{print}: {}", tried.result))?;
    if !tried.says.is_empty() {
        let said = tried.says.iter().map(|(name, value)| said(name, value, now));
        line(out, "", &said.collect::<Vec<_>>().join(", "))?;
    }
    match &tried.key {
        Some(key) => line(out, "", &format!("checked with {key}")),
        None => Ok(()),
    }
}

/// One claim; times in the form of a date.
fn said(name: &str, value: &Value, now: Timestamp) -> String {
    let is_time = matches!(name, "iat" | "nbf" | "exp" | "created" | "last_used");
    match value.as_i64().filter(|_| is_time) {
        Some(seconds) => format!("{name} {}", when(Timestamp::from_seconds(seconds), now)),
        None => match value.as_str() {
            Some(text) => format!("{name} {text}"),
            None => format!("{name} {value}"),
        },
    }
}

/// A time, and how far it is from now.
fn when(at: Timestamp, now: Timestamp) -> String {
    let seconds = u64::try_from(at.seconds()).unwrap_or(0);
    let date = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    let date =
        date.map_or_else(String::new, |at| humantime::format_rfc3339_seconds(at).to_string());
    let (past, future) = (now.since(at).as_secs(), at.since(now).as_secs());
    let span = |seconds| humantime::format_duration(Duration::from_secs(coarse(seconds)));
    if past > 0 {
        format!("{date} ({} ago)", span(past))
    } else {
        format!("{date} (in {})", span(future))
    }
}

/// Two units at most.
const fn coarse(seconds: u64) -> u64 {
    match seconds {
        0..3600 => seconds,
        3600..86_400 => seconds / 60 * 60,
        _ => seconds / 3600 * 3600,
    }
}

fn who(user: &Who) -> String {
    let rank = match (user.staff, user.superuser) {
        (_, true) => ", superuser",
        (true, false) => ", staff",
        (false, false) => "",
    };
    let groups = if user.groups.is_empty() {
        String::new()
    } else {
        format!(", groups {}", user.groups.join(", "))
    };
    format!("{} ({}){rank}{groups}", user.name, user.id)
}

fn head(out: &mut impl Write, sent: &Sent) -> io::Result<()> {
    for (number, one) in sent.removed.iter().enumerate() {
        let why = match one.why {
            "identity" => "who asks is the gateway's to say",
            "forwarding" => "only a trusted proxy may send it (server.trusted_proxies)",
            "look_alike" => "it looks like a framing header, and is none",
            "underscore" => "it has an underscore (limits.underscore_headers)",
            "credential" => "the credential that was checked stays here (forward_credential)",
            _ => "the route removes it",
        };
        line(out, if number == 0 { "removed" } else { "" }, &format!("{}: {why}", one.name))?;
    }
    line(out, "sent", &sent.target)?;
    for one in &sent.headers {
        let value = one.value.as_deref().unwrap_or(match one.by {
            "assertion" => "(signed, not shown)",
            "route" => "(as the route sets it)",
            "server" => "(the server's own name)",
            "client" => "(the client's, not shown)",
            _ => "(new for each request)",
        });
        line(out, "", &format!("{}: {value}", one.name))?;
    }
    Ok(())
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_and_distances() {
        let now = Timestamp::from_seconds(1_700_000_000);
        let at = |seconds| when(Timestamp::from_seconds(seconds), now);
        assert_eq!(at(1_700_000_000 - 3725), "2023-11-14T21:11:15Z (1h 2m ago)");
        assert_eq!(at(1_700_000_000 + 90), "2023-11-14T22:14:50Z (in 1m 30s)");
        assert_eq!(at(1_700_000_000 - 90_061), "2023-11-13T21:12:19Z (1day 1h ago)");
    }

    #[test]
    fn what_a_request_brought_cannot_write_to_the_terminal() {
        let mut out = Vec::new();
        line(&mut out, "path", "/a\u{1b}[31m\n").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "path        /a.[31m.\n");
    }
}
