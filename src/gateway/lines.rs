//! The lines of a head that is there as a whole.
//!
//! It must not know what they mean.

/// The Host of a head that passed.
pub(super) fn host_of(head: &[u8]) -> Option<&str> {
    let is_host = |line: &&[u8]| line.len() > 5 && line[..5].eq_ignore_ascii_case(b"host:");
    let line = Lines(head).find(is_host)?;
    str::from_utf8(line[5..].trim_ascii()).ok()
}

/// The lines before the empty one. Every LF has been seen to follow a CR.
pub(super) struct Lines<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(b'\n', self.0)?;
        let line = self.0[..end].strip_suffix(b"\r").unwrap_or(&self.0[..end]);
        self.0 = &self.0[end + 1..];
        (!line.is_empty()).then_some(line)
    }
}
