//! From the request target as it was sent to the path and query that count.
//!
//! Knows the forms of RFC 9112, section 3.2, and which of them a gateway can take. What a
//! path may contain is [`super::path`]'s business; it must not know routes.

use super::host::Authority;
use super::path::{CanonicalPath, PathFault};

/// Why a request target is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    /// `*`, an authority, an unknown scheme, or nothing.
    #[error("the request target has a form that is not served")]
    Form,
    /// An absolute target whose authority is not the request's `Host`.
    #[error("the request target and the host differ")]
    OtherHost,
    /// The path has more than one reading.
    #[error(transparent)]
    Path(#[from] PathFault),
    /// The query has bytes outside visible ASCII, or a fragment behind it.
    #[error("the query has bytes that do not belong there")]
    Query,
}

impl TargetFault {
    /// The sentence for the client.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Form => "The request target has a form that is not served.",
            Self::OtherHost => "The request target and the host differ.",
            Self::Path(fault) => fault.reason(),
            Self::Query => "The query contains bytes that do not belong there.",
        }
    }
}

/// Path and query of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    path: CanonicalPath<'a>,
    /// As it came, without the question mark: queries are the upstream's language.
    query: Option<&'a str>,
    absolute_form: bool,
}

impl<'a> Target<'a> {
    /// Reads the target. The absolute form is taken if it names the host that the request
    /// names, and becomes the origin form. `*` is refused: it asks a server about itself,
    /// which is neither the upstream's business through a gateway nor of any use here.
    pub fn parse(raw: &'a [u8], host: &Authority<'_>) -> Result<Self, TargetFault> {
        let (rest, absolute_form) = match raw.first() {
            Some(b'/') => (raw, false),
            _ => (strip_authority(raw, host)?, true),
        };
        let (path, query) = match memchr::memchr(b'?', rest) {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        let path = if absolute_form && path.is_empty() { b"/" } else { path };
        let path = CanonicalPath::parse(path)?;
        let query = query.map(visible).transpose()?;
        Ok(Self { path, query, absolute_form })
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &CanonicalPath<'a> {
        &self.path
    }

    /// Path and query as the upstream shall get them.
    #[must_use]
    pub fn to_text(&self) -> String {
        let path = self.path.as_str();
        let Some(query) = self.query else { return path.to_owned() };
        let mut text = String::with_capacity(path.len() + 1 + query.len());
        text.push_str(path);
        text.push('?');
        text.push_str(query);
        text
    }

    /// Whether that differs from what was sent.
    #[must_use]
    pub fn is_rewritten(&self) -> bool {
        self.absolute_form || self.path.is_rewritten()
    }
}

/// What follows `http://authority`.
fn strip_authority<'a>(raw: &'a [u8], host: &Authority<'_>) -> Result<&'a [u8], TargetFault> {
    let rest = ["http://", "https://"]
        .into_iter()
        .find_map(|scheme| {
            let (head, rest) = raw.split_at_checked(scheme.len())?;
            head.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
        })
        .ok_or(TargetFault::Form)?;
    let end =
        rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#' | b'\\')).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.eq_ignore_ascii_case(host.as_str().as_bytes()) {
        Ok(rest)
    } else {
        Err(TargetFault::OtherHost)
    }
}

fn visible(query: &[u8]) -> Result<&str, TargetFault> {
    if query.iter().all(|b| b.is_ascii_graphic() && *b != b'#') {
        str::from_utf8(query).map_err(|_| TargetFault::Query)
    } else {
        Err(TargetFault::Query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<(String, bool), TargetFault> {
        let host = Authority::parse("a.example:8000").unwrap();
        Target::parse(raw.as_bytes(), &host).map(|t| (t.to_text(), t.is_rewritten()))
    }

    #[test]
    fn the_query_passes_as_it_is() {
        assert_eq!(read("/x?"), Ok(("/x?".into(), false)));
        assert_eq!(read("/x?a=%2f&b=..//;\\?%zz"), Ok(("/x?a=%2f&b=..//;\\?%zz".into(), false)));
        assert_eq!(read("/%61?%61"), Ok(("/a?%61".into(), true)));
    }

    #[test]
    fn the_query_has_visible_bytes_only() {
        for raw in ["/x?a b", "/x?\u{e9}", "/x?a\r\nb", "/x?\0", "/x?a#b"] {
            assert_eq!(read(raw), Err(TargetFault::Query), "{raw:?}");
        }
    }

    #[test]
    fn the_absolute_form_of_the_same_host_becomes_the_origin_form() {
        assert_eq!(read("http://a.example:8000/abs?x"), Ok(("/abs?x".into(), true)));
        assert_eq!(read("HTTPS://A.Example:8000/abs"), Ok(("/abs".into(), true)));
        assert_eq!(read("http://a.example:8000"), Ok(("/".into(), true)));
        assert_eq!(read("http://a.example:8000?x"), Ok(("/?x".into(), true)));
    }

    #[test]
    fn the_absolute_form_of_another_host_is_refused() {
        for raw in [
            "http://b.example:8000/abs",
            "http://a.example/abs",
            "http://u@a.example:8000/abs",
            "http://a.example:8000\\@b.example/",
            "http:///abs",
        ] {
            assert!(
                matches!(read(raw), Err(TargetFault::OtherHost | TargetFault::Path(_))),
                "{raw}"
            );
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for raw in [
            "",
            "*",
            "admin",
            "a.example:8000",
            "ftp://a.example:8000/",
            "http:/a.example:8000/",
            "?x",
        ] {
            assert_eq!(read(raw), Err(TargetFault::Form), "{raw}");
        }
    }

    #[test]
    fn the_path_rules_hold_in_every_form() {
        assert_eq!(read("//a.example:8000/x"), Err(PathFault::EmptySegment.into()));
        assert_eq!(read("http://a.example:8000//x"), Err(PathFault::EmptySegment.into()));
        assert_eq!(read("/x#y?z"), Err(PathFault::Fragment.into()));
    }
}
