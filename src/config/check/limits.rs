//! Bounds that would stop everything, or nothing.

use std::time::Duration;

use crate::config::fault::Report;
use crate::config::sections::Settings;

pub(super) fn check(settings: &Settings, report: &mut Report) {
    times(settings, report);
    counts(settings, report);
    let revocation = &settings.revocation;
    if revocation.max_staleness < revocation.tick {
        let text = format!("is shorter than revocation.tick ({})", revocation.tick);
        let remedy = "write a few ticks at least: between two reads nobody could be let in";
        report.fault_because("revocation.max_staleness", "revocation.tick", text, remedy);
    }
}

fn times(settings: &Settings, report: &mut Report) {
    let limits = &settings.limits;
    let times: [(&str, Duration); 15] = [
        ("redis.timeout", *settings.redis.timeout),
        ("revocation.tick", *settings.revocation.tick),
        ("revocation.max_staleness", *settings.revocation.max_staleness),
        ("cache.token_ttl", *settings.cache.token_ttl),
        ("limits.head_timeout", *limits.head_timeout),
        ("limits.auth_timeout", *limits.auth_timeout),
        ("limits.body_read_timeout", *limits.body_read_timeout),
        ("limits.write_timeout", *limits.write_timeout),
        ("limits.idle_timeout", *limits.idle_timeout),
        ("limits.websocket_idle_timeout", *limits.websocket_idle_timeout),
        ("limits.connect_timeout", *limits.connect_timeout),
        ("limits.upstream_read_timeout", *limits.upstream_read_timeout),
        ("limits.upstream_write_timeout", *limits.upstream_write_timeout),
        ("limits.upstream_idle_timeout", *limits.upstream_idle_timeout),
        ("limits.hashing_wait", *limits.hashing_wait),
    ];
    for (key, time) in times {
        if time < Duration::from_millis(1) {
            let remedy = "write a millisecond or more, or leave the key out";
            report.fault(key, "no time at all: nothing could succeed", remedy);
        }
    }
}

/// Key, value, least and most that make sense.
fn counts(settings: &Settings, report: &mut Report) {
    let (limits, cache) = (&settings.limits, &settings.cache);
    let per_connection = usize::try_from(limits.requests_per_connection).unwrap_or(usize::MAX);
    let counts = [
        ("cache.tokens", cache.tokens, 1, 100_000_000),
        ("cache.users", cache.users, 1, 100_000_000),
        // A single header of usual size must fit, and a head is held in memory.
        ("limits.head_bytes", limits.head_bytes, 1024, 1024 * 1024),
        // Pingora's parser knows no more than 256.
        ("limits.head_count", limits.head_count, 8, 256),
        ("limits.auth_body_bytes", limits.auth_body_bytes, 1024, 16 * 1024 * 1024),
        ("limits.requests_per_connection", per_connection, 1, usize::MAX),
        ("limits.connections", limits.connections, 1, 10_000_000),
        ("limits.connections_per_address", limits.connections_per_address, 1, 10_000_000),
        ("limits.hashing_threads", limits.hashing_threads, 0, 1024),
    ];
    for (key, count, least, most) in counts {
        if !(least..=most).contains(&count) {
            let remedy = match most {
                usize::MAX => format!("write {least} or more"),
                most => format!("write a number from {least} to {most}"),
            };
            report.fault(key, format!("{count} makes no sense here"), remedy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::testing::{faulty, warned};
    use crate::config::values::Period;

    #[test]
    fn the_defaults_are_good() {
        assert!(warned(check, &Settings::default()).is_empty());
    }

    #[test]
    fn a_bound_of_nothing_is_refused() {
        let mut settings = Settings::default();
        settings.limits.head_timeout = Period::seconds(0);
        settings.limits.head_count = 1000;
        settings.limits.connections = 0;
        settings.cache.tokens = 0;
        settings.revocation.max_staleness = Period::millis(500);
        assert_eq!(
            faulty(check, &settings),
            [
                "cache.tokens",
                "limits.connections",
                "limits.head_count",
                "limits.head_timeout",
                "revocation.max_staleness",
            ]
        );
    }

    #[test]
    fn zero_where_it_means_something_is_good() {
        let mut settings = Settings::default();
        settings.limits.body_bytes = 0;
        settings.limits.hashing_threads = 0;
        settings.server.drain_timeout = Period::seconds(0);
        assert!(faulty(check, &settings).is_empty());
    }
}
