//! The first line of a request, taken apart whatever it is worth.
//!
//! It must not know what makes a good one.

/// The parts of a request line, as far as they can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a [u8],
    pub(super) target: &'a [u8],
    pub(super) version: &'a [u8],
}

impl<'a> RequestLine<'a> {
    /// The first line of `head`, whatever it is worth. For logs of refused requests.
    pub(super) fn of(head: &'a [u8]) -> Self {
        let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
        let mut words = head[..end].splitn(3, |byte| *byte == b' ');
        let mut word = || words.next().unwrap_or_default();
        Self { method: word(), target: word(), version: word() }
    }

    /// The target without its query: tokens and secrets travel in queries.
    pub(super) fn path(&self) -> &'a [u8] {
        let end = memchr::memchr2(b'?', b'#', self.target).unwrap_or(self.target.len());
        &self.target[..end]
    }
}

/// `HTTP/` and two digits around a dot, as RFC 9112 writes a version.
pub(super) fn is_version(bytes: &[u8]) -> bool {
    matches!(bytes, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}
