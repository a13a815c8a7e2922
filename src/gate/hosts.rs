//! Host patterns of the routes, numbered, and which of them a host name matches.
//!
//! Names are compared in small ASCII letters without port. It must not know paths.

use foldhash::HashMap;

use super::BuildError;
use super::host::{Authority, MAX_NAME};
use crate::config;

/// The number of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostId(u32);

/// All patterns. `*.example.org` is kept as `.example.org`: no name begins with a dot.
#[derive(Debug, Default)]
pub(super) struct HostTable {
    ids: HashMap<Box<str>, HostId>,
    /// For each pattern, the next wider one that matches all it matches.
    wider: Vec<Option<HostId>>,
    wildcards: bool,
}

impl HostTable {
    pub(super) fn new(routes: &[config::Route]) -> Result<Self, BuildError> {
        let mut table = Self::default();
        for route in routes {
            for pattern in &route.hosts {
                let key = key(pattern).ok_or_else(|| BuildError::Route {
                    origin: route.origin.clone(),
                    what: format!("{pattern:?} is no host name"),
                })?;
                table.wildcards |= key.starts_with('.');
                let next = HostId(u32::try_from(table.ids.len()).unwrap_or(u32::MAX));
                table.ids.entry(key.into()).or_insert(next);
            }
        }
        table.wider = vec![None; table.ids.len()];
        for (key, id) in &table.ids {
            table.wider[id.0 as usize] = table.wildcard_above(key);
        }
        Ok(table)
    }

    /// The number of a configured pattern.
    pub(super) fn id(&self, pattern: &str) -> Option<HostId> {
        self.ids.get(key(pattern)?.as_str()).copied()
    }

    /// The narrowest pattern that matches a name; allocates nothing.
    pub(super) fn most_particular(&self, name: &str) -> Option<HostId> {
        if self.ids.is_empty() {
            return None;
        }
        let mut buffer = [0; MAX_NAME];
        let lower = buffer.get_mut(..name.len())?;
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        let name = str::from_utf8(lower).ok()?;
        self.ids.get(name).copied().or_else(|| self.wildcard_above(name))
    }

    /// The next wider pattern.
    pub(super) fn less_particular(&self, id: HostId) -> Option<HostId> {
        self.wider.get(id.0 as usize).copied().flatten()
    }

    fn wildcard_above(&self, name: &str) -> Option<HostId> {
        if !self.wildcards {
            return None;
        }
        // The first character is the dot of a wildcard itself, or belongs to a label.
        let dots = name.char_indices().skip(1).filter(|(_, c)| *c == '.');
        dots.map(|(at, _)| &name[at..]).find_map(|suffix| self.ids.get(suffix).copied())
    }
}

fn key(pattern: &str) -> Option<String> {
    let (dot, name) = match pattern.strip_prefix("*.") {
        Some(name) => (".", name),
        None => ("", pattern),
    };
    let name = Authority::parse(name)?.name();
    Some(format!("{dot}{}", name.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_names_or_all_that_is_below_one() {
        assert_eq!(key("Example.org:8443").as_deref(), Some("example.org"));
        assert_eq!(key("*.Example.org").as_deref(), Some(".example.org"));
        for pattern in ["", "*", "*.", "**.a", "a.*", "*a.org", "a b", "u@a", "a/b"] {
            assert_eq!(key(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn without_patterns_no_name_matches() {
        assert_eq!(HostTable::default().most_particular("example.org"), None);
    }
}
