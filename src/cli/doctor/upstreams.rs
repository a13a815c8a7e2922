//! Can the back ends be reached, and by whom besides the gateway?
//!
//! Whoever reaches one around the gateway can claim to be anybody. It must not know how the
//! gateway connects.

use std::net::IpAddr;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::exposure::is_local;
use super::finding::Findings;
use super::probe::PATIENCE;
use super::sockets;
use crate::config::{Endpoint, ServerAddress, Settings, Upstream};

const REACHABLE: &str = "upstreams";
const AROUND: &str = "around-gateway";

const SHUT: &str = "bind the application to loopback, or let only the gateway reach it (a \
                    firewall, a NetworkPolicy); or have it check identity_headers.assertion \
                    (docs/guides/assertion.md)";

/// Where doctor is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standpoint {
    /// Where the gateway runs.
    Gateway,
    /// Where nobody should reach a back end.
    Outside,
}

pub(super) async fn check(settings: &Settings, from: Standpoint, findings: &mut Findings) {
    let has_assertion = !settings.identity_headers.assertion.is_empty();
    for upstream in &settings.upstreams {
        let asks_certificate = !upstream.tls.certificate.as_os_str().is_empty();
        let is_proved = has_assertion || asks_certificate;
        for server in servers(upstream) {
            let name = format!("{} at {server}", upstream.name);
            match from {
                Standpoint::Gateway => from_gateway(&name, &server, is_proved, findings).await,
                Standpoint::Outside => from_outside(&name, &server, is_proved, findings).await,
            }
        }
    }
}

fn servers(upstream: &Upstream) -> impl Iterator<Item = Endpoint> {
    let parsed = upstream.servers.iter().filter_map(|server| server.parse().ok());
    parsed.map(|server: ServerAddress| server.endpoint)
}

async fn from_gateway(name: &str, server: &Endpoint, is_proved: bool, findings: &mut Findings) {
    if let Err(error) = reach(server).await {
        let remedy = "start it, or mend its address in [[upstreams]]; until then requests to it \
                      are answered 502";
        return findings.problem(REACHABLE, format!("{name}: {error:#}"), remedy);
    }
    findings.ok(REACHABLE, format!("{name} takes connections"));
    match server {
        Endpoint::Unix(_) => findings.ok(AROUND, format!("{name}: a socket of this machine")),
        _ if is_proved => {
            let text = format!("{name}: it is told who asks in a way that only the gateway can");
            findings.ok(AROUND, text);
        }
        Endpoint::Tcp { host, port, .. } if is_local(host) => {
            let everywhere: Vec<IpAddr> = sockets::listening_at(*port)
                .iter()
                .map(|socket| socket.address)
                .filter(|address| !address.to_canonical().is_loopback())
                .collect();
            match everywhere.first() {
                None => findings.ok(AROUND, format!("{name}: this machine only")),
                Some(address) => {
                    let text = format!("{name} also listens at {address}, for other machines");
                    findings.warning(AROUND, text, SHUT);
                }
            }
        }
        Endpoint::Tcp { .. } => {
            let text = format!(
                "{name} answers over the network, and this check cannot see who else is let in"
            );
            let remedy = format!("run doctor with --from-outside on another machine; {SHUT}");
            findings.warning(AROUND, text, remedy);
        }
    }
}

async fn from_outside(name: &str, server: &Endpoint, is_proved: bool, findings: &mut Findings) {
    let is_of_one_machine = match server {
        Endpoint::Unix(_) => true,
        Endpoint::Tcp { host, .. } => is_local(host),
    };
    if is_of_one_machine {
        let text = format!("{name}: such an address is of the gateway's machine only");
        return findings.ok(AROUND, text);
    }
    match reach(server).await {
        Err(_) => findings.ok(AROUND, format!("{name} cannot be reached from here")),
        Ok(()) if is_proved => {
            let text = format!("{name} can be reached from here; it must check who asks");
            findings.warning(AROUND, text, SHUT);
        }
        Ok(()) => {
            let text = format!("{name} can be reached from here, around the gateway");
            findings.problem(AROUND, text, SHUT);
        }
    }
}

async fn reach(server: &Endpoint) -> anyhow::Result<()> {
    let connecting = async {
        match server {
            Endpoint::Tcp { host, port, .. } => {
                TcpStream::connect((host.as_str(), *port)).await.map(drop)
            }
            Endpoint::Unix(path) => UnixStream::connect(path).await.map(drop),
        }
    };
    match timeout(PATIENCE, connecting).await {
        Ok(connected) => connected.map_err(Into::into),
        Err(_) => anyhow::bail!("no connection within 5 s"),
    }
}
