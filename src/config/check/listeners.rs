//! `[server]`: listeners, certificates and who is believed in front of them.

use std::net::SocketAddr;

use crate::config::fault::Report;
use crate::config::sections::{ListenAddress, Listener, Server};

const MOST_THREADS: usize = 1024;

pub(super) fn check(server: &Server, report: &mut Report) {
    if server.threads > MOST_THREADS {
        let remedy = format!("write at most {MOST_THREADS}, or 0 for one per CPU");
        report.fault("server.threads", "so many threads help nobody", remedy);
    }
    addresses(server, report);
    for (index, listener) in server.listeners.iter().enumerate() {
        one(listener, server, &format!("server.listeners.{index}"), report);
    }
    tls(server, report);
    for (index, network) in server.trusted_proxies.iter().enumerate() {
        if network.prefix_len() == 0 {
            let key = format!("server.trusted_proxies.{index}");
            report.warn(&key, "every client is believed to be a proxy and can claim any address");
        }
    }
}

fn clash(one: &SocketAddr, other: &SocketAddr) -> bool {
    let covers = one.ip() == other.ip()
        || one.is_ipv4() == other.is_ipv4()
            && (one.ip().is_unspecified() || other.ip().is_unspecified());
    // Port 0 is another free one each time.
    one.port() != 0 && one.port() == other.port() && covers
}

fn addresses(server: &Server, report: &mut Report) {
    if server.listen.is_empty() && server.listeners.is_empty() {
        let remedy = "write an address, such as [\"127.0.0.1:8000\"]";
        report.fault("server.listen", "there is nothing to listen on", remedy);
    }
    for (index, address) in server.listen.iter().enumerate() {
        if server.listen[..index].iter().any(|earlier| clash(earlier, address)) {
            let text = format!("{address} is taken by an address before it");
            report.element_fault("server.listen", index, text, "leave one of the two out");
        }
    }
    for (index, listener) in server.listeners.iter().enumerate() {
        let earlier = &server.listeners[..index];
        let is_taken = match &listener.address {
            ListenAddress::Tcp(address) => {
                let plain = server.listen.iter().any(|other| clash(other, address));
                plain
                    || earlier.iter().any(|other| match &other.address {
                        ListenAddress::Tcp(other) => clash(other, address),
                        ListenAddress::Unix(_) | ListenAddress::Inherited(_) => false,
                    })
            }
            other => earlier.iter().any(|earlier| earlier.address == *other),
        };
        if is_taken {
            let key = format!("server.listeners.{index}.address");
            let text = format!("{} is taken by a listener before it", listener.address);
            report.fault(
                &key,
                text,
                "leave one of the two out; `listen = []` leaves out the default",
            );
        }
    }
    if let Some(telemetry) = &server.telemetry_listen
        && server.addresses().any(|address| clash(&address, telemetry))
    {
        let text = format!("{telemetry} is taken by server.listen");
        let remedy = "choose another port, or \"\" for none";
        report.fault_because("server.telemetry_listen", "server.listen", text, remedy);
    }
}

fn one(listener: &Listener, server: &Server, key: &str, report: &mut Report) {
    let is_unix = matches!(listener.address, ListenAddress::Unix(_));
    if listener.speaks_tls(server) && server.tls.is_none() {
        let remedy = "write [server.tls] with certificate and private_key, or leave it out";
        report.fault(&format!("{key}.tls"), "there is no certificate", remedy);
    }
    if listener.h2c && listener.speaks_tls(server) {
        let text = "with TLS, HTTP/2 is agreed on in the handshake: h2c is for listeners without";
        report.fault(&format!("{key}.h2c"), text, "leave it out, or write tls = false");
    }
    if listener.proxy_protocol && listener.proxy_protocol_from.is_empty() && !is_unix {
        let text = "PROXY headers are believed, so it must be said whose";
        let remedy = "write the proxies' networks, such as [\"10.0.0.0/8\"]";
        report.fault(&format!("{key}.proxy_protocol_from"), text, remedy);
    }
    if !listener.proxy_protocol && !listener.proxy_protocol_from.is_empty() {
        let text = "no PROXY header is read here";
        report.fault(
            &format!("{key}.proxy_protocol_from"),
            text,
            "write proxy_protocol = true, or leave it out",
        );
    }
    for network in &listener.proxy_protocol_from {
        if network.prefix_len() == 0 {
            let text = "every client is believed to be a proxy and can claim any address";
            report.warn(&format!("{key}.proxy_protocol_from"), text);
        }
    }
    if is_unix && listener.mode & 0o002 != 0 {
        report.warn(&format!("{key}.mode"), "every user of this machine can connect");
    }
    if !is_unix && listener.mode != Listener::default().mode {
        let text = "only unix sockets have permissions";
        report.fault(&format!("{key}.mode"), text, "leave it out");
    }
}

fn tls(server: &Server, report: &mut Report) {
    let Some(tls) = &server.tls else { return };
    for (index, (certificate, private_key)) in tls.pairs().enumerate() {
        let key = match index {
            0 => "server.tls".to_owned(),
            _ => format!("server.tls.certificates.{}", index - 1),
        };
        let files = [
            ("certificate", certificate, "the certificate chain"),
            ("private_key", private_key, "the private key"),
        ];
        for (name, file, what) in files {
            if file.as_os_str().is_empty() {
                let remedy = format!("name the PEM file with {what}, or leave [{key}] out");
                report.fault(&format!("{key}.{name}"), "is missing", remedy);
            }
        }
    }
    if !server.every_listener().any(|listener| listener.speaks_tls(server)) {
        report.warn("server.tls", "no listener speaks TLS");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::testing::{faulty, warned};
    use crate::config::sections::{Tls, TlsCertificate};

    fn listener(address: &str) -> Listener {
        Listener { address: address.parse().unwrap(), ..Listener::default() }
    }

    fn with(listeners: Vec<Listener>) -> Server {
        Server { listeners, ..Server::default() }
    }

    fn certificate() -> Tls {
        Tls { certificate: "c.pem".into(), private_key: "k.pem".into(), ..Tls::default() }
    }

    #[test]
    fn listeners_do_not_take_each_others_place() {
        for (listen, telemetry, keys) in [
            (vec!["127.0.0.1:8000", "[::1]:8000"], "127.0.0.1:9464", vec![]),
            (vec!["127.0.0.1:0", "127.0.0.1:0"], "127.0.0.1:0", vec![]),
            (vec!["127.0.0.1:1", "127.0.0.1:1"], "127.0.0.1:2", vec!["server.listen"]),
            (vec!["0.0.0.0:1", "127.0.0.1:1"], "127.0.0.1:2", vec!["server.listen"]),
            (vec!["127.0.0.1:1"], "127.0.0.1:1", vec!["server.telemetry_listen"]),
            (vec!["0.0.0.0:1"], "127.0.0.1:1", vec!["server.telemetry_listen"]),
            (vec![], "127.0.0.1:1", vec!["server.listen"]),
        ] {
            let server = Server {
                listen: listen.iter().map(|text| text.parse().unwrap()).collect(),
                telemetry_listen: Some(telemetry.parse().unwrap()),
                ..Server::default()
            };
            assert_eq!(faulty(check, &server), keys, "{listen:?} {telemetry}");
        }
    }

    #[test]
    fn tables_of_listeners_do_not_take_a_place_either() {
        let taken = "server.listeners[1].address";
        for (one, other, keys) in [
            ("127.0.0.1:1", "127.0.0.1:2", vec![]),
            ("127.0.0.1:1", "0.0.0.0:1", vec![taken]),
            ("unix:/a", "unix:/b", vec![]),
            ("unix:/a", "unix:/a", vec![taken]),
            ("systemd", "systemd:1", vec![]),
            ("systemd", "systemd:0", vec![taken]),
            // The address that `listen` has by default.
            ("unix:/a", "127.0.0.1:8000", vec![taken]),
        ] {
            let server = with(vec![listener(one), listener(other)]);
            assert_eq!(faulty(check, &server), keys, "{one} {other}");
        }
        let alone = Server { listen: vec![], ..with(vec![listener("unix:/a")]) };
        assert!(faulty(check, &alone).is_empty());
    }

    #[test]
    fn settings_of_a_listener_must_go_together() {
        let faults = |change: fn(&mut Listener)| {
            let mut one = listener("127.0.0.1:1");
            change(&mut one);
            faulty(check, &with(vec![one]))
        };
        assert_eq!(faults(|one| one.tls = Some(true)), ["server.listeners[0].tls"]);
        assert!(faults(|one| one.h2c = true).is_empty());
        let from = ["server.listeners[0].proxy_protocol_from"];
        assert_eq!(faults(|one| one.proxy_protocol = true), from);
        let network = || vec!["10.0.0.0/8".parse().unwrap()];
        assert_eq!(
            faults(|one| one.proxy_protocol_from = vec!["10.0.0.0/8".parse().unwrap()]),
            from
        );
        assert_eq!(faults(|one| one.mode = 0o600), ["server.listeners[0].mode"]);
        let good = Listener {
            proxy_protocol: true,
            proxy_protocol_from: network(),
            ..listener("127.0.0.1:1")
        };
        assert!(faulty(check, &with(vec![good])).is_empty());
        let unix = Listener { proxy_protocol: true, mode: 0o600, ..listener("unix:/a") };
        assert!(faulty(check, &with(vec![unix])).is_empty());
        let h2c = Listener { h2c: true, ..listener("127.0.0.1:1") };
        let server = Server { tls: Some(certificate()), ..with(vec![h2c]) };
        assert_eq!(faulty(check, &server), ["server.listeners[0].h2c"]);
    }

    #[test]
    fn a_certificate_needs_both_files() {
        let more = TlsCertificate { private_key: "k.pem".into(), ..TlsCertificate::default() };
        let tls = Tls { certificate: "c.pem".into(), certificates: vec![more], ..Tls::default() };
        let server = Server { tls: Some(tls), ..Server::default() };
        assert_eq!(
            faulty(check, &server),
            ["server.tls.certificates[0].certificate", "server.tls.private_key"]
        );
    }

    #[test]
    fn what_opens_a_door_wide_is_warned_of() {
        let everybody = Server {
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "::/0".parse().unwrap()],
            ..Server::default()
        };
        assert_eq!(warned(check, &everybody), ["server.trusted_proxies[1]"]);
        let open = Listener { mode: 0o666, ..listener("unix:/a") };
        assert_eq!(warned(check, &with(vec![open])), ["server.listeners[0].mode"]);
        let unused =
            Server { listen: vec![], tls: Some(certificate()), ..with(vec![listener("unix:/a")]) };
        assert_eq!(warned(check, &unused), ["server.tls"]);
    }
}
