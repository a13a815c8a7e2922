//! The one reading of a path, for the rules and for the upstream alike.
//!
//! Servers differ on what `/a/../b`, `/a%2fb` or `/a;x` mean, so whoever checks one reading
//! and forwards the bytes as they came can be talked past. A [`CanonicalPath`] has one
//! reading only: what has several is refused, harmless variety is written one way. It must
//! not know routes, and it does not guess what a client meant.

use std::borrow::Cow;

use super::escapes::{escape, judge_decoded, push_escape, refuse_decoded};

/// Why a path is refused: on every route, whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// The path does not begin with `/`.
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    /// A space, a control or a byte beyond ASCII, plain.
    #[error("the path has bytes outside visible ASCII")]
    NotVisible,
    /// `#`: fragments are the client's own business.
    #[error("the path has a fragment")]
    Fragment,
    /// `%` without two hex digits.
    #[error("the path has an invalid percent escape")]
    InvalidEscape,
    /// A control, encoded.
    #[error("the path has an encoded control character")]
    Control,
    /// `%2f`.
    #[error("the path has an encoded slash")]
    EncodedSlash,
    /// `\`, plain or encoded.
    #[error("the path has a backslash")]
    Backslash,
    /// `;`, plain or encoded: some servers cut a segment there.
    #[error("the path has a semicolon")]
    Semicolon,
    /// `//`.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `.` or `..` as a segment, plain or encoded.
    #[error("the path has a dot segment")]
    DotSegment,
    /// A longer UTF-8 form of an ASCII character, which lax decoders take for the character.
    #[error("the path has an overlong character")]
    Overlong,
    /// Escapes of escapes of escapes.
    #[error("the path is encoded too many times")]
    Layers,
}

impl PathFault {
    /// The sentence for the client; it names the fault and nothing else.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotAbsolute => "The path must begin with a slash.",
            Self::NotVisible => "The path contains bytes outside visible ASCII.",
            Self::Fragment => "The path contains a fragment.",
            Self::InvalidEscape => "The path contains an invalid percent escape.",
            Self::Control => "The path contains an encoded control character.",
            Self::EncodedSlash => "The path contains an encoded slash.",
            Self::Backslash => "The path contains a backslash.",
            Self::Semicolon => "The path contains a semicolon.",
            Self::EmptySegment => "The path contains an empty segment.",
            Self::DotSegment => "The path contains a dot segment.",
            Self::Overlong => "The path contains an overlong character.",
            Self::Layers => "The path is encoded too many times.",
        }
    }
}

/// A path with one reading: begins with `/`, has neither empty nor dot segments, escapes in
/// upper case and only where they are needed (RFC 3986, 6.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalPath<'a> {
    text: Cow<'a, str>,
    spelling: Spelling,
}

/// Whether servers that fold letters, decode or trim could read a path as another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Small letters, digits and marks: there is one spelling only.
    Plain,
    /// Capitals, escapes, or a segment that ends in a dot.
    Variable,
}

impl<'a> CanonicalPath<'a> {
    /// Reads the path of a request (without its query). Allocates only where the canonical
    /// form differs from what was sent.
    pub fn parse(raw: &'a [u8]) -> Result<Self, PathFault> {
        if raw.first() != Some(&b'/') {
            return Err(PathFault::NotAbsolute);
        }
        let seen = survey(raw)?;
        // The survey has let ASCII through only.
        let text = str::from_utf8(raw).map_err(|_| PathFault::NotVisible)?;
        let text = if seen.rewrite { Cow::Owned(rewrite(raw)?) } else { Cow::Borrowed(text) };
        if (seen.dot || seen.rewrite) && text.split('/').any(is_dot_segment) {
            return Err(PathFault::DotSegment);
        }
        if seen.rewrite && text.contains('%') {
            judge_decoded(text.as_bytes())?;
        }
        let variable = seen.rewrite || seen.capital || (seen.dot && ends_in_dot(&text));
        // `%41` became `a`-like plain text: what counts is what is left.
        let spelling =
            if variable && is_variable(&text) { Spelling::Variable } else { Spelling::Plain };
        Ok(Self { text, spelling })
    }

    /// The path as the rules and the upstream see it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it differs from what was sent.
    #[must_use]
    pub fn is_rewritten(&self) -> bool {
        matches!(self.text, Cow::Owned(_))
    }

    pub(super) fn spelling(&self) -> Spelling {
        self.spelling
    }
}

/// What one pass over the bytes has seen.
#[derive(Default)]
struct Survey {
    rewrite: bool,
    dot: bool,
    capital: bool,
}

/// What a byte of a path means to the survey.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Plain,
    Capital,
    Slash,
    Dot,
    Percent,
    /// Visible, but not allowed in a URI: `"<>^` and others are written as escapes.
    Encode,
    Semicolon,
    Backslash,
    Fragment,
    Invisible,
}

static CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut table = [Class::Invisible; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        table[byte as usize] = match byte {
            b'/' => Class::Slash,
            b'.' => Class::Dot,
            b'%' => Class::Percent,
            b';' => Class::Semicolon,
            b'\\' => Class::Backslash,
            b'#' => Class::Fragment,
            // A question mark ends the path; one that is handed in here belongs to it.
            b'"' | b'<' | b'>' | b'?' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                Class::Encode
            }
            b'A'..=b'Z' => Class::Capital,
            _ => Class::Plain,
        };
        byte += 1;
    }
    table
}

fn survey(raw: &[u8]) -> Result<Survey, PathFault> {
    let mut seen = Survey::default();
    let mut after_slash = false;
    for &byte in raw {
        let class = CLASSES[usize::from(byte)];
        match class {
            Class::Slash if after_slash => return Err(PathFault::EmptySegment),
            Class::Plain | Class::Slash => {}
            Class::Capital => seen.capital = true,
            Class::Dot => seen.dot = true,
            Class::Percent | Class::Encode => seen.rewrite = true,
            Class::Semicolon => return Err(PathFault::Semicolon),
            Class::Backslash => return Err(PathFault::Backslash),
            Class::Fragment => return Err(PathFault::Fragment),
            Class::Invisible => return Err(PathFault::NotVisible),
        }
        after_slash = class == Class::Slash;
    }
    Ok(seen)
}

/// Decodes what needs no escape, writes the other escapes in upper case.
fn rewrite(raw: &[u8]) -> Result<String, PathFault> {
    let mut text = String::with_capacity(raw.len() + 8);
    let mut rest = raw;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match CLASSES[usize::from(*byte)] {
            Class::Percent => {
                let (value, tail) = escape(rest).ok_or(PathFault::InvalidEscape)?;
                rest = tail;
                refuse_decoded(value)?;
                if is_unreserved(value) {
                    text.push(char::from(value));
                } else {
                    push_escape(&mut text, value);
                }
            }
            Class::Encode => push_escape(&mut text, *byte),
            _ => text.push(char::from(*byte)),
        }
    }
    Ok(text)
}

/// RFC 3986, 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn is_dot_segment(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

fn ends_in_dot(path: &str) -> bool {
    path.ends_with('.') || path.contains("./")
}

fn is_variable(path: &str) -> bool {
    ends_in_dot(path) || path.bytes().any(|b| b == b'%' || b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<String, PathFault> {
        CanonicalPath::parse(raw.as_bytes()).map(|path| path.as_str().to_owned())
    }

    #[test]
    fn plain_paths_pass_as_they_are_and_without_a_copy() {
        for raw in [
            "/",
            "/a",
            "/a/",
            "/Users/42/",
            "/a.b/c.d",
            "/a...",
            "/.hidden",
            "/..x/y",
            "/@:!$&'()*+,=~_-",
        ] {
            let path = CanonicalPath::parse(raw.as_bytes()).unwrap();
            assert_eq!(path.as_str(), raw);
            assert!(!path.is_rewritten(), "{raw}");
        }
    }

    #[test]
    fn escapes_are_written_in_one_way() {
        assert_eq!(read("/%61dmin"), Ok("/admin".into()));
        assert_eq!(read("/%41%7E%2d"), Ok("/A~-".into()));
        assert_eq!(read("/caf%c3%a9"), Ok("/caf%C3%A9".into()));
        assert_eq!(read("/a%20b%3f%23"), Ok("/a%20b%3F%23".into()));
        assert_eq!(read("/a%2eb"), Ok("/a.b".into()));
        assert_eq!(read("/100%25"), Ok("/100%25".into()));
        assert_eq!(read("/{id}|^`\"<>"), Ok("/%7Bid%7D%7C%5E%60%22%3C%3E".into()));
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        use PathFault as F;
        for (raw, fault) in [
            ("", F::NotAbsolute),
            ("admin", F::NotAbsolute),
            ("*", F::NotAbsolute),
            ("//admin", F::EmptySegment),
            ("/a//b", F::EmptySegment),
            ("/a//", F::EmptySegment),
            ("/x/../admin", F::DotSegment),
            ("/.", F::DotSegment),
            ("/a/..", F::DotSegment),
            ("/a/./b", F::DotSegment),
            ("/%2e%2e/admin", F::DotSegment),
            ("/x/%2E%2e/admin", F::DotSegment),
            ("/.%2e/admin", F::DotSegment),
            ("/x/%2e", F::DotSegment),
            ("/%252e%252e/admin", F::DotSegment),
            ("/.%252e/admin", F::DotSegment),
            ("/%25252e%25252e/admin", F::DotSegment),
            ("/a%2fb", F::EncodedSlash),
            ("/auth%2Flogin", F::EncodedSlash),
            ("/a%252fb", F::EncodedSlash),
            ("/a%25252Fb", F::EncodedSlash),
            ("/a%2525252Fb", F::EncodedSlash),
            ("/\\admin", F::Backslash),
            ("/a%5cb", F::Backslash),
            ("/a%5Cb", F::Backslash),
            ("/a%255cb", F::Backslash),
            ("/..;/admin", F::Semicolon),
            ("/auth;v=1/x", F::Semicolon),
            ("/a%3bb", F::Semicolon),
            ("/a%253Bb", F::Semicolon),
            ("/%00", F::Control),
            ("/%0d%0a", F::Control),
            ("/%7f", F::Control),
            ("/%2500", F::Control),
            ("/x#frag", F::Fragment),
            ("/a b", F::NotVisible),
            ("/a\tb", F::NotVisible),
            ("/a\0b", F::NotVisible),
            ("/é", F::NotVisible),
            ("/a%", F::InvalidEscape),
            ("/a%2", F::InvalidEscape),
            ("/a%zz", F::InvalidEscape),
            ("/a%u002f", F::InvalidEscape),
            ("/..%c0%af", F::Overlong),
            ("/%c0%ae%c0%ae/admin", F::Overlong),
            ("/%e0%80%af", F::Overlong),
            ("/%25c0%25af", F::Overlong),
            ("/%2525252525252561", F::Layers),
        ] {
            assert_eq!(read(raw), Err(fault), "{raw:?}");
        }
    }

    #[test]
    fn every_sentence_for_a_client_is_its_own() {
        assert_eq!(PathFault::Semicolon.reason(), "The path contains a semicolon.");
        assert_eq!(PathFault::Layers.reason(), "The path is encoded too many times.");
    }

    #[test]
    fn a_percent_sign_that_decodes_to_nothing_harmful_passes() {
        assert_eq!(read("/50%25off"), Ok("/50%25off".into()));
        assert_eq!(read("/%2541"), Ok("/%2541".into()));
        assert_eq!(read("/%25zz"), Ok("/%25zz".into()));
    }

    #[test]
    fn spelling_tells_paths_that_others_may_read_differently() {
        let spelling = |raw: &'static str| CanonicalPath::parse(raw.as_bytes()).unwrap().spelling();
        assert_eq!(spelling("/app/x.js"), Spelling::Plain);
        assert_eq!(spelling("/%61pp"), Spelling::Plain);
        assert_eq!(spelling("/App"), Spelling::Variable);
        assert_eq!(spelling("/app%20"), Spelling::Variable);
        assert_eq!(spelling("/app./x"), Spelling::Variable);
    }
}
