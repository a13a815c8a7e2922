//! The forms of a request's line: `json`, `ecs`, `combined`.
//!
//! Each writes straight into the buffer that it is given: no line costs an allocation. Paths and
//! referrers lose their query, which may carry secrets, and nothing that a client sent can end a
//! line or leave its place. It must not know where lines go.

mod combined;
mod ecs;
mod json;

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use super::record::{RequestHead, RequestRecord};
use crate::config::{LinkPage, LogFormat};
use crate::model::Timestamp;

/// Longer paths are cut: nobody reads them, and a flood of them should not fill a disk.
const MAX_PATH: usize = 1024;

/// Other texts of clients: browsers' names have no more than some 300 bytes.
pub(super) const MAX_TEXT: usize = 512;

/// The last second that RFC 3339 can write.
const END_OF_TIME: u64 = 253_402_300_799_999_999;

const MICROS: u64 = 1_000_000;

thread_local! {
    /// The second of a thread's last line, as it is written.
    static SECOND: RefCell<(Option<u64>, String)> = const { RefCell::new((None, String::new())) };
}

/// Appends the line of a request, with its end.
pub(super) fn write_line(
    line: &mut Vec<u8>,
    format: LogFormat,
    record: &RequestRecord<'_>,
    head: &RequestHead<'_>,
) {
    let mut line = Line(line);
    match format {
        LogFormat::Json => json::write(&mut line, record),
        LogFormat::Ecs => ecs::write(&mut line, record, head),
        LogFormat::Combined => combined::write(&mut line, record, head),
    }
}

/// Without the query, which may carry secrets, without the token of a mailed link, and not endless.
pub(super) fn path(path: &str) -> &str {
    let end = memchr::memchr2(b'?', b'#', path.as_bytes()).unwrap_or(path.len());
    let end = link(path).map_or(end, |link| link.min(end));
    cut(&path[..end], MAX_PATH)
}

/// Where the rest of a page's path begins: who has it can set a password. However the path was
/// mangled, as far as it shows the page.
fn link(path: &str) -> Option<usize> {
    memchr::memmem::find(path.as_bytes(), b"/pages/")?;
    let begins = |page: LinkPage| Some(path.find(page.path())? + page.path().len());
    LinkPage::ALL.into_iter().filter_map(begins).min().filter(|at| &path[*at..] != "done/")
}

/// Not longer than so many bytes.
pub(super) fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// Where a referrer is, and no more: mailed links have their token in the path.
fn origin(referrer: &str) -> Option<&str> {
    let start = referrer.find("://")? + 3;
    let rest = &referrer.as_bytes()[start..];
    let end = rest.iter().position(|byte| b"/?#\\@".contains(byte)).unwrap_or(rest.len());
    // Names and passwords before the host are nobody's business, and no browser sends them.
    let has_more = rest.get(end) != Some(&b'@');
    (end > 0 && has_more).then(|| cut(&referrer[..start + end], MAX_TEXT))
}

/// A host without its port.
pub(super) fn domain(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    cut(name, MAX_TEXT)
}

/// A line that is being written. Writing to memory cannot fail.
pub(super) struct Line<'a>(&'a mut Vec<u8>);

impl<'a> Line<'a> {
    /// Goes on behind what the buffer holds.
    pub(super) fn on(buffer: &'a mut Vec<u8>) -> Self {
        Self(buffer)
    }

    /// Punctuation and keys, as they stand.
    pub(super) fn word(&mut self, word: &'static str) {
        self.0.extend_from_slice(word.as_bytes());
    }

    pub(super) fn number(&mut self, before: &'static str, value: impl itoa::Integer) {
        self.word(before);
        self.0.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Text of our own making.
    pub(super) fn plain(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Bytes as hex digits.
    pub(super) fn hex(&mut self, before: &'static str, bytes: &[u8], after: &'static str) {
        self.word(before);
        for byte in bytes {
            self.digits(*byte);
        }
        self.word(after);
    }

    /// `\xhh`.
    pub(super) fn escaped(&mut self, byte: u8) {
        self.word("\\x");
        self.digits(byte);
    }

    fn digits(&mut self, byte: u8) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
        self.0.extend_from_slice(&[DIGITS[high], DIGITS[low]]);
    }

    /// As RFC 3339 has it, to the microsecond. The second is written out once, not for each line.
    pub(super) fn time(&mut self, at: Timestamp) {
        let micros = with_second(at, |second| self.plain(second));
        // A one in front keeps the zeros.
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(MICROS + micros);
        self.word(".");
        self.0.extend_from_slice(&digits.as_bytes()[1..]);
        self.word("Z");
    }

    /// Text of whatever origin.
    pub(super) fn text(&mut self, before: &'static str, value: &str) {
        // Nearly always so, and found out for many bytes at a time.
        let is_special = |byte: u8| u8::from(byte < b' ') | u8::from(byte == b'"' || byte == b'\\');
        if value.bytes().fold(0, |found, byte| found | is_special(byte)) == 0 {
            self.word(before);
            self.0.push(b'"');
            self.0.extend_from_slice(value.as_bytes());
            self.0.push(b'"');
        } else {
            self.word(before);
            let _ = serde_json::to_writer(&mut *self.0, value);
        }
    }

    pub(super) fn some_text(&mut self, before: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(before, value);
        }
    }
}

/// Hands on the second as RFC 3339 has it, without the Z; returns the microseconds beyond it.
fn with_second(at: Timestamp, take: impl FnOnce(&str)) -> u64 {
    let micros = u64::try_from(at.micros()).unwrap_or(0).min(END_OF_TIME);
    let second = micros / MICROS;
    SECOND.with_borrow_mut(|(written, text)| {
        if *written != Some(second) {
            let moment = UNIX_EPOCH + Duration::from_secs(second);
            *text = humantime::format_rfc3339_seconds(moment).to_string();
            text.pop(); // the Z
            *written = Some(second);
        }
        take(text);
    });
    micros % MICROS
}

#[cfg(test)]
mod testing {
    use super::*;

    pub(super) fn written(
        format: LogFormat,
        record: &RequestRecord<'_>,
        head: &RequestHead<'_>,
    ) -> String {
        let mut line = Vec::new();
        write_line(&mut line, format, record, head);
        String::from_utf8(line).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_referrer_only_the_origin_is_told() {
        for (referrer, expected) in [
            ("https://app.example:8443/reset/MQ/secret?a=b#c", Some("https://app.example:8443")),
            ("http://[::1]", Some("http://[::1]")),
            ("android-app://org.example/x", Some("android-app://org.example")),
            ("https://ada:secret@app.example/", None),
            ("https:///secret", None),
            ("/reset/MQ/secret", None),
            ("", None),
        ] {
            assert_eq!(origin(referrer), expected, "{referrer}");
        }
    }

    #[test]
    fn a_domain_has_no_port() {
        for (host, expected) in [
            ("app.example:8443", "app.example"),
            ("app.example", "app.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(domain(host), expected);
        }
    }
}
