//! `[server]` but for its listeners, `[database]`, `[redis]` and the root secret.

use std::time::Duration;

use crate::config::Lifetime;
use crate::config::endpoint::{host_and_port, is_host_name};
use crate::config::fault::Report;
use crate::config::sections::{Database, Pool, Server, Settings};

const SHORTEST_SECRET: usize = 32;

pub(super) fn check(settings: &Settings, report: &mut Report) {
    hosts(&settings.server, report);
    audit(&settings.server, report);
    database(&settings.database, report);
    secret_key(settings, report);
    redis(settings, report);
}

fn hosts(server: &Server, report: &mut Report) {
    for (index, host) in server.allowed_hosts.iter().enumerate() {
        if host == "*" {
            let text = "`*` would let any Host header decide where mailed links lead";
            report.element_fault("server.allowed_hosts", index, text, "name the hosts");
        } else if host_and_port(host).is_err() {
            let text = format!("`{host}` is not a host");
            let remedy = "write a name such as app.example.com, without scheme and path";
            report.element_fault("server.allowed_hosts", index, text, remedy);
        }
    }
}

fn audit(server: &Server, report: &mut Report) {
    const SHORTEST: Duration = Duration::from_hours(1);
    if matches!(server.audit_retention, Lifetime::For(kept) if kept < SHORTEST) {
        let text = "entries would be gone before anybody can read them";
        report.fault(
            "server.audit_retention",
            text,
            "write an hour or more, such as 90d, or never",
        );
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

fn database(database: &Database, report: &mut Report) {
    let (url, direct) = (database.url.expose(), database.direct_url.expose());
    if !is_postgres(url) && !url.starts_with("sqlite:") {
        let remedy = "write sqlite://FILE or postgres://user:password@host/name";
        report.fault("database.url", "the address names no database that is known", remedy);
    } else if url.strip_prefix("sqlite:").is_some_and(|file| file.trim_matches('/').is_empty()) {
        report.fault("database.url", "the address names no file", "write sqlite://portcullis.db");
    }
    if !direct.is_empty() && !is_postgres(direct) {
        let remedy = "write postgres://…, or leave it out";
        report.fault("database.direct_url", "the address is not one of PostgreSQL", remedy);
    } else if !direct.is_empty() && !is_postgres(url) {
        let text = "only PostgreSQL is reached in two ways, and database.url is none";
        report.fault("database.direct_url", text, "leave it out");
    }
    if database.pool == Pool::Transaction && !is_postgres(url) {
        let text = "only PostgreSQL is reached through PgBouncer, and database.url is none";
        report.fault("database.pool", text, "leave it out");
    }
}

fn secret_key(settings: &Settings, report: &mut Report) {
    let remedy = "write what `openssl rand -hex 32` prints, the same on every replica, best into a file named by secret_key_file";
    let length = settings.secret_key.expose().len();
    if length == 0 && is_postgres(settings.database.url.expose()) {
        let text = "it is required with PostgreSQL";
        report.fault_because("secret_key", "database.url", text, remedy);
    } else if (1..SHORTEST_SECRET).contains(&length) {
        let text = format!("it is shorter than {SHORTEST_SECRET} bytes");
        report.fault("secret_key", text, remedy);
    }
}

fn redis(settings: &Settings, report: &mut Report) {
    const SCHEMES: [&str; 9] = [
        "redis://",
        "redis+unix://",
        "rediss://",
        "redis+sentinel://",
        "rediss+sentinel://",
        "redis+cluster://",
        "rediss+cluster://",
        "valkey://",
        "valkeys://",
    ];
    let url = settings.redis.url.expose();
    if !url.is_empty() && !SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
        let remedy = "write redis://, rediss:// (TLS), redis+sentinel:// or redis+cluster://";
        report.fault("redis.url", "the address does not tell what kind of server it is", remedy);
    }
    let with_tls = ["rediss", "valkeys"].iter().any(|scheme| url.starts_with(scheme));
    if settings.redis.ca_file.is_some() && !url.is_empty() && !with_tls {
        let text = "certificates are of no use without TLS";
        report.fault_because("redis.ca_file", "redis.url", text, "write rediss:// in redis.url");
    }
}

/// Whether a text is an origin, `https://host[:port]`, and nothing more.
pub(super) fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.bytes().any(|byte| byte.is_ascii_uppercase())
            && host_and_port(rest).is_ok_and(|(host, _)| is_host_name(&host) || host.contains(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::testing::{faulty, warned};

    const LONG: &str = "0123456789abcdef0123456789abcdef";

    fn changed(change: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings::default();
        change(&mut settings);
        settings
    }

    #[test]
    fn the_defaults_are_good() {
        assert!(warned(check, &Settings::default()).is_empty());
    }

    #[test]
    fn postgres_needs_a_secret_of_32_bytes() {
        let settings = |url: &str, secret: &str| {
            changed(|settings| {
                settings.database.url = url.into();
                settings.secret_key = secret.into();
            })
        };
        assert!(faulty(check, &settings("postgres://u:p@h/d", LONG)).is_empty());
        assert!(faulty(check, &settings("sqlite::memory:", "")).is_empty());
        assert_eq!(faulty(check, &settings("postgresql://h/d", "")), ["secret_key"]);
        assert_eq!(faulty(check, &settings("sqlite://f", "short")), ["secret_key"]);
        assert_eq!(faulty(check, &settings("mysql://h/d", LONG)), ["database.url"]);
        assert_eq!(faulty(check, &settings("sqlite://", "")), ["database.url"]);
    }

    #[test]
    fn what_belongs_to_postgres_is_refused_without_it() {
        let settings = changed(|settings| {
            settings.database.pool = Pool::Transaction;
            settings.database.direct_url = "postgres://h/d".into();
        });
        assert_eq!(faulty(check, &settings), ["database.direct_url", "database.pool"]);
    }

    #[test]
    fn hosts_are_names_and_not_everything() {
        let settings = changed(|settings| {
            settings.server.allowed_hosts =
                ["app.example:8000", "[::1]", "*", "https://a.example"].map(str::to_owned).into();
        });
        assert_eq!(faulty(check, &settings), ["server.allowed_hosts", "server.allowed_hosts"]);
    }

    #[test]
    fn an_unknown_kind_of_redis_is_refused() {
        let with = |url: &str| changed(|settings| settings.redis.url = url.into());
        assert!(faulty(check, &with("rediss://user:pass@h:6380/1")).is_empty());
        assert_eq!(faulty(check, &with("http://h")), ["redis.url"]);
    }

    #[test]
    fn certificates_for_redis_want_tls() {
        let with = |url: &str| {
            changed(|settings| {
                settings.redis.url = url.into();
                settings.redis.ca_file = Some("ca.pem".into());
            })
        };
        for url in ["rediss://h", "rediss+sentinel://h/m", "rediss+cluster://h", "valkeys://h"] {
            assert!(faulty(check, &with(url)).is_empty(), "{url}");
        }
        assert_eq!(faulty(check, &with("redis://h")), ["redis.ca_file"]);
    }
}
