//! The line that Apache and nginx call combined, for what reads their logs.
//!
//! `client - user [time] "request" status bytes "referrer" "user agent"`. What is not known is
//! `-`. In every field visible ASCII stands for itself and everything else as `\xhh`, quotes,
//! backslashes and blanks included, so that fields can be told apart by their signs alone.

use super::{Line, MAX_TEXT, cut, origin, path, with_second};
use crate::telemetry::record::{RequestHead, RequestRecord};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// What nginx writes where the client went away before it had an answer.
const CLIENT_WENT_AWAY: u16 = 499;

pub(super) fn write(line: &mut Line<'_>, record: &RequestRecord<'_>, head: &RequestHead<'_>) {
    field(line, record.client.or(record.peer), Blanks::Escaped);
    line.word(" - ");
    field(line, record.user_name.or(record.user_id), Blanks::Escaped);
    line.word(" [");
    time(line, record);
    line.word("] \"");
    field(line, Some(record.method), Blanks::Escaped);
    line.word(" ");
    field(line, Some(path(record.path)), Blanks::Escaped);
    if let Some(version) = head.version {
        line.word(if version == "2" { " HTTP/2." } else { " HTTP/" });
        field(line, Some(if version == "2" { "0" } else { version }), Blanks::Escaped);
    }
    let status = if record.status == 0 { CLIENT_WENT_AWAY } else { record.status };
    line.number("\" ", status);
    match head.bytes {
        Some(bytes) if bytes > 0 => line.number(" ", bytes),
        _ => line.word(" -"),
    }
    line.word(" \"");
    field(line, head.referrer.and_then(origin), Blanks::Escaped);
    line.word("\" \"");
    field(line, head.user_agent.map(|text| cut(text, MAX_TEXT)), Blanks::Kept);
    line.word("\"\n");
}

/// Whether blanks may stand in a field. Only between quotes, and not in a request line, whose
/// parts they divide.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blanks {
    Kept,
    Escaped,
}

/// A text that cannot leave its field. One that is a lone `-` would say "not known".
fn field(line: &mut Line<'_>, text: Option<&str>, blanks: Blanks) {
    let text = match text {
        None | Some("") => return line.word("-"),
        Some("-") => return line.word("\\x2d"),
        Some(text) => text,
    };
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => line.escaped(byte),
            b' ' if blanks == Blanks::Kept => line.byte(byte),
            _ if byte.is_ascii_graphic() => line.byte(byte),
            _ => line.escaped(byte),
        }
    }
}

/// `14/Nov/2023:22:13:20 +0000`.
fn time(line: &mut Line<'_>, record: &RequestRecord<'_>) {
    with_second(record.at, |second| {
        // 2023-11-14T22:13:20
        let part = |from: usize, to: usize| second.get(from..to).unwrap_or_default();
        let month = part(5, 7).parse::<usize>().unwrap_or_default();
        line.plain(part(8, 10));
        line.word("/");
        line.word(MONTHS.get(month.wrapping_sub(1)).copied().unwrap_or_default());
        line.word("/");
        line.plain(part(0, 4));
        line.word(":");
        line.plain(part(11, 19));
        line.word(" +0000");
    });
}

#[cfg(test)]
mod tests {
    use super::super::testing::written;
    use super::*;
    use crate::config::LogFormat;
    use crate::model::Timestamp;
    use crate::telemetry::record::{sample, sample_head};

    fn text(record: &RequestRecord<'_>, head: &RequestHead<'_>) -> String {
        written(LogFormat::Combined, record, head)
    }

    #[test]
    fn a_request_is_one_line_as_apache_has_it() {
        let expected = concat!(
            r#"203.0.113.9 - ada [14/Nov/2023:22:13:20 +0000] "GET /app/x HTTP/1.1" 200 2048 "#,
            r#""https://app.example" "Mozilla/5.0 (X11; Linux x86_64)""#,
            "\n"
        );
        assert_eq!(text(&sample(), &sample_head()), expected);
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let record = RequestRecord {
            client: None,
            peer: None,
            user_name: None,
            user_id: None,
            status: 0,
            path: "/x?token=secret",
            ..sample()
        };
        assert_eq!(
            text(&record, &RequestHead::default()),
            "- - - [14/Nov/2023:22:13:20 +0000] \"GET /x\" 499 - \"-\" \"-\"\n"
        );
        let head = RequestHead { version: Some("2"), bytes: Some(0), ..RequestHead::default() };
        assert!(text(&sample(), &head).contains("\"GET /app/x HTTP/2.0\" 200 - "));
    }

    #[test]
    fn what_clients_write_cannot_leave_its_field() {
        let nasty = "a\" 200 1\n\r\t\u{1b}[31m\\é";
        let escaped = r"a\x22\x20200\x201\x0a\x0d\x09\x1b[31m\x5c\xc3\xa9";
        let kept = r"a\x22 200 1\x0a\x0d\x09\x1b[31m\x5c\xc3\xa9";
        let record = RequestRecord {
            client: Some(nasty),
            user_name: Some(nasty),
            method: nasty,
            path: nasty,
            ..sample()
        };
        let head = RequestHead {
            version: Some(nasty),
            referrer: Some("http://a\" \n"),
            user_agent: Some(nasty),
            ..sample_head()
        };
        let expected = format!(
            "{escaped} - {escaped} [14/Nov/2023:22:13:20 +0000] \"{escaped} {escaped} \
             HTTP/{escaped}\" 200 2048 \"http://a\\x22\\x20\\x0a\" \"{kept}\"\n"
        );
        assert_eq!(text(&record, &head), expected);
    }

    #[test]
    fn a_user_named_dash_is_not_nobody() {
        let record = RequestRecord { user_name: Some("-"), ..sample() };
        assert!(text(&record, &sample_head()).starts_with("203.0.113.9 - \\x2d ["));
    }

    #[test]
    fn times_beyond_the_calendar_do_not_panic() {
        for (micros, expected) in [(-1, "01/Jan/1970:00:00:00"), (i64::MAX, "31/Dec/9999:23:59:59")]
        {
            let record = RequestRecord { at: Timestamp::from_micros(micros), ..sample() };
            let line = text(&record, &sample_head());
            assert!(line.contains(&format!("[{expected} +0000]")), "{line}");
        }
    }
}
