//! `[identity_headers]`: names that can carry an identity without breaking a request.

use crate::config::fault::Report;
use crate::config::sections::{IdentityHeaders, Settings};

/// Names with a meaning of their own, folded.
const TAKEN: &[&str] = &[
    "age",
    "allow",
    "authorization",
    "cachecontrol",
    "connection",
    "contentlength",
    "contenttype",
    "contentencoding",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "from",
    "host",
    "http2settings",
    "keepalive",
    "maxforwards",
    "origin",
    "pragma",
    "priority",
    "proxyauthenticate",
    "proxyauthorization",
    "proxyconnection",
    "range",
    "referer",
    "server",
    "setcookie",
    "te",
    "traceparent",
    "tracestate",
    "baggage",
    "trailer",
    "trailers",
    "transferencoding",
    "upgrade",
    "useragent",
    "via",
    "warning",
    "wwwauthenticate",
    "xforwardedfor",
    "xforwardedhost",
    "xforwardedport",
    "xforwardedprefix",
    "xforwardedproto",
    "xforwardedscheme",
    "xforwardedserver",
    "xforwardedmethod",
    "xforwardeduri",
    "xrealip",
    "xrequestid",
    "xoriginalurl",
    "xoriginaluri",
    "xoriginalmethod",
    "xrewriteurl",
    "xhttpmethodoverride",
];

/// Beginnings of such names, folded.
const FAMILIES: &[&str] = &["accept", "access-control", "if-", "sec-", "content-"];

pub(super) fn check(headers: &IdentityHeaders, report: &mut Report) {
    let names = [
        ("user", &headers.user),
        ("user_id", &headers.user_id),
        ("email", &headers.email),
        ("groups", &headers.groups),
        ("assertion", &headers.assertion),
    ];
    let names: Vec<_> = names.into_iter().filter(|(_, name)| !name.is_empty()).collect();
    for (index, (field, name)) in names.iter().enumerate() {
        let key = format!("identity_headers.{field}");
        let folded = fold(name);
        let lower = name.to_ascii_lowercase();
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() || folded.is_empty() {
            let remedy =
                "write letters, digits and dashes, such as X-Forwarded-User, or \"\" for none";
            report.fault(&key, "is not the name of a header", remedy);
        } else if TAKEN.contains(&folded.as_str())
            || FAMILIES.iter().any(|start| lower.replace('_', "-").starts_with(start))
        {
            let text = format!("`{name}` means something else in every request");
            report.fault(&key, text, "choose another name, such as X-Forwarded-User");
        } else if let Some((other, _)) =
            names[..index].iter().find(|(_, earlier)| fold(earlier) == folded)
        {
            let text = format!("`{name}` is read as the same name as identity_headers.{other}");
            report.fault(&key, text, "give each its own, or \"\" to one");
        }
    }
    if headers.unverified_email && headers.email.is_empty() {
        let text = "without a header for the address it does nothing";
        report.warn("identity_headers.unverified_email", text);
    }
}

/// Whoever is to check a signature needs the public key.
pub(super) fn check_assertion(settings: &Settings, report: &mut Report) {
    let algorithm = &settings.tokens.jwt.algorithm;
    if !settings.identity_headers.assertion.is_empty() && algorithm.starts_with("HS") {
        let key = "identity_headers.assertion";
        let text = format!("whoever can check what {algorithm} signs can sign it as well");
        let remedy = "write algorithm = \"ES256\" under [tokens.jwt], or leave the assertion out";
        report.fault_because(key, "tokens.jwt.algorithm", text, remedy);
    }
}

/// As servers that mix up `-`, `_` and cases read a name.
pub(super) fn fold(name: &str) -> String {
    let known = name.chars().filter(char::is_ascii_alphanumeric);
    known.map(|char| char.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::testing::{faulty, warned};
    use crate::config::sections::Preset;

    fn named(user: &str, email: &str) -> IdentityHeaders {
        IdentityHeaders { user: user.to_owned(), email: email.to_owned(), ..Default::default() }
    }

    #[test]
    fn an_assertion_wants_a_key_with_a_public_half() {
        let mut settings = Settings::default();
        settings.identity_headers.assertion = "X-Portcullis-Assertion".into();
        assert!(faulty(check_assertion, &settings).is_empty());
        settings.tokens.jwt.algorithm = "HS256".into();
        assert_eq!(faulty(check_assertion, &settings), ["identity_headers.assertion"]);
        settings.identity_headers.assertion.clear();
        assert!(faulty(check_assertion, &settings).is_empty());
    }

    #[test]
    fn every_preset_is_good() {
        for preset in [Preset::XForwarded, Preset::Remote, Preset::XAuthRequest, Preset::None] {
            let [user, user_id, email, groups] = preset.names().map(str::to_owned);
            let headers = IdentityHeaders { user, user_id, email, groups, ..Default::default() };
            assert!(warned(check, &headers).is_empty(), "{preset:?}");
        }
    }

    #[test]
    fn names_that_mean_something_else_are_refused() {
        for wrong in [
            "Host",
            "authorization",
            "Content_Length",
            "X-Forwarded-For",
            "Content-Foo",
            "If-Match",
            "Sec-Fetch-Site",
            "Transfer.Encoding",
            "a b",
            "a:b",
            "Ü",
            "---",
        ] {
            assert_eq!(faulty(check, &named(wrong, "")), ["identity_headers.user"], "{wrong}");
        }
    }

    #[test]
    fn names_that_some_server_cannot_tell_apart_are_refused() {
        assert_eq!(faulty(check, &named("X-User", "x_user")), ["identity_headers.email"]);
        assert!(faulty(check, &named("", "")).is_empty());
    }
}
