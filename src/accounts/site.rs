//! Where mailed links lead, as far as a request may decide it.
//!
//! Whoever sends the request writes its `Host`; a link that followed it blindly would carry the
//! victim's token to a host of the attacker's choice. So only listed hosts count.

use std::net::SocketAddr;

use crate::config::{Server, Settings};
use crate::model::Site;

use super::Accounts;

/// Where a request claims to have been sent to.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The header `Host`; nothing about it has been checked.
    pub host: &'a str,
}

impl Accounts {
    /// Where this request's API is, for links in answers.
    #[must_use]
    pub fn base_url(&self, origin: &Origin<'_>) -> String {
        format!("{}://{}", origin.scheme, host(&self.settings().server, origin.host))
    }

    /// The site for a mail; `None` where the settings alone decide.
    pub(super) fn site(&self, origin: &Origin<'_>) -> Option<Site> {
        site(self.settings(), origin)
    }
}

fn site(settings: &Settings, origin: &Origin<'_>) -> Option<Site> {
    let accounts = &settings.accounts;
    let domain = &accounts.email_frontend_domain;
    let fixed = !domain.is_empty() && !accounts.email_frontend_protocol.is_empty();
    if !accounts.site_url.is_empty() || fixed {
        return None;
    }
    Some(Site { scheme: origin.scheme.to_owned(), host: host(&settings.server, origin.host) })
}

/// The request's host if it is listed, else the first one that is.
fn host(server: &Server, claimed: &str) -> String {
    let claimed = claimed.to_ascii_lowercase();
    if is_allowed(server, &claimed) {
        return claimed;
    }
    let named = server.allowed_hosts.iter().find(|host| !host.starts_with(['*', '.']));
    match (named, server.addresses().next()) {
        (Some(host), _) => host.clone(),
        (None, Some(address)) => reachable(address),
        (None, None) => "localhost".to_owned(),
    }
}

/// `*` and `.example.org` mean what they mean in Django's `ALLOWED_HOSTS`; `*.example.org` means
/// the subdomains only. An entry without a port allows every port.
fn is_allowed(server: &Server, claimed: &str) -> bool {
    let Some(name) = name_of(claimed) else { return false };
    if server.allowed_hosts.is_empty() {
        let listed = server.addresses().any(|address| {
            let is_usual = matches!(address.port(), 80 | 443);
            claimed == address.to_string() || (is_usual && name == ip_text(address))
        });
        return listed || matches!(name, "localhost" | "127.0.0.1" | "[::1]");
    }
    server.allowed_hosts.iter().map(|entry| entry.to_ascii_lowercase()).any(|entry| {
        entry == "*"
            || entry == claimed
            || entry == name
            || entry.strip_prefix('*').is_some_and(|tail| tail.len() > 1 && name.ends_with(tail))
            || entry
                .strip_prefix('.')
                .is_some_and(|domain| name == domain || name.ends_with(entry.as_str()))
    })
}

/// The host without its port, if it can be a host at all: the text goes into a link.
fn name_of(claimed: &str) -> Option<&str> {
    let (name, port) = match claimed.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')?;
            let inside = &rest[..end];
            inside.parse::<std::net::Ipv6Addr>().ok()?;
            (&claimed[..end + 2], &claimed[end + 2..])
        }
        None => match claimed.find(':') {
            Some(colon) => (&claimed[..colon], &claimed[colon..]),
            None => (claimed, ""),
        },
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    let named = name.starts_with('[') || (!name.is_empty() && name.chars().all(plain));
    let ported = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.parse::<u16>().is_ok());
    (named && ported).then_some(name)
}

fn ip_text(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(four) => four.ip().to_string(),
        SocketAddr::V6(six) => format!("[{}]", six.ip()),
    }
}

/// A listener on all addresses is no address to go to.
fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        return format!("localhost:{}", address.port());
    }
    address.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(listen: &str, allowed: &[&str]) -> Server {
        Server {
            listen: vec![listen.parse().unwrap()],
            allowed_hosts: allowed.iter().map(|&host| host.to_owned()).collect(),
            ..Server::default()
        }
    }

    #[test]
    fn a_listed_host_decides_the_link_with_or_without_a_port() {
        let server = server("0.0.0.0:8000", &["App.example.org", ".cdn.example"]);
        for claimed in ["app.example.org", "APP.example.org:8443", "a.cdn.example", "cdn.example"] {
            assert_eq!(host(&server, claimed), claimed.to_ascii_lowercase());
        }
    }

    #[test]
    fn an_unlisted_host_gives_way_to_the_first_listed_one() {
        let wild = server("0.0.0.0:8000", &[".example.org", "*.example.net", "app.example.org"]);
        assert_eq!(host(&wild, "a.example.net"), "a.example.net");
        assert_eq!(host(&wild, "example.net"), "app.example.org");
        for claimed in ["evil.example", "app.example.org.evil.example", "evilexample.org", ""] {
            assert_eq!(host(&wild, claimed), "app.example.org", "{claimed}");
        }
    }

    #[test]
    fn without_a_list_the_listen_address_and_localhost_are_allowed() {
        let server = server("192.0.2.7:8000", &[]);
        for claimed in ["192.0.2.7:8000", "localhost:9000", "127.0.0.1", "[::1]:80"] {
            assert_eq!(host(&server, claimed), claimed);
        }
        for claimed in ["evil.example", "192.0.2.8:8000", "192.0.2.7:9", ""] {
            assert_eq!(host(&server, claimed), "192.0.2.7:8000", "{claimed}");
        }
        assert_eq!(host(&self::server("0.0.0.0:8000", &[]), "evil"), "localhost:8000");
    }

    #[test]
    fn text_that_is_no_host_never_gets_into_a_link() {
        let server = server("127.0.0.1:8000", &["*", "app.example.org"]);
        for claimed in
            ["a/b", "a@b", "a b", "a:x", "a:99999", "[::1", "[zz]", "a\r\nb", "a?b", ":80", "a:1:2"]
        {
            assert_eq!(host(&server, claimed), "app.example.org", "{claimed}");
        }
        assert_eq!(host(&server, "any.example:80"), "any.example:80");
    }
}
