//! How a server is written: `host:port`, `http://…`, `https://…`, `unix:/path`.
//!
//! It must not connect, nor know what speaks at the other end.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Over TCP.
    Tcp {
        /// A name or an address, IPv6 without its brackets.
        host: String,
        /// The port.
        port: u16,
        /// Whether TLS is spoken, with `host` as its name.
        tls: bool,
    },
    /// A unix socket.
    Unix(PathBuf),
}

/// What is wrong with the text of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Neither of the known ones before `://`.
    #[error("the scheme is neither http nor https")]
    Scheme,
    /// A path, query or user name, which no server has.
    #[error("more than a host and a port")]
    More,
    /// No host, or one that cannot be.
    #[error("no host name or address")]
    Host,
    /// No port where one is needed, or no number from 1 to 65535.
    #[error("no port from 1 to 65535")]
    Port,
    /// `unix:` without an absolute path.
    #[error("no absolute path after `unix:`")]
    Socket,
    /// Something else behind it than a share.
    #[error("behind the address there is something else than weight=1 to weight=100")]
    Weight,
}

/// A server and its share: `host:port weight=3`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Its share among others, 1 to 100.
    pub weight: u32,
}

impl FromStr for ServerAddress {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (address, weight) = match text.split_once(' ') {
            None => (text, 1),
            Some((address, rest)) => {
                let digits = rest.trim_start().strip_prefix("weight=");
                let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                let weight = digits.and_then(|text| text.parse().ok());
                let weight = weight.filter(|weight| (1..=100).contains(weight));
                (address, weight.ok_or(EndpointError::Weight)?)
            }
        };
        Ok(Self { endpoint: address.parse()?, weight })
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let is_good = path.len() > 1 && path.starts_with('/') && !path.contains('\0');
            return is_good.then(|| Self::Unix(path.into())).ok_or(EndpointError::Socket);
        }
        let (rest, tls, default) = match text.split_once("://") {
            None => (text, false, None),
            Some(("http", rest)) => (rest, false, Some(80)),
            Some(("https", rest)) => (rest, true, Some(443)),
            Some(_) => return Err(EndpointError::Scheme),
        };
        let (host, port) = host_and_port(rest)?;
        let port = port.or(default).ok_or(EndpointError::Port)?;
        Ok(Self::Tcp { host, port, tls })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port, tls } => {
                f.write_str(if *tls { "https://" } else { "" })?;
                if host.contains(':') {
                    write!(f, "[{host}]:{port}")
                } else {
                    write!(f, "{host}:{port}")
                }
            }
        }
    }
}

/// Reads `host`, `host:port`, `[v6]` or `[v6]:port`, and nothing more.
pub(super) fn host_and_port(text: &str) -> Result<(String, Option<u16>), EndpointError> {
    if text.contains(['/', '?', '#', '@']) {
        return Err(EndpointError::More);
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(EndpointError::Host)?;
        host.parse::<Ipv6Addr>().map_err(|_| EndpointError::Host)?;
        match (after, after.strip_prefix(':')) {
            ("", _) => (host, None),
            (_, Some(port)) => (host, Some(port)),
            _ => return Err(EndpointError::Port),
        }
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        if !is_host_name(host) {
            return Err(EndpointError::Host);
        }
        (host, port)
    };
    // `parse` alone would take `+80`.
    let is_number = |port: &&str| port.bytes().all(|byte| byte.is_ascii_digit());
    let read = |port: &str| Some(port).filter(is_number)?.parse().ok().filter(|port| *port > 0);
    let port = port.map(|port| read(port).ok_or(EndpointError::Port));
    Ok((host.to_owned(), port.transpose()?))
}

/// A DNS name, as containers have it too (with `_`), or an IPv4 address.
pub(super) fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let ends_in_number = name
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= 253
        && name.split('.').all(is_label)
        // 300.1.1.1 and 127.1 are neither addresses nor names.
        && (!ends_in_number || matches!(name.parse(), Ok(IpAddr::V4(_))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16, tls: bool) -> Endpoint {
        Endpoint::Tcp { host: host.to_owned(), port, tls }
    }

    #[test]
    fn every_form_of_an_endpoint_is_read() {
        assert_eq!("127.0.0.1:3000".parse(), Ok(tcp("127.0.0.1", 3000, false)));
        assert_eq!("my_app:3000".parse(), Ok(tcp("my_app", 3000, false)));
        assert_eq!("[::1]:3000".parse(), Ok(tcp("::1", 3000, false)));
        assert_eq!("http://app".parse(), Ok(tcp("app", 80, false)));
        assert_eq!("https://app.example".parse(), Ok(tcp("app.example", 443, true)));
        assert_eq!("https://app.example:8443".parse(), Ok(tcp("app.example", 8443, true)));
        assert_eq!("unix:/run/app.sock".parse(), Ok(Endpoint::Unix("/run/app.sock".into())));
        assert_eq!("unix:///run/app.sock".parse(), Ok(Endpoint::Unix("/run/app.sock".into())));
        for text in ["127.0.0.1:3000", "[::1]:3000", "https://app:443", "unix:/run/app.sock"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_server_may_have_a_share() {
        let weight = |text: &str| text.parse::<ServerAddress>().map(|server| server.weight);
        assert_eq!(weight("app:80"), Ok(1));
        assert_eq!(weight("app:80 weight=3"), Ok(3));
        assert_eq!(weight("unix:/run/app.sock  weight=100"), Ok(100));
        for text in [
            "app:80 weight=0",
            "app:80 weight=101",
            "app:80 weight=+3",
            "app:80 weight=",
            "app:80 3",
            "app:80 weight=3 backup",
        ] {
            assert_eq!(weight(text), Err(EndpointError::Weight), "{text}");
        }
        assert_eq!(weight("app weight=3"), Err(EndpointError::Port));
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for (text, error) in [
            ("app", EndpointError::Port),
            ("app:", EndpointError::Port),
            ("app:0", EndpointError::Port),
            ("app:+80", EndpointError::Port),
            ("app:65536", EndpointError::Port),
            ("[::1]3000", EndpointError::Port),
            (":3000", EndpointError::Host),
            ("", EndpointError::Host),
            ("300.1.1.1:80", EndpointError::Host),
            ("[zz]:80", EndpointError::Host),
            ("a b:80", EndpointError::Host),
            ("ftp://app", EndpointError::Scheme),
            ("http://app/", EndpointError::More),
            ("http://user:pass@app", EndpointError::More),
            ("unix:app.sock", EndpointError::Socket),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(error), "{text}");
        }
    }
}
