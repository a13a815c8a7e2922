//! `[[upstreams]]`: every server can be addressed, and is who it says it is.

use std::net::IpAddr;

use http::uri::PathAndQuery;

use crate::config::endpoint::{Endpoint, ServerAddress, host_and_port, is_host_name};
use crate::config::fault::Report;
use crate::config::sections::{HealthCheck, Protocol, Settings, Upstream};

/// More would only multiply the load of a back end that is down.
const MOST_RETRIES: u32 = 10;

pub(super) fn check(settings: &Settings, report: &mut Report) {
    for (index, upstream) in settings.upstreams.iter().enumerate() {
        let key = format!("upstreams.{index}");
        name(upstream, &settings.upstreams[..index], &format!("{key}.name"), report);
        servers(upstream, &format!("{key}.servers"), report);
        tls(upstream, &key, report);
        if let Some(health) = &upstream.health_check {
            health_check(health, &format!("{key}.health_check"), report);
        }
        if upstream.retries > MOST_RETRIES {
            let text = "a back end that is down would be asked many times over";
            report.fault(&format!("{key}.retries"), text, "write 10 or less");
        }
        let ejection = &upstream.ejection;
        if ejection.failures > 0 && ejection.time.is_zero() {
            let remedy = "write a time such as \"5s\", or failures = 0";
            report.fault(&format!("{key}.ejection.time"), "is no time at all", remedy);
        }
        if ejection.longest < ejection.time {
            let remedy = "write as much as time, or more";
            report.fault(&format!("{key}.ejection.longest"), "is shorter than time", remedy);
        }
    }
}

fn name(upstream: &Upstream, earlier: &[Upstream], key: &str, report: &mut Report) {
    if upstream.name.is_empty() {
        report.fault(key, "is missing", "write a name for routes to use");
    } else if earlier.iter().any(|earlier| earlier.name == upstream.name) {
        let text = format!("`{}` is the name of an earlier upstream", upstream.name);
        report.fault(key, text, "give each its own, or put the servers together");
    }
}

fn servers(upstream: &Upstream, key: &str, report: &mut Report) {
    if upstream.servers.is_empty() {
        let remedy = "write one, such as [\"127.0.0.1:3000\"]";
        report.fault(key, "there is no server to send requests to", remedy);
    }
    for (position, server) in upstream.servers.iter().enumerate() {
        match server.parse::<ServerAddress>() {
            Err(error) => {
                // A user name before the host may come with a password.
                let text = if server.contains('@') {
                    format!("not a server: {error}")
                } else {
                    format!("`{server}` is not a server: {error}")
                };
                let remedy = "write host:port, http://host, https://host[:port] or unix:/path, and \
                              weight=3 behind it for a larger share";
                report.element_fault(key, position, text, remedy);
            }
            Ok(ServerAddress { endpoint: Endpoint::Tcp { host, tls: true, .. }, .. })
                if host.parse::<IpAddr>().is_ok() && upstream.tls.server_name.is_empty() =>
            {
                let text = format!("`{server}` has no name that its certificate could be held to");
                let remedy = "write the host's name, or server_name under [upstreams.tls]";
                report.element_fault(key, position, text, remedy);
            }
            Ok(_) => {}
        }
    }
}

fn tls(upstream: &Upstream, key: &str, report: &mut Report) {
    let tls = &upstream.tls;
    let speaks = |text: &String| {
        let endpoint = text.parse().map(|server: ServerAddress| server.endpoint);
        matches!(endpoint, Ok(Endpoint::Tcp { tls: true, .. }) | Err(_))
    };
    let any = upstream.servers.is_empty() || upstream.servers.iter().any(speaks);
    if !any && !tls.is_default() {
        let remedy = "write https:// before its servers, or leave this out";
        report.fault(&format!("{key}.tls"), "no server of this upstream speaks TLS", remedy);
    }
    if upstream.protocol == Protocol::Negotiate && !upstream.servers.iter().all(speaks) {
        let remedy = "write https:// before every server, or protocol = \"http1\" or \"http2\"";
        report.fault(&format!("{key}.protocol"), "only TLS can negotiate a protocol", remedy);
    }
    let name = &tls.server_name;
    if !name.is_empty() && !is_host_name(name) && name.parse::<IpAddr>().is_err() {
        let text = format!("`{name}` is not a name that a certificate could carry");
        let remedy = "write a name such as app.internal, without scheme and port";
        report.fault(&format!("{key}.tls.server_name"), text, remedy);
    }
    let (certificate, private_key) =
        (tls.certificate.as_os_str().is_empty(), tls.private_key.as_os_str().is_empty());
    if certificate != private_key {
        let (missing, remedy) = if certificate {
            (
                "certificate",
                "name the PEM file with the certificate chain, or leave private_key out",
            )
        } else {
            ("private_key", "name the PEM file with the private key, or leave certificate out")
        };
        report.fault(&format!("{key}.tls.{missing}"), "is missing", remedy);
    }
}

fn health_check(health: &HealthCheck, key: &str, report: &mut Report) {
    if health.path.is_empty() {
        let remedy = "write what to ask for, such as \"/healthz\"";
        report.fault(&format!("{key}.path"), "is missing", remedy);
    } else if !health.path.starts_with('/') || health.path.parse::<PathAndQuery>().is_err() {
        let text = format!("`{}` is not the path of a URL", health.path);
        report.fault(&format!("{key}.path"), text, "write it as \"/healthz\"");
    }
    if !health.host.is_empty() && host_and_port(&health.host).is_err() {
        let text = format!("`{}` is not a host", health.host);
        report.fault(&format!("{key}.host"), text, "write a name such as app.internal");
    }
    for (name, period) in [("interval", health.interval), ("timeout", health.timeout)] {
        if period.is_zero() {
            report.fault(&format!("{key}.{name}"), "is no time at all", "write one such as \"2s\"");
        }
    }
    for (name, count) in [("failures", health.failures), ("successes", health.successes)] {
        if count == 0 {
            report.fault(&format!("{key}.{name}"), "is none", "write 1 or more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::testing::faulty;
    use crate::config::{Ejection, Period, UpstreamTls};

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn app(servers: &[&str]) -> Upstream {
        Upstream { name: "app".to_owned(), servers: words(servers), ..Upstream::default() }
    }

    fn faults(upstream: Upstream) -> Vec<String> {
        faulty(check, &Settings { upstreams: vec![upstream], ..Settings::default() })
    }

    #[test]
    fn an_upstream_has_a_name_of_its_own_and_servers() {
        let upstreams = vec![
            app(&["127.0.0.1:3000"]),
            app(&["127.0.0.1:3000 weight=3"]),
            Upstream { name: "b".to_owned(), ..app(&[]) },
            Upstream {
                name: String::new(),
                ..app(&["unix:/run/app.sock", "app", "http://user:hunter2@app", "app:80 weight=0"])
            },
        ];
        let settings = Settings { upstreams, ..Settings::default() };
        assert_eq!(
            faulty(check, &settings),
            [
                "upstreams[1].name",
                "upstreams[2].servers",
                "upstreams[3].name",
                "upstreams[3].servers",
                "upstreams[3].servers",
                "upstreams[3].servers",
            ]
        );
        let mut report = Report::default();
        check(&settings, &mut report);
        assert!(!report.finish().unwrap_err().to_string().contains("hunter2"));
    }

    #[test]
    fn a_certificate_is_held_to_a_name() {
        let named = UpstreamTls { server_name: "app.internal".into(), ..UpstreamTls::default() };
        for address in ["https://127.0.0.1:8443", "https://[::1]"] {
            assert_eq!(faults(app(&[address])), ["upstreams[0].servers"], "{address}");
            assert!(faults(Upstream { tls: named.clone(), ..app(&[address]) }).is_empty());
        }
        assert!(faults(app(&["https://app.internal"])).is_empty());
        let odd = UpstreamTls { server_name: "https://app".into(), ..UpstreamTls::default() };
        assert_eq!(
            faults(Upstream { tls: odd, ..app(&["https://127.0.0.1"]) }),
            ["upstreams[0].tls.server_name"]
        );
        let plain = Upstream { tls: named, ..app(&["127.0.0.1:80"]) };
        assert_eq!(faults(plain), ["upstreams[0].tls"]);
    }

    #[test]
    fn what_is_shown_to_servers_is_a_pair() {
        let pair = |certificate: &str, private_key: &str| {
            let (certificate, private_key) = (certificate.into(), private_key.into());
            let tls = UpstreamTls { certificate, private_key, ..UpstreamTls::default() };
            faults(Upstream { tls, ..app(&["https://app"]) })
        };
        assert!(pair("c.pem", "k.pem").is_empty());
        assert_eq!(pair("c.pem", ""), ["upstreams[0].tls.private_key"]);
        assert_eq!(pair("", "k.pem"), ["upstreams[0].tls.certificate"]);
    }

    #[test]
    fn only_tls_negotiates() {
        let negotiating =
            |servers| faults(Upstream { protocol: Protocol::Negotiate, ..app(servers) });
        assert!(negotiating(&["https://a", "https://b"]).is_empty());
        assert_eq!(negotiating(&["https://a", "b:80"]), ["upstreams[0].protocol"]);
        assert!(faults(Upstream { protocol: Protocol::Http2, ..app(&["b:80"]) }).is_empty());
    }

    #[test]
    fn health_checks_and_ejection_make_sense() {
        let odd = HealthCheck {
            path: "healthz".into(),
            host: "http://app".into(),
            interval: Period::seconds(0),
            failures: 0,
            ..HealthCheck::default()
        };
        let longest = Period::seconds(1);
        let ejection = Ejection { longest, ..Ejection::default() };
        let (health_check, retries) = (Some(odd), 11);
        assert_eq!(
            faults(Upstream { retries, ejection, health_check, ..app(&["a:80"]) }),
            [
                "upstreams[0].ejection.longest",
                "upstreams[0].health_check.failures",
                "upstreams[0].health_check.host",
                "upstreams[0].health_check.interval",
                "upstreams[0].health_check.path",
                "upstreams[0].retries",
            ]
        );
        let good = HealthCheck { path: "/healthz".into(), ..HealthCheck::default() };
        assert!(faults(Upstream { health_check: Some(good), ..app(&["a:80"]) }).is_empty());
        let missing = Some(HealthCheck::default());
        assert_eq!(
            faults(Upstream { health_check: missing, ..app(&["a:80"]) }),
            ["upstreams[0].health_check.path"]
        );
    }
}
