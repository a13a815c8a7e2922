//! The database, Redis and the mail server: can they be reached, and are they set up as the
//! gateway needs them?
//!
//! Each is asked what it says of itself; what is good and what is not is decided here. It must
//! not know how they are asked.

use std::time::Duration;

use super::finding::Findings;
use crate::app;
use crate::clock::Clock;
use crate::cluster::{self, RedisExamination, RedisInfo};
use crate::config::Settings;
use crate::mail::{self, SendError, Transport};
use crate::model::Timestamp;

const REDIS: &str = "redis";
const MAIL: &str = "mail";

/// An answer that takes longer holds up requests.
const SLOW: Duration = Duration::from_millis(20);

/// Redis; gives out the time there, and ours when it was heard.
pub(super) async fn redis(
    settings: &Settings,
    clock: &Clock,
    findings: &mut Findings,
) -> Option<(Timestamp, Timestamp)> {
    let url = settings.redis.url.expose();
    if url.is_empty() {
        findings.ok(REDIS, "is not used: replicas hear of logouts from the database");
        return None;
    }
    let remedy = "look at redis.url and redis.ca_file, at the server and at what is between; \
                  the gateway goes on without (docs/degradation.md)";
    let ca = match app::redis_ca(settings) {
        Ok(ca) => ca,
        Err(error) => {
            findings.problem(REDIS, format!("{error:#}"), remedy);
            return None;
        }
    };
    let asked = cluster::examine_redis(url, ca.as_deref(), *settings.redis.timeout);
    let found = match tokio::time::timeout(super::probe::PATIENCE, asked).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            findings.problem(REDIS, error.to_string(), remedy);
            return None;
        }
        Err(_) => {
            findings.problem(REDIS, "does not answer within 5 s", remedy);
            return None;
        }
    };
    let ours = clock.now();
    judge_redis(&found, *settings.redis.timeout, findings);
    found.now.map(|theirs| (theirs, ours))
}

fn judge_redis(found: &RedisExamination, timeout: Duration, findings: &mut Findings) {
    let latency = found.latency;
    if latency > timeout / 2 {
        let text = format!("answers in {latency:.1?}, and redis.timeout is {timeout:?}");
        findings.warning(REDIS, text, "put it nearer, or raise redis.timeout");
    }
    if !found.refused.is_empty() {
        let refused: Vec<_> =
            found.refused.iter().map(|(name, why)| format!("{name} ({why})")).collect();
        let remedy = "allow the commands, keys and channels that docs/degradation.md lists (ACL \
                      SETUSER); OOM: raise maxmemory or set an eviction policy";
        findings.problem(REDIS, format!("refuses {}", refused.join(", ")), remedy);
    }
    match &found.info {
        None => {
            let remedy = "allow the user +info to have version and eviction policy looked at";
            findings.not_checked(REDIS, "does not say how it is set up", remedy);
        }
        Some(info) => judge_info(info, findings),
    }
    if findings.is_well(REDIS) {
        let version = found.info.as_ref().map_or("", |info| info.version.as_str());
        let text = format!("Redis {version} answers in {latency:.1?} and allows all that is used");
        findings.ok(REDIS, text);
    }
}

fn judge_info(info: &RedisInfo, findings: &mut Findings) {
    let major = info.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < 6) {
        let text = format!("is version {}, and 6 is needed", info.version);
        findings.problem(REDIS, text, "upgrade it, or take a Valkey");
    }
    if info.most_memory == 0 {
        let text = "has no maxmemory: it grows until the system ends it";
        findings.warning(REDIS, text, "set maxmemory and maxmemory-policy volatile-ttl");
    } else if !info.policy.starts_with("volatile-") && !info.policy.starts_with("allkeys-") {
        let text =
            format!("evicts nothing when it is full ({}): new keys are refused", info.policy);
        findings.warning(REDIS, text, "set maxmemory-policy volatile-ttl");
    }
    if info.is_persistent {
        let text = "appends every write to a file, which nothing here needs";
        findings.warning(REDIS, text, "set appendonly no, unless others keep data in it");
    }
}

/// Mail: everything but sending.
pub(super) async fn mail(settings: &Settings, findings: &mut Findings) {
    let url = settings.mail.url.expose();
    let transport = match Transport::from_url(url) {
        Ok(transport) => transport,
        Err(error) => return findings.problem(MAIL, error.to_string(), "mend mail.url"),
    };
    let remedy = "set mail.url to an SMTP server, unless this is for development";
    match &transport {
        Transport::Log | Transport::Capture(_) => {
            return findings.warning(MAIL, "goes to the log, with its links", remedy);
        }
        Transport::Folder(_) => findings.warning(MAIL, "goes to a folder", remedy),
        Transport::Smtp(_) => {}
    }
    if let Err(error) = transport.test().await {
        let remedy = match error {
            SendError::Answered(530..=538) => "look at user and password in mail.url",
            SendError::Folder(_) => "make the folder for the gateway's user",
            _ => {
                "look at mail.url, the server and what is between (ports 25, 465 and 587 are \
                  often closed); mail waits in the outbox for a day"
            }
        };
        return findings.problem(MAIL, error.to_string(), remedy);
    }
    if settings.mail.from.contains("@localhost") && matches!(transport, Transport::Smtp(_)) {
        let text = format!("comes from {}, which others refuse", settings.mail.from);
        findings.warning(MAIL, text, "set mail.from to an address of a domain of yours");
    }
    if let Some((host, port)) = plain_server(url) {
        let (text, remedy) = match mail::offers_starttls(&host, port).await {
            Some(true) => (
                "goes to another machine unencrypted, though the server offers TLS",
                "add ?tls=required to mail.url",
            ),
            _ => (
                "goes to another machine unencrypted: whoever listens reads the links",
                "take a server with TLS (smtps://, or ?tls=required)",
            ),
        };
        findings.warning(MAIL, text, remedy);
    }
    if findings.is_well(MAIL) {
        findings.ok(MAIL, "the server takes connections, with TLS and login as mail.url says");
    }
}

/// The server of an address by which mail leaves this machine without TLS. With a password in
/// it TLS is required anyway.
fn plain_server(url: &str) -> Option<(String, u16)> {
    let (_, rest) = url.split_once("://").filter(|(scheme, _)| *scheme == "smtp")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (login, server) = authority.rsplit_once('@').unwrap_or(("", authority));
    let asks_for_tls = url.contains("tls=required") || url.contains("tls=opportunistic");
    if asks_for_tls || login.contains(':') && !url.contains("tls=") {
        return None;
    }
    let parsed: http::uri::Authority = server.parse().ok()?;
    let host = parsed.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let is_elsewhere = !super::exposure::is_local(&host);
    is_elsewhere.then(|| (host, parsed.port_u16().unwrap_or(25)))
}

/// What is a bad time for an answer of a service that every request may wait for.
pub(super) fn is_slow(latency: Duration) -> bool {
    latency > SLOW
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> RedisInfo {
        RedisInfo {
            version: "7.0.0".to_owned(),
            most_memory: 1 << 20,
            policy: "volatile-ttl".to_owned(),
            is_persistent: false,
        }
    }

    fn told(found: &RedisExamination) -> String {
        let mut findings = Findings::default();
        judge_redis(found, Duration::from_millis(50), &mut findings);
        let mut text = Vec::new();
        findings.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn with(info: Option<RedisInfo>) -> RedisExamination {
        RedisExamination { latency: Duration::from_millis(1), now: None, info, refused: Vec::new() }
    }

    #[test]
    fn a_redis_that_is_set_up_well_is_good() {
        assert!(told(&with(Some(info()))).starts_with("ok           redis"));
    }

    #[test]
    fn each_bad_setting_of_redis_is_told() {
        for (change, expected) in [
            (
                (|info| "5.0.9".clone_into(&mut info.version)) as fn(&mut RedisInfo),
                "problem      redis             is version 5.0.9",
            ),
            (|info| info.most_memory = 0, "warning      redis             has no maxmemory"),
            (
                |info| "noeviction".clone_into(&mut info.policy),
                "warning      redis             evicts nothing when it is full (noeviction)",
            ),
            (|info| info.is_persistent = true, "warning      redis             appends"),
        ] {
            let mut info = info();
            change(&mut info);
            let told = told(&with(Some(info)));
            assert!(told.starts_with(expected), "{told}");
        }
        assert!(told(&with(None)).starts_with("not checked  redis"));
        let slow = RedisExamination { latency: Duration::from_millis(40), ..with(Some(info())) };
        assert!(told(&slow).starts_with("warning      redis             answers in 40.0ms"));
        let refused = vec![("set", "NOPERM".to_owned())];
        let refusing = RedisExamination { refused, ..with(Some(info())) };
        assert!(told(&refusing).starts_with("problem      redis             refuses set (NOPERM)"));
    }

    #[test]
    fn mail_that_leaves_the_machine_is_encrypted() {
        let plain = |url: &str| plain_server(url);
        assert_eq!(plain("smtp://mail.example"), Some(("mail.example".to_owned(), 25)));
        assert_eq!(plain("smtp://u:p@mail.example:2525?tls=none").map(|at| at.1), Some(2525));
        for url in [
            "smtps://mail.example",
            "smtp://mail.example?tls=required",
            "smtp://u:p@mail.example",
            "smtp://localhost:2525",
            "log:",
        ] {
            assert_eq!(plain(url), None, "{url}");
        }
    }
}
