//! What a route changes on the way to its upstream and back: prefix, headers, times.

use http::HeaderName;

use super::headers::fold;
use super::paths::{lies_under, not_canonical};
use crate::config::fault::Report;
use crate::config::header_line::HeaderLine;
use crate::config::sections::{IdentityHeaders, Route, Settings};

/// Frames a message or belongs to one connection, folded: ours to write.
const FRAMING: &[&str] = &[
    "host",
    "connection",
    "contentlength",
    "transferencoding",
    "te",
    "trailer",
    "upgrade",
    "keepalive",
    "proxyconnection",
    "proxyauthenticate",
    "proxyauthorization",
    "http2settings",
    "expect",
];

/// Where a request came from, folded: what the gateway says is true.
const FORWARDING: &[&str] = &[
    "forwarded",
    "xforwardedfor",
    "xforwardedhost",
    "xforwardedport",
    "xforwardedproto",
    "xforwardedprefix",
    "xrealip",
    "xrequestid",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

pub(super) fn check(route: &Route, index: usize, settings: &Settings, report: &mut Report) {
    let key = |field: &str| format!("routes.{index}.{field}");
    strip_prefix(route, &key("strip_prefix"), report);
    if route.upstream_read_timeout.is_some_and(|time| time.is_zero()) {
        let remedy = "write one such as \"60s\", or leave it out";
        report.fault(&key("upstream_read_timeout"), "is no time at all", remedy);
    }
    let own = &settings.identity_headers;
    for (field, lines, way) in [
        ("set_request_headers", &route.set_request_headers, Way::There),
        ("set_response_headers", &route.set_response_headers, Way::Back),
    ] {
        for (position, line) in lines.iter().enumerate() {
            match line.parse::<HeaderLine>() {
                // Not the line: its value may be a secret.
                Err(error) => report.element_fault(
                    &key(field),
                    position,
                    error.to_string(),
                    "write it as \"X-Name: value\"",
                ),
                Ok(line) => may_change(&line.name, way, own, &key(field), position, report),
            }
        }
    }
    for (field, names, way) in [
        ("remove_request_headers", &route.remove_request_headers, Way::There),
        ("remove_response_headers", &route.remove_response_headers, Way::Back),
    ] {
        for (position, name) in names.iter().enumerate() {
            match name.parse::<HeaderName>() {
                Err(_) => {
                    let text = format!("`{name}` is not the name of a header");
                    report.element_fault(&key(field), position, text, "write one such as X-Name");
                }
                Ok(name) => may_change(&name, way, own, &key(field), position, report),
            }
        }
    }
}

fn strip_prefix(route: &Route, key: &str, report: &mut Report) {
    let prefix = &route.strip_prefix;
    if prefix.is_empty() {
        return;
    }
    if let Some(fault) = not_canonical(prefix) {
        let text = format!("`{prefix}` {fault}");
        report.fault(key, text, "write it as /api: a slash in front, none at the end");
    } else if prefix.ends_with('/') {
        let text = format!("`{prefix}` ends with a slash");
        report.fault(key, text, "write it as /api: a slash in front, none at the end");
    } else if !lies_under(&route.path, prefix) {
        let text = format!("`{prefix}` is not the start of the route's path `{}`", route.path);
        report.fault(key, text, "write a prefix that every request of the route has");
    }
}

fn may_change(
    name: &HeaderName,
    way: Way,
    own: &IdentityHeaders,
    key: &str,
    position: usize,
    report: &mut Report,
) {
    let folded = fold(name.as_str());
    let identity = [&own.user, &own.user_id, &own.email, &own.groups, &own.assertion];
    if FRAMING.contains(&folded.as_str()) {
        let text = format!("`{name}` frames the message or belongs to one connection");
        report.element_fault(key, position, text, "leave it out: the gateway writes it");
    } else if identity.into_iter().any(|own| !own.is_empty() && fold(own) == folded)
        || folded.starts_with("xportcullis")
    {
        let text = format!("`{name}` tells who asks, and only the gateway says that");
        report.element_fault(key, position, text, "leave it out, or see [identity_headers]");
    } else if way == Way::There && FORWARDING.contains(&folded.as_str()) {
        let text = format!("`{name}` tells where a request came from, as the gateway knows it");
        report.element_fault(key, position, text, "leave it out");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::testing::faulty;
    use crate::config::{IdentityHeaders, Period};

    fn faults(route: &Route) -> Vec<String> {
        let identity_headers =
            IdentityHeaders { user: "Remote-User".into(), ..IdentityHeaders::default() };
        let settings = Settings { identity_headers, ..Settings::default() };
        faulty(|route, report| check(route, 0, &settings, report), route)
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn what_is_stripped_is_the_start_of_every_path_of_the_route() {
        let stripped = |path: &str, prefix: &str| {
            faults(&Route { path: path.into(), strip_prefix: prefix.into(), ..Route::default() })
        };
        for (path, prefix) in [("/", ""), ("/api", "/api"), ("/api/", "/api"), ("/api/v1", "/api")]
        {
            assert!(stripped(path, prefix).is_empty(), "{path} {prefix}");
        }
        for (path, prefix) in [
            ("/", "/api"),
            ("/api", "/api/v1"),
            ("/apis", "/api"),
            ("/api", "/"),
            ("/api", "/api/"),
            ("/api", "api"),
            ("/api", "/a%70i"),
        ] {
            assert_eq!(stripped(path, prefix), ["routes[0].strip_prefix"], "{path} {prefix}");
        }
    }

    #[test]
    fn headers_that_are_ours_to_write_cannot_be_changed() {
        let good = Route {
            set_request_headers: words(&["X-Env: prod", "Authorization: Basic YTpi"]),
            remove_request_headers: words(&["Cookie"]),
            set_response_headers: words(&["Strict-Transport-Security: max-age=1", "X-Real-IP: x"]),
            remove_response_headers: words(&["Server"]),
            upstream_read_timeout: Some(Period::seconds(1)),
            ..Route::default()
        };
        assert!(faults(&good).is_empty());
        let bad = Route {
            set_request_headers: words(&[
                "Host: a",
                "remote_user: root",
                "X-Portcullis-Assertion: a",
                "X-Forwarded-For: 1.2.3.4",
                "no colon",
            ]),
            remove_request_headers: words(&["Content-Length", "a b"]),
            set_response_headers: words(&["Transfer-Encoding: chunked"]),
            remove_response_headers: words(&["Remote-User"]),
            upstream_read_timeout: Some(Period::seconds(0)),
            ..Route::default()
        };
        assert_eq!(
            faults(&bad),
            [
                "routes[0].remove_request_headers",
                "routes[0].remove_request_headers",
                "routes[0].remove_response_headers",
                "routes[0].set_request_headers",
                "routes[0].set_request_headers",
                "routes[0].set_request_headers",
                "routes[0].set_request_headers",
                "routes[0].set_request_headers",
                "routes[0].set_response_headers",
                "routes[0].upstream_read_timeout",
            ]
        );
    }

    #[test]
    fn the_value_of_a_bad_line_is_not_told() {
        let mut report = Report::default();
        let route =
            Route { set_request_headers: words(&["Authorization hunter2"]), ..Route::default() };
        check(&route, 0, &Settings::default(), &mut report);
        assert!(!report.finish().unwrap_err().to_string().contains("hunter2"));
    }
}
