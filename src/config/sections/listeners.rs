//! `[[server.listeners]]` and `[server.tls]`: sockets with settings of their own, and
//! certificates.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Server;
use crate::config::forms;

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum ListenAddress {
    /// `127.0.0.1:8000`.
    Tcp(SocketAddr),
    /// `unix:/run/portcullis.sock`.
    Unix(PathBuf),
    /// `systemd`, `systemd:1`: a socket that systemd holds, by its place among them.
    Inherited(usize),
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            // The kernel's own limit, less the ending of the name that it is bound under first.
            let is_good = path.starts_with('/') && (2..=100).contains(&path.len());
            return if is_good && !path.contains('\0') {
                Ok(Self::Unix(path.into()))
            } else {
                Err(format!(
                    "`{text}` is no socket; write unix: and an absolute path of at most 100 bytes"
                ))
            };
        }
        if let Some(rest) = text.strip_prefix("systemd") {
            let place = if rest.is_empty() { Some("0") } else { rest.strip_prefix(':') };
            let place = place.filter(|place| place.bytes().all(|byte| byte.is_ascii_digit()));
            return place.and_then(|place| place.parse().ok()).map(Self::Inherited).ok_or_else(
                || format!("`{text}` is no socket of systemd's; write systemd, or systemd:1 for its second"),
            );
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            format!("`{text}` is not an address with a port; write it as 127.0.0.1:8000, unix:/path or systemd")
        })
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ListenAddress> for String {
    fn from(address: ListenAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inherited(place) => write!(f, "systemd:{place}"),
        }
    }
}

impl Default for ListenAddress {
    fn default() -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], 8000)))
    }
}

/// One listener for traffic and the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["address"]))]
pub struct Listener {
    /// `127.0.0.1:8443`, `unix:/path`, or `systemd` for a socket that systemd holds.
    pub address: ListenAddress,
    /// Whether TLS is spoken. Default: yes where `[server.tls]` is set, but not on unix sockets.
    pub tls: Option<bool>,
    /// Whether HTTP/2 is also spoken without TLS, to clients that know it does. Default false.
    pub h2c: bool,
    /// Whether every connection begins with a PROXY header (version 1 or 2). Default false.
    pub proxy_protocol: bool,
    /// Networks whose PROXY headers are believed; others are not served. Needed on TCP.
    #[serde(with = "forms::networks")]
    #[schemars(with = "Vec<String>")]
    pub proxy_protocol_from: Vec<IpNet>,
    /// Who may connect to a unix socket, as in chmod. Default 0660.
    #[serde(with = "forms::mode")]
    #[schemars(with = "String")]
    pub mode: u32,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            address: ListenAddress::default(),
            tls: None,
            h2c: false,
            proxy_protocol: false,
            proxy_protocol_from: Vec::new(),
            mode: 0o660,
        }
    }
}

impl Listener {
    /// Whether TLS is spoken here, given what `server` says of all.
    #[must_use]
    pub fn speaks_tls(&self, server: &Server) -> bool {
        let is_unix = matches!(self.address, ListenAddress::Unix(_));
        self.tls.unwrap_or(server.tls.is_some() && !is_unix)
    }
}

/// The lowest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2, with forward secrecy and authenticated ciphers only.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// Certificates with their keys. Read again when the files change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["certificate", "private_key"]))]
pub struct Tls {
    /// PEM file with the certificate chain, the server's own first.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub private_key: PathBuf,
    /// The lowest version that is spoken: `1.2` or `1.3`. Default `1.2`.
    pub min_version: TlsVersion,
    /// Certificates for other names; each is used for the names that stand in it. The one above
    /// is for all other names, and for clients that name none.
    pub certificates: Vec<TlsCertificate>,
}

/// One more certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["certificate", "private_key"]))]
pub struct TlsCertificate {
    /// PEM file with the certificate chain, the server's own first.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub private_key: PathBuf,
}

impl Tls {
    /// Every pair of files, the default one first.
    pub fn pairs(&self) -> impl Iterator<Item = (&PathBuf, &PathBuf)> {
        let others = self.certificates.iter().map(|other| (&other.certificate, &other.private_key));
        std::iter::once((&self.certificate, &self.private_key)).chain(others)
    }
}

impl Server {
    /// Every listener: the plain addresses first, as listeners with nothing of their own.
    pub fn every_listener(&self) -> impl Iterator<Item = Listener> {
        let plain = self.listen.iter().map(|&address| Listener {
            address: ListenAddress::Tcp(address),
            ..Listener::default()
        });
        plain.chain(self.listeners.iter().cloned())
    }

    /// The addresses of the listeners that have one.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let own = self.listeners.iter().filter_map(|listener| match listener.address {
            ListenAddress::Tcp(address) => Some(address),
            ListenAddress::Unix(_) | ListenAddress::Inherited(_) => None,
        });
        self.listen.iter().copied().chain(own)
    }

    /// Whether others than this machine can come to a listener. Nobody knows of systemd's.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        let inherited = |one: &Listener| matches!(one.address, ListenAddress::Inherited(_));
        self.addresses().any(|address| !address.ip().is_loopback())
            || self.listeners.iter().any(inherited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_number_a_socket_or_systemds() {
        for (text, address) in [
            ("[::1]:80", ListenAddress::Tcp("[::1]:80".parse().unwrap())),
            ("unix:/run/p.sock", ListenAddress::Unix("/run/p.sock".into())),
            ("unix:///run/p.sock", ListenAddress::Unix("/run/p.sock".into())),
            ("systemd", ListenAddress::Inherited(0)),
            ("systemd:2", ListenAddress::Inherited(2)),
        ] {
            assert_eq!(text.parse(), Ok(address), "{text}");
        }
        let long = format!("unix:/{}", "a".repeat(100));
        for text in ["localhost:80", "unix:p.sock", "unix:", "systemd:a", "systemd:+1", "", &long] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn with_certificates_all_but_unix_sockets_speak_tls_unless_told_otherwise() {
        let server = Server { tls: Some(Tls::default()), ..Server::default() };
        let listener = |text: &str, tls| Listener {
            address: text.parse().unwrap(),
            tls,
            ..Listener::default()
        };
        assert!(listener("127.0.0.1:1", None).speaks_tls(&server));
        assert!(!listener("127.0.0.1:1", Some(false)).speaks_tls(&server));
        assert!(!listener("unix:/p", None).speaks_tls(&server));
        assert!(listener("unix:/p", Some(true)).speaks_tls(&server));
        assert!(!listener("127.0.0.1:1", None).speaks_tls(&Server::default()));
    }
}
