//! `[[routes]]`, `[cors]`: everything leads somewhere, and can be reached.

use http::Method;

use super::paths::{KEY_SET, lies_under, not_canonical};
use super::server::is_origin;
use crate::config::endpoint::is_host_name;
use crate::config::fault::Report;
use crate::config::sections::{Access, Mode, Route, Scheme, Settings};
use crate::config::words::nearest;

pub(super) fn check(settings: &Settings, report: &mut Report) {
    for (index, route) in settings.routes.iter().enumerate() {
        let key = |field: &str| format!("routes.{index}.{field}");
        path(route, settings, &key("path"), report);
        same(route, &settings.routes[..index], &key("path"), report);
        hosts_and_methods(route, index, report);
        credentials(route, settings, &key("credentials"), report);
        mode(route, &key("mode"), report);
        upstream(route, settings, &key("upstream"), report);
        super::changes::check(route, index, settings, report);
        if !route.groups.is_empty()
            && matches!(route.access, Access::Anonymous | Access::Optional | Access::Deny)
        {
            let text = "groups need somebody who has them";
            report.fault(
                &key("groups"),
                text,
                "write access = \"authenticated\", or leave groups out",
            );
        }
    }
    for (index, origin) in settings.cors.allowed_origins.iter().enumerate() {
        if origin != "*" && !is_origin(origin) {
            let text = format!("`{origin}` is not what a browser calls an origin");
            let remedy = "write it in lower case as https://app.example.com, without a slash at the end, or \"*\"";
            report.element_fault("cors.allowed_origins", index, text, remedy);
        }
    }
}

fn path(route: &Route, settings: &Settings, key: &str, report: &mut Report) {
    let path = &route.path;
    let server = &settings.server;
    if path.is_empty() {
        report.fault(key, "is missing", "write the prefix it is for, such as \"/\"");
    } else if let Some(fault) = not_canonical(path) {
        let remedy = "write it as a request's path reads, such as /static/";
        report.fault(key, format!("`{path}` {fault}"), remedy);
    } else if let Some(own) = [&server.auth_prefix, &server.reserved_prefix]
        .into_iter()
        .find(|prefix| prefix.len() > 1 && lies_under(path, prefix))
    {
        let text = format!("`{path}` is never reached: the gateway itself answers under {own}");
        report.fault(key, text, "choose another path, or another prefix under [server]");
    } else if lies_under(path, KEY_SET) {
        let text = format!("`{path}` is never reached: the gateway itself answers there");
        report.fault(key, text, "leave the route out");
    }
}

/// Two routes that the same request could take, with nothing to choose by.
fn same(route: &Route, earlier: &[Route], key: &str, report: &mut Report) {
    let meet = |one: &[String], other: &[String]| {
        one.is_empty() && other.is_empty() || one.iter().any(|word| other.contains(word))
    };
    let trimmed = |route: &Route| route.path.trim_end_matches('/').to_owned();
    let same = |other: &&Route| {
        trimmed(other) == trimmed(route)
            && meet(&other.hosts, &route.hosts)
            && meet(&other.methods, &route.methods)
    };
    if route.path.is_empty() {
        return;
    }
    if let Some(other) = earlier.iter().find(same) {
        let text = match other.origin.as_str() {
            "" => "an earlier route has the same path, host and method".to_owned(),
            origin => format!("the route at {origin} has the same path, host and method"),
        };
        report.fault(key, text, "leave one out, or tell them apart by path, host or methods");
    }
}

fn hosts_and_methods(route: &Route, index: usize, report: &mut Report) {
    let key = format!("routes.{index}.host");
    for (position, host) in route.hosts.iter().enumerate() {
        let name = host.strip_prefix("*.").unwrap_or(host);
        let is_address =
            name.starts_with('[') && super::super::endpoint::host_and_port(name).is_ok();
        if !is_host_name(name) && !is_address {
            let text = format!("`{host}` is not a host");
            let remedy = "write a name such as app.example.com, without scheme, port and path";
            report.element_fault(&key, position, text, remedy);
        }
    }
    let key = format!("routes.{index}.methods");
    for (position, method) in route.methods.iter().enumerate() {
        let upper = method.to_uppercase();
        if Method::from_bytes(method.as_bytes()).is_err() {
            let text = format!("`{method}` is not a method");
            report.element_fault(&key, position, text, "write methods such as \"GET\"");
        } else if *method != upper {
            let text = format!("`{method}` is never sent: methods are in capital letters");
            report.element_fault(&key, position, text, format!("write \"{upper}\""));
        }
    }
}

fn credentials(route: &Route, settings: &Settings, key: &str, report: &mut Report) {
    if route.credentials.is_empty() {
        let remedy = "write [\"bearer\"], [\"basic\"] or both, or leave it out";
        report.fault(key, "no credential would ever count", remedy);
    }
    if !route.credentials.contains(&Scheme::Basic) {
        return;
    }
    if route.access == Access::Anonymous {
        let text = "nobody looks at credentials where access = \"anonymous\"";
        report.fault(key, text, "leave \"basic\" out, or write access = \"optional\"");
    }
    let server = &settings.server;
    if server.is_reachable() && server.tls.is_none() && server.trusted_proxies.is_empty() {
        let text = "\"basic\" on an address that others can reach, without TLS: every request carries a password that anybody on the way can read";
        report.warn_because(key, "server.listen", text);
    }
}

fn mode(route: &Route, key: &str, report: &mut Report) {
    match (route.mode, route.access) {
        (Mode::Enforce, _) => {}
        (Mode::Observe, Access::Deny | Access::Anonymous) => {
            let text = "there is nothing to observe where nobody or everybody passes";
            report.fault(key, text, "leave it out");
        }
        (Mode::Observe, _) => {
            let text = "everybody passes this route: what the gateway would refuse is only logged and counted";
            report.warn(key, text);
        }
    }
}

fn upstream(route: &Route, settings: &Settings, key: &str, report: &mut Report) {
    let names: Vec<&str> =
        settings.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    match route.upstream.as_deref().filter(|name| !name.is_empty()) {
        None if route.access == Access::Deny => {}
        // Proxies that may ask about it know where to send it.
        None if !settings.server.trusted_proxies.is_empty() => {}
        None => {
            let remedy = match names.as_slice() {
                [only] => format!("write upstream = \"{only}\""),
                _ => "write the name of one of [[upstreams]]; none is needed with access = \"deny\", or where only \
                      proxies ask (forward-auth): write these to server.trusted_proxies then"
                    .to_owned(),
            };
            report.fault(key, "is missing", remedy);
        }
        // The name may be that of an upstream that could not be read.
        Some(_) if report.is_faulty("upstreams") => {}
        Some(_)
            if (0..names.len())
                .any(|index| report.is_faulty(&format!("upstreams.{index}.name"))) => {}
        Some(name) if !names.contains(&name) => {
            let remedy = match nearest(name, &names) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None if names.is_empty() => format!("write [[upstreams]] with name = \"{name}\""),
                None => format!("there is {}", names.join(", ")),
            };
            report.fault(key, format!("there is no upstream `{name}`"), remedy);
        }
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::testing::{faulty, warned};
    use crate::config::{Tls, Upstream};

    fn route(path: &str) -> Route {
        Route { path: path.to_owned(), upstream: Some("app".to_owned()), ..Route::default() }
    }

    fn with(routes: Vec<Route>) -> Settings {
        let (name, servers) = ("app".to_owned(), vec!["127.0.0.1:3000".to_owned()]);
        let upstreams = vec![Upstream { name, servers, ..Upstream::default() }];
        Settings { upstreams, routes, ..Settings::default() }
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn every_route_leads_to_an_upstream_that_there_is() {
        let deny = Route { access: Access::Deny, upstream: None, ..route("/internal") };
        assert!(faulty(check, &with(vec![route("/"), deny])).is_empty());

        let unknown = Route { upstream: Some("ap".to_owned()), ..route("/a") };
        let none = Route { upstream: None, ..route("/b") };
        assert_eq!(
            faulty(check, &with(vec![unknown, none])),
            ["routes[0].upstream", "routes[1].upstream"]
        );
    }

    #[test]
    fn a_route_needs_no_upstream_where_other_proxies_may_ask_about_it() {
        let mut settings = with(vec![Route { upstream: None, ..route("/") }]);
        assert_eq!(faulty(check, &settings), ["routes[0].upstream"]);
        settings.server.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        assert!(faulty(check, &settings).is_empty());
    }

    #[test]
    fn a_path_is_canonical_and_not_the_gateways_own() {
        for wrong in [
            "",
            "a",
            "/a//b",
            "/a/./b",
            "/a;b",
            "/a%20b",
            "/a?b",
            "/ä",
            "/auth",
            "/auth/",
            "/auth/users",
            "/_portcullis/x",
            "/.well-known/jwks.json",
        ] {
            assert_eq!(faulty(check, &with(vec![route(wrong)])), ["routes[0].path"], "{wrong}");
        }
        for good in ["/", "/static/", "/authors", "/.well-known/", "/a/b.c~d!$&'()*+,=:@"] {
            assert!(faulty(check, &with(vec![route(good)])).is_empty(), "{good}");
        }
    }

    #[test]
    fn two_routes_for_one_request_need_something_to_choose_by() {
        let at = |path: &str, hosts: &[&str], methods: &[&str]| Route {
            hosts: words(hosts),
            methods: words(methods),
            ..route(path)
        };
        for (one, other, same) in [
            (at("/a", &[], &[]), at("/a", &[], &[]), true),
            (at("/a", &[], &[]), at("/a/", &[], &[]), true),
            (at("/a", &[], &[]), at("/b", &[], &[]), false),
            (at("/a", &["x"], &[]), at("/a", &["y"], &[]), false),
            (at("/a", &["x"], &[]), at("/a", &[], &[]), false),
            (at("/a", &["x"], &["GET"]), at("/a", &["x", "y"], &["GET", "PUT"]), true),
            (at("/a", &["x"], &["GET"]), at("/a", &["x"], &["PUT"]), false),
        ] {
            let keys = faulty(check, &with(vec![one, other]));
            assert_eq!(keys == ["routes[1].path"], same, "{keys:?}");
        }
    }

    #[test]
    fn hosts_methods_and_groups_make_sense() {
        let odd = Route {
            hosts: words(&[
                "app.example",
                "*.app.example",
                "https://app.example",
                "app.example:80",
            ]),
            methods: words(&["GET", "get", "G T"]),
            access: Access::Optional,
            groups: words(&["admins"]),
            ..route("/")
        };
        assert_eq!(
            faulty(check, &with(vec![odd])),
            [
                "routes[0].groups",
                "routes[0].host",
                "routes[0].host",
                "routes[0].methods",
                "routes[0].methods",
            ]
        );
    }

    #[test]
    fn some_credential_counts_and_basic_only_where_credentials_are_looked_at() {
        let taking = |access, credentials: &[Scheme]| {
            let credentials = credentials.to_vec();
            faulty(check, &with(vec![Route { access, credentials, ..route("/") }]))
        };
        let both = [Scheme::Bearer, Scheme::Basic];
        assert!(taking(Access::Optional, &both).is_empty());
        assert!(taking(Access::Authenticated, &both[1..]).is_empty());
        assert!(taking(Access::Anonymous, &both[..1]).is_empty());
        assert_eq!(taking(Access::Anonymous, &both), ["routes[0].credentials"]);
        assert_eq!(taking(Access::Authenticated, &[]), ["routes[0].credentials"]);
    }

    #[test]
    fn what_is_only_observed_is_warned_of_and_must_be_something() {
        let observed = |access| with(vec![Route { access, mode: Mode::Observe, ..route("/") }]);
        assert_eq!(faulty(check, &observed(Access::Anonymous)), ["routes[0].mode"]);
        assert_eq!(faulty(check, &observed(Access::Deny)), ["routes[0].mode"]);
        assert_eq!(warned(check, &observed(Access::Staff)), ["routes[0].mode"]);
        assert!(warned(check, &with(vec![route("/")])).is_empty());
    }

    #[test]
    fn passwords_in_every_request_without_tls_are_warned_of() {
        let warned = |change: fn(&mut Settings)| {
            let credentials = vec![Scheme::Basic];
            let mut settings = with(vec![Route { credentials, ..route("/") }]);
            settings.server.listen = vec!["0.0.0.0:80".parse().unwrap()];
            change(&mut settings);
            let mut report = Report::default();
            check(&settings, &mut report);
            let warnings = report.finish().unwrap();
            warnings.into_iter().map(|warning| warning.key).collect::<Vec<_>>()
        };
        assert_eq!(warned(|_| ()), ["routes[0].credentials"]);
        assert!(warned(|s| s.server.listen = vec!["127.0.0.1:80".parse().unwrap()]).is_empty());
        assert!(warned(|s| s.server.tls = Some(Tls::default())).is_empty());
        assert!(
            warned(|s| s.server.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()]).is_empty()
        );
        assert!(warned(|s| s.routes[0].credentials = vec![Scheme::Bearer]).is_empty());
    }

    #[test]
    fn an_origin_has_no_path_and_no_capitals() {
        let mut settings = Settings::default();
        settings.cors.allowed_origins = words(&["https://a.example", "http://[::1]:3000", "*"]);
        assert!(faulty(check, &settings).is_empty());
        settings.cors.allowed_origins =
            words(&["https://a.example/", "https://A.example", "a.example", "null"]);
        assert_eq!(faulty(check, &settings), ["cors.allowed_origins"; 4]);
    }
}
