//! What a route changes in heads on their way to the upstream and back.
//!
//! Written before the identity, so that nothing here can stand in its place. It must not know
//! who asks.

use http::{HeaderName, HeaderValue};

use crate::config::HeaderLine;

/// Headers that are taken off a head, and headers that are written to it.
#[derive(Debug, Default)]
pub struct HeaderChanges {
    /// Taken off, if they are there.
    pub removed: Vec<HeaderName>,
    /// Written, in place of all of the same name.
    pub set: Vec<(HeaderName, HeaderValue)>,
}

/// A start of the path that the upstream does not see.
#[derive(Debug)]
pub(super) struct Prefix {
    /// With a slash in front and none at the end.
    text: Box<str>,
    pub(super) value: HeaderValue,
}

impl HeaderChanges {
    /// As configured; `None` if a text is no header.
    pub(super) fn new(set: &[String], remove: &[String]) -> Option<Self> {
        let removed = remove.iter().map(|name| name.parse().ok()).collect::<Option<_>>()?;
        let line =
            |text: &String| text.parse().ok().map(|line: HeaderLine| (line.name, line.value));
        Some(Self { removed, set: set.iter().map(line).collect::<Option<_>>()? })
    }
}

impl Prefix {
    /// As configured, without a slash at the end; `None` if it cannot be one.
    pub(super) fn new(text: &str) -> Option<Self> {
        Some(Self { text: text.into(), value: HeaderValue::from_str(text).ok()? })
    }

    /// What is left of a canonical path and query; `None` if they begin in another way.
    pub(super) fn strip(&self, target: &str) -> Option<String> {
        match target.strip_prefix(&*self.text)? {
            "" => Some("/".to_owned()),
            rest if rest.starts_with('/') => Some(rest.to_owned()),
            rest if rest.starts_with('?') => Some(format!("/{rest}")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_stripped_on_a_segment_border_and_leaves_a_path() {
        let prefix = Prefix::new("/api").unwrap();
        for (target, left) in [
            ("/api", Some("/")),
            ("/api/", Some("/")),
            ("/api?a=/b", Some("/?a=/b")),
            ("/api/v1/x?a", Some("/v1/x?a")),
            ("/apis", None),
            ("/", None),
        ] {
            assert_eq!(prefix.strip(target).as_deref(), left, "{target}");
        }
    }
}
