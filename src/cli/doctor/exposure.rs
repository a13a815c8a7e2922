//! What the settings leave open to others: whom they believe, and what they show.
//!
//! It must not connect anywhere.

use std::net::IpAddr;

use ipnet::IpNet;

use super::finding::Findings;
use crate::config::{Access, Route, Settings, Warning};

const CONFIGURATION: &str = "configuration";
const PROXIES: &str = "trusted-proxies";
const TELEMETRY: &str = "telemetry-public";
const ROUTES: &str = "routes";

/// Says what loading warned of.
pub(super) fn configuration(warnings: &[Warning], findings: &mut Findings) {
    if warnings.is_empty() {
        findings.ok(CONFIGURATION, "loads without a warning");
    }
    for warning in warnings {
        let remedy = format!("change {}, or leave it if it is meant", warning.key);
        findings.warning(CONFIGURATION, warning.to_string(), remedy);
    }
}

pub(super) fn settings(settings: &Settings, findings: &mut Findings) {
    proxies(settings, findings);
    telemetry(settings, findings);
    routes(&settings.routes, findings);
}

/// Whoever is believed can claim any address, and with it get round throttles and limits.
fn proxies(settings: &Settings, findings: &mut Findings) {
    const KEY: &str = "server.trusted_proxies";
    let mut networks = Vec::new();
    networks.extend(settings.server.trusted_proxies.iter().map(|net| (KEY, net)));
    for listener in &settings.server.listeners {
        networks
            .extend(listener.proxy_protocol_from.iter().map(|net| ("proxy_protocol_from", net)));
    }
    for (key, network) in networks {
        let remedy = format!("write the addresses of your own proxies to {key}, and no more");
        if network.prefix_len() == 0 {
            let text = format!("{network} believes every client: anybody can claim any address");
            findings.problem(PROXIES, text, remedy);
        } else if is_public(network) && is_wide(network) {
            let text = format!("{network} is wide, and not a private network: who else is in it?");
            findings.warning(PROXIES, text, remedy);
        }
    }
    if findings.is_well(PROXIES) {
        let text = match settings.server.trusted_proxies.len() {
            0 => "none are believed: client addresses are those of the connections".to_owned(),
            count => format!("{count} networks are believed, none of them too wide"),
        };
        findings.ok(PROXIES, text);
    }
}

fn is_wide(network: &IpNet) -> bool {
    network.prefix_len() < if network.addr().is_ipv4() { 20 } else { 40 }
}

fn is_public(network: &IpNet) -> bool {
    const PRIVATE: [&str; 8] = [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "fc00::/7",
        "fe80::/10",
        "::1/128",
    ];
    let private = PRIVATE.iter().filter_map(|text| text.parse::<IpNet>().ok());
    !private.into_iter().any(|private| private.contains(network))
}

/// Metrics name routes, issuers and certificates, and tell how busy the gateway is.
fn telemetry(settings: &Settings, findings: &mut Findings) {
    let Some(address) = settings.server.telemetry_listen else {
        let remedy = "set server.telemetry_listen = \"127.0.0.1:9464\"";
        return findings.warning(TELEMETRY, "there are neither probes nor metrics", remedy);
    };
    if address.ip().is_loopback() {
        findings.ok(TELEMETRY, format!("{address} can be reached from this machine only"));
    } else if address.ip().is_unspecified() || is_public(&IpNet::from(address.ip())) {
        let text = format!("probes and metrics at {address} answer whoever can reach it");
        let remedy = "bind server.telemetry_listen to loopback, or let only probes and Prometheus \
                      reach it (a firewall, a NetworkPolicy)";
        findings.warning(TELEMETRY, text, remedy);
    } else {
        findings.ok(TELEMETRY, format!("{address} is an address of a private network"));
    }
}

fn routes(routes: &[Route], findings: &mut Findings) {
    let is_open = |route: &&Route| matches!(route.access, Access::Anonymous | Access::Optional);
    let open: Vec<&str> = routes.iter().filter(is_open).map(|route| route.path.as_str()).collect();
    if open.contains(&"/") {
        let text = "what no other route matches is open to everybody (`/`)";
        let remedy = "write access = \"authenticated\" for `/`, and open single paths";
        findings.warning(ROUTES, text, remedy);
    } else if open.is_empty() {
        findings.ok(ROUTES, "none is open without a credential");
    } else {
        findings.ok(ROUTES, format!("open without a credential: {}", open.join(" ")));
    }
}

/// Whether an address leads to this machine and to no other.
pub(super) fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Listener;

    fn told(settings: &Settings) -> String {
        let mut findings = Findings::default();
        super::settings(settings, &mut findings);
        let mut text = Vec::new();
        findings.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn result_of(check: &str, settings: &Settings) -> String {
        let told = told(settings);
        let line = told.lines().find(|line| line.contains(check)).unwrap();
        line.split("  ").next().unwrap().to_owned()
    }

    #[test]
    fn nobody_and_private_networks_may_be_believed_and_the_internet_may_not() {
        let with = |networks: &[&str]| {
            let mut settings = Settings::default();
            settings.server.trusted_proxies =
                networks.iter().map(|text| text.parse().unwrap()).collect();
            result_of(PROXIES, &settings)
        };
        assert_eq!(with(&[]), "ok");
        assert_eq!(with(&["10.0.0.0/8", "fd00::/8", "203.0.113.0/24"]), "ok");
        assert_eq!(with(&["104.16.0.0/13"]), "warning");
        assert_eq!(with(&["0.0.0.0/0"]), "problem");
        assert_eq!(with(&["::/0"]), "problem");

        let mut settings = Settings::default();
        let proxy_protocol_from = vec!["0.0.0.0/0".parse().unwrap()];
        let listener =
            Listener { proxy_protocol: true, proxy_protocol_from, ..Listener::default() };
        settings.server.listeners = vec![listener];
        assert_eq!(result_of(PROXIES, &settings), "problem");
    }

    #[test]
    fn metrics_are_for_this_machine_or_a_private_network() {
        let at = |address: Option<&str>| {
            let mut settings = Settings::default();
            settings.server.telemetry_listen = address.map(|text| text.parse().unwrap());
            result_of(TELEMETRY, &settings)
        };
        assert_eq!(at(Some("127.0.0.1:9464")), "ok");
        assert_eq!(at(Some("10.1.2.3:9464")), "ok");
        assert_eq!(at(Some("0.0.0.0:9464")), "warning");
        assert_eq!(at(Some("203.0.113.7:9464")), "warning");
        assert_eq!(at(None), "warning");
    }

    #[test]
    fn single_paths_may_be_open_and_the_rest_may_not() {
        let with = |path: &str, access| {
            let route = Route { path: path.to_owned(), access, ..Route::default() };
            let settings = Settings { routes: vec![route], ..Settings::default() };
            result_of(ROUTES, &settings)
        };
        assert_eq!(with("/public/", Access::Anonymous), "ok");
        assert_eq!(with("/", Access::Authenticated), "ok");
        assert_eq!(with("/", Access::Anonymous), "warning");
        assert_eq!(with("/", Access::Optional), "warning");
    }

    #[test]
    fn a_warning_of_the_configuration_is_one_here() {
        let mut findings = Findings::default();
        configuration(&[], &mut findings);
        assert!(findings.is_well(CONFIGURATION));
        let (place, key, text) = (String::new(), "accounts.argon2".to_owned(), "cheap".to_owned());
        configuration(&[Warning { place, key, text }], &mut findings);
        assert!(!findings.is_well(CONFIGURATION));
    }

    #[test]
    fn this_machine_has_several_names() {
        for host in ["localhost", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["app", "10.0.0.1", "localhost.example", "0.0.0.0"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
