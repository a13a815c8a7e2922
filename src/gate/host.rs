//! The authority that a request names: `Host`, or `:authority` of HTTP/2.
//!
//! Hosts choose routes and stand in forwarded headers, so only plain names, addresses and
//! a port are taken (RFC 3986, 3.2.2, without user information, escapes and sub-delimiters).
//! It must not know which hosts are ours.

use std::net::Ipv6Addr;

/// The longest name that DNS knows; longer ones reach nobody.
pub(super) const MAX_NAME: usize = 253;

/// A well-formed `host[:port]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    text: &'a str,
    name: &'a str,
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads it; `None` if it is no plain authority.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (name, port) = if text.starts_with('[') {
            let end = text.find(']')?;
            text[1..end].parse::<Ipv6Addr>().ok()?;
            text.split_at(end + 1)
        } else {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            if !is_name(name) {
                return None;
            }
            (name, port)
        };
        let port = match port {
            "" => None,
            port => Some(parse_port(port.strip_prefix(':')?)?),
        };
        Some(Self { text, name, port })
    }

    /// As it was sent.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// The name without port and without the root's dot, in the case it was sent in.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name.strip_suffix('.').unwrap_or(self.name)
    }

    /// The port, where one was named.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

fn is_name(name: &str) -> bool {
    let bare = name.strip_suffix('.').unwrap_or(name).as_bytes();
    // A dot that follows nothing, or another dot, leaves an empty label.
    let mut before = b'.';
    let is_sound = bare.iter().all(|byte| {
        let is_empty = before == b'.' && *byte == b'.';
        before = *byte;
        !is_empty && (byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
    });
    is_sound && before != b'.' && bare.len() <= MAX_NAME
}

fn parse_port(digits: &str) -> Option<u16> {
    // `parse` alone would take a plus sign.
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_ports_are_read() {
        for (text, name, port) in [
            ("example.org", "example.org", None),
            ("Example.ORG.:8443", "Example.ORG", Some(8443)),
            ("my_app:3000", "my_app", Some(3000)),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("[::1]:8000", "[::1]", Some(8000)),
            ("[2001:db8::7]", "[2001:db8::7]", None),
        ] {
            let authority = Authority::parse(text).unwrap();
            assert_eq!(
                (authority.as_str(), authority.name(), authority.port()),
                (text, name, port)
            );
        }
    }

    #[test]
    fn anything_else_is_no_authority() {
        let long = "a".repeat(254);
        for text in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            ":80",
            "a:",
            "a:b",
            "a:+80",
            "a:65536",
            "a:80:80",
            "u@a",
            "a/b",
            "a b",
            "a,b",
            "a%41",
            "é",
            "a\0",
            "a#b",
            "a?b",
            "a\\b",
            "[::1",
            "[::1]x",
            "[::1%25eth0]",
            "[1.2.3.4]",
            "[]",
            long.as_str(),
        ] {
            assert_eq!(Authority::parse(text), None, "{text:?}");
        }
    }
}
