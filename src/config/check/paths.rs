//! Paths and prefixes: in the one canonical form that requests are brought to.

use crate::config::fault::Report;
use crate::config::sections::Server;

/// Where the public keys are served.
pub(super) const KEY_SET: &str = "/.well-known/jwks.json";

/// The two prefixes of [`Server`].
pub(super) fn check_prefixes(server: &Server, report: &mut Report) {
    let prefixes = [
        ("server.auth_prefix", &server.auth_prefix),
        ("server.reserved_prefix", &server.reserved_prefix),
    ];
    for (key, prefix) in prefixes {
        let remedy = "write it as /auth: a slash in front, none at the end";
        if let Some(fault) = not_canonical(prefix) {
            report.fault(key, format!("`{prefix}` {fault}"), remedy);
        } else if prefix.ends_with('/') {
            report.fault(key, format!("`{prefix}` ends with a slash"), remedy);
        } else if lies_under(KEY_SET, prefix) {
            report.fault(key, format!("{KEY_SET} lies under it"), "choose another prefix");
        }
    }
    let [(_, auth), (key, reserved)] = prefixes;
    if lies_under(auth, reserved) || lies_under(reserved, auth) {
        let text = format!("`{reserved}` and server.auth_prefix `{auth}` overlap");
        report.fault_because(
            key,
            "server.auth_prefix",
            text,
            "choose prefixes of which neither lies under the other",
        );
    }
}

/// Whether `path` is `prefix` or lies under it, on segment borders.
pub(super) fn lies_under(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What keeps a path from being canonical: no request could ever match it.
pub(super) fn not_canonical(path: &str) -> Option<&'static str> {
    match () {
        () if !path.starts_with('/') => Some("does not begin with a slash"),
        () if path.contains("//") => Some("has an empty segment (//)"),
        () if path.contains('%') => Some("is percent-encoded"),
        () if path.contains(['?', '#']) => Some("has a query or fragment"),
        () if path.contains([';', '\\']) => {
            Some("has a `;` or `\\`, which are refused in requests")
        }
        () if path.split('/').any(|segment| [".", ".."].contains(&segment)) => {
            Some("has a dot segment")
        }
        () if !path.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Some("has a blank, a control or something outside ASCII")
        }
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::testing::faulty;

    fn server(auth: &str, reserved: &str) -> Server {
        let (auth_prefix, reserved_prefix) = (auth.to_owned(), reserved.to_owned());
        Server { auth_prefix, reserved_prefix, ..Server::default() }
    }

    #[test]
    fn prefixes_are_canonical_and_apart() {
        for (auth, reserved) in [("/auth", "/_portcullis"), ("/api/auth", "/api/gate")] {
            assert!(faulty(check_prefixes, &server(auth, reserved)).is_empty());
        }
        for wrong in
            ["", "/", "auth", "/auth/", "/a//b", "/a/../b", "/a%20", "/a b", "/ä", "/.well-known"]
        {
            assert_eq!(
                faulty(check_prefixes, &server(wrong, "/x"))[0],
                "server.auth_prefix",
                "{wrong}"
            );
        }
        for (auth, reserved) in [("/auth", "/auth"), ("/auth", "/auth/x"), ("/auth/x", "/auth")] {
            assert_eq!(faulty(check_prefixes, &server(auth, reserved)), ["server.reserved_prefix"]);
        }
    }

    #[test]
    fn a_prefix_ends_on_a_segment_border() {
        assert!(lies_under("/auth", "/auth"));
        assert!(lies_under("/auth/x", "/auth/"));
        assert!(!lies_under("/authors", "/auth"));
        assert!(lies_under("/anything", "/"));
    }
}
