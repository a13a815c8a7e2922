//! Tells of a request that was made, from its line in the request log.
//!
//! Reads the forms `json` and `ecs`, also behind what a collector put before the line. It must
//! not know how the lines are written but for the names in docs/logs.md.

use std::io::BufRead;
use std::time::Duration;

use anyhow::bail;
use serde::Serialize;
use serde_json::Value;

use super::account::{RouteTold, status};
use super::words;
use crate::config::Settings;

/// A line, whichever form it has.
pub(super) struct Found(Value);

/// What there is to tell.
#[derive(Debug, Serialize)]
pub(super) struct Logged {
    pub(super) passed: bool,
    pub(super) summary: String,
    pub(super) id: String,
    pub(super) at: String,
    pub(super) took: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) peer: Option<String>,
    pub(super) client: Option<String>,
    pub(super) status: u16,
    pub(super) decision: String,
    pub(super) reason: String,
    pub(super) credential: String,
    pub(super) user: Option<String>,
    pub(super) upstream: Option<String>,
    pub(super) asked_by: Option<String>,
    /// As the line has it.
    pub(super) route_name: Option<String>,
    /// The route of that name in the present configuration.
    pub(super) route: Option<RouteTold>,
}

/// The last line about a request.
///
/// # Errors
/// There is none, and what the log has instead.
pub(super) fn find(id: &str, log: impl BufRead) -> anyhow::Result<Found> {
    let (mut found, mut lines, mut objects) = (None, 0_usize, 0_usize);
    for line in log.split(b'\n') {
        let line = line?;
        lines += usize::from(!line.is_empty());
        // Collectors put a time and a name before it.
        let Some(start) = memchr::memchr(b'{', &line) else { continue };
        let Ok(value) = serde_json::from_slice::<Value>(&line[start..]) else { continue };
        let one = Found(value);
        let Some(own) = one.text("http.request.id") else { continue };
        objects += 1;
        if own == id {
            found = Some(one);
        }
    }
    match found {
        Some(found) => Ok(found),
        None if lines > 0 && objects == 0 => bail!(
            "none of the {lines} lines is one of the request log in the form `json` or `ecs`; \
             `combined` has neither the id nor the route, the decision and its reason: set \
             server.log_format"
        ),
        None => bail!(
            "no line of the log is about the request {id}: {objects} requests in {lines} lines"
        ),
    }
}

impl Found {
    /// A field by its name with dots: flat in `json`, nested in `ecs`.
    fn field(&self, name: &str) -> Option<&Value> {
        self.0.get(name).or_else(|| name.split('.').try_fold(&self.0, |at, part| at.get(part)))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.field(name)?.as_str()
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.as_u64()
    }
}

/// What a line says, in words.
pub(super) fn told(found: &Found, settings: &Settings) -> Logged {
    let text = |name| found.owned(name).unwrap_or_default();
    let (decision, reason) = (text("portcullis.decision"), text("portcullis.reason"));
    let code = found.number("http.response.status_code").unwrap_or(0);
    let code = u16::try_from(code).unwrap_or(0);
    let observed = found.text("portcullis.mode") == Some("observe");
    let passed = observed || matches!(&*decision, "allow" | "local");
    let route_name = found.owned("portcullis.route");
    let kind = text("portcullis.credential");
    let credential = match found.text("portcullis.tier") {
        Some(tier) => format!("{kind}, {}", tier_in_words(tier)),
        None => kind,
    };
    let user = match (found.owned("user.name"), found.owned("user.id")) {
        (Some(name), Some(id)) => Some(format!("{name} ({id})")),
        (name, id) => name.or(id),
    };
    let why = words::reason(&reason);
    let why = if why.is_empty() { reason.clone() } else { format!("{reason}: {why}") };
    let took = Duration::from_nanos(found.number("event.duration").unwrap_or(0) / 1000 * 1000);
    Logged {
        passed,
        summary: summary(&decision, &why, code, observed),
        id: text("http.request.id"),
        at: text("@timestamp"),
        took: humantime::format_duration(took).to_string(),
        method: text("http.request.method"),
        path: text("url.path"),
        peer: found.owned("source.ip"),
        client: found.owned("client.ip"),
        status: code,
        decision: if observed { format!("{decision}, only observed") } else { decision },
        reason,
        credential,
        user,
        upstream: found.owned("portcullis.upstream"),
        asked_by: found.owned("portcullis.asked_by"),
        route: route_name.as_deref().and_then(|name| RouteTold::named(name, settings)),
        route_name,
    }
}

fn summary(decision: &str, why: &str, code: u16, observed: bool) -> String {
    let answer = match code {
        0 => "no answer: the client went away".to_owned(),
        code => status(code),
    };
    match decision {
        _ if observed && decision != "allow" => format!("passed, answer {answer}; enforced: {why}"),
        "allow" => format!("passed, answer {answer}; {why}"),
        "local" => format!("answered by the gateway with {answer}"),
        "error" => format!("not decided, answered with {answer}; {why}"),
        _ => format!("refused with {answer}; {why}"),
    }
}

fn tier_in_words(tier: &str) -> &str {
    match tier {
        "l1" => "known in memory",
        "jwks" => "checked with a key",
        "redis" => "found in Redis",
        "db" => "found in the database",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"Nov 14 gate portcullis[1]: {"@timestamp":"2023-11-14T22:13:20.000042Z","http.request.method":"GET","http.response.status_code":401,"url.path":"/app/x","source.ip":"192.0.2.1","client.ip":"203.0.113.9","http.request.id":"00ff","event.duration":1500000,"portcullis.route":"/app","portcullis.decision":"deny","portcullis.reason":"expired","portcullis.credential":"jwt","portcullis.tier":"jwks"}"#;
    const ECS: &str = r#"{"@timestamp":"2023-11-14T22:13:20.000042Z","event":{"reason":"expired","duration":1500000},"http":{"request":{"method":"GET","id":"00ff"},"response":{"status_code":401}},"url":{"path":"/app/x"},"source":{"ip":"192.0.2.1"},"client":{"ip":"203.0.113.9"},"portcullis":{"decision":"deny","reason":"expired","credential":"jwt","route":"/app","tier":"jwks"}}"#;

    #[test]
    fn both_forms_with_json_in_them_tell_the_same() {
        let of = |log: &str| {
            let log = format!("other\n{{\"level\":\"INFO\"}}\n{log}\n");
            let told = told(&find("00ff", log.as_bytes()).unwrap(), &Settings::default());
            serde_json::to_value(&told).unwrap()
        };
        assert_eq!(of(JSON), of(ECS));
        assert_eq!(
            of(ECS)["summary"],
            "refused with 401 Unauthorized; expired: the token had expired"
        );
    }

    #[test]
    fn a_log_without_ids_is_named_as_such() {
        let combined =
            "203.0.113.9 - ada [14/Nov/2023:22:13:20 +0000] \"GET / HTTP/1.1\" 200 2 \"-\" \"x\"\n";
        let text = |log: &str| find("00", log.as_bytes()).err().unwrap().to_string();
        assert!(text(combined).contains("server.log_format"), "{}", text(combined));
        assert_eq!(text(JSON), "no line of the log is about the request 00: 1 requests in 1 lines");
        assert_eq!(text(""), "no line of the log is about the request 00: 0 requests in 0 lines");
    }
}
