//! A document of the Elastic Common Schema for each request, nested: what shippers can take to
//! an index as it is, without rules of ours in between.
//!
//! Objects begin with a member that is always there, so that commas need no thought.

use super::{Line, MAX_TEXT, cut, domain, origin, path};
use crate::telemetry::record::{RequestHead, RequestRecord};

pub(super) fn write(line: &mut Line<'_>, record: &RequestRecord<'_>, head: &RequestHead<'_>) {
    line.word("{\"@timestamp\":\"");
    line.time(record.at);
    line.word("\",\"ecs\":{\"version\":\"8.11.0\"},\"service\":{\"name\":\"portcullis\"}");
    line.word(",\"event\":{\"kind\":\"event\",\"category\":[\"web\"],\"type\":[\"access\"]");
    line.text(",\"dataset\":\"portcullis.access\",\"outcome\":", outcome(record.status));
    line.text(",\"reason\":", record.reason);
    let nanos = u64::try_from(record.duration.as_nanos()).unwrap_or(u64::MAX);
    line.number(",\"duration\":", nanos);
    line.text("},\"http\":{\"request\":{\"method\":", record.method);
    line.text(",\"id\":", record.request_id);
    line.some_text(",\"referrer\":", head.referrer.and_then(origin));
    line.word("}");
    if record.status != 0 {
        line.number(",\"response\":{\"status_code\":", record.status);
        if let Some(bytes) = head.bytes {
            line.number(",\"body\":{\"bytes\":", bytes);
            line.word("}");
        }
        line.word("}");
    }
    line.some_text(",\"version\":", head.version);
    line.text("},\"url\":{\"path\":", path(record.path));
    line.some_text(",\"domain\":", head.host.map(domain));
    line.word("}");
    object(line, ",\"source\":{\"ip\":", record.peer);
    object(line, ",\"client\":{\"ip\":", record.client);
    match (record.user_id, record.user_name) {
        (Some(id), name) => {
            line.text(",\"user\":{\"id\":", id);
            line.some_text(",\"name\":", name);
            line.word("}");
        }
        (None, name) => object(line, ",\"user\":{\"name\":", name),
    }
    if let Some(span) = record.span {
        line.hex(",\"trace\":{\"id\":\"", &span.trace, "\"}");
        line.hex(",\"span\":{\"id\":\"", &span.span, "\"}");
    }
    let user_agent = head.user_agent.map(|text| cut(text, MAX_TEXT));
    object(line, ",\"user_agent\":{\"original\":", user_agent);
    line.text(",\"portcullis\":{\"decision\":", record.decision.as_str());
    line.text(",\"reason\":", record.reason);
    line.some_text(",\"mode\":", record.is_observed.then_some("observe"));
    line.text(",\"credential\":", record.credential);
    line.some_text(",\"route\":", record.route);
    line.some_text(",\"tier\":", record.check.map(|check| check.tier.as_str()));
    line.some_text(",\"asked_by\":", record.asked_by);
    line.some_text(",\"upstream\":", record.upstream);
    line.word("}}\n");
}

/// An object with one member, if there is that.
fn object(line: &mut Line<'_>, before: &'static str, value: Option<&str>) {
    if let Some(value) = value {
        line.text(before, value);
        line.word("}");
    }
}

/// How the request went for the client, as Elastic's own readers of web logs have it.
const fn outcome(status: u16) -> &'static str {
    match status {
        0 => "unknown",
        1..400 => "success",
        _ => "failure",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::testing::written;
    use super::*;
    use crate::config::LogFormat;
    use crate::telemetry::record::{sample, sample_head};

    fn text(record: &RequestRecord<'_>, head: &RequestHead<'_>) -> String {
        written(LogFormat::Ecs, record, head)
    }

    fn value(record: &RequestRecord<'_>, head: &RequestHead<'_>) -> Value {
        serde_json::from_str(&text(record, head)).unwrap()
    }

    #[test]
    fn a_request_is_one_nested_document() {
        let expected = concat!(
            r#"{"@timestamp":"2023-11-14T22:13:20.000042Z","ecs":{"version":"8.11.0"},"#,
            r#""service":{"name":"portcullis"},"event":{"kind":"event","category":["web"],"#,
            r#""type":["access"],"dataset":"portcullis.access","outcome":"success","#,
            r#""reason":"authenticated","duration":1500000},"http":{"request":{"method":"GET","#,
            r#""id":"00ff","referrer":"https://app.example"},"response":{"status_code":200,"#,
            r#""body":{"bytes":2048}},"version":"1.1"},"url":{"path":"/app/x","#,
            r#""domain":"app.example"},"source":{"ip":"192.0.2.1"},"client":{"ip":"203.0.113.9"},"#,
            r#""user":{"id":"7","name":"ada"},"#,
            r#""user_agent":{"original":"Mozilla/5.0 (X11; Linux x86_64)"},"#,
            r#""portcullis":{"decision":"allow","reason":"authenticated","credential":"jwt","#,
            r#""route":"/app","tier":"l1","upstream":"app"}}"#,
            "\n"
        );
        assert_eq!(text(&sample(), &sample_head()), expected);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let record = RequestRecord {
            status: 0,
            peer: None,
            client: None,
            user_id: None,
            user_name: None,
            route: None,
            check: None,
            upstream: None,
            path: "/x?token=secret",
            ..sample()
        };
        let expected = concat!(
            r#"{"@timestamp":"2023-11-14T22:13:20.000042Z","ecs":{"version":"8.11.0"},"#,
            r#""service":{"name":"portcullis"},"event":{"kind":"event","category":["web"],"#,
            r#""type":["access"],"dataset":"portcullis.access","outcome":"unknown","#,
            r#""reason":"authenticated","duration":1500000},"http":{"request":{"method":"GET","#,
            r#""id":"00ff"}},"url":{"path":"/x"},"portcullis":{"decision":"allow","#,
            r#""reason":"authenticated","credential":"jwt"}}"#,
            "\n"
        );
        assert_eq!(text(&record, &RequestHead::default()), expected);
    }

    #[test]
    fn a_user_has_an_id_or_a_name_or_both() {
        let user = |user_id, user_name| {
            let record = RequestRecord { user_id, user_name, ..sample() };
            value(&record, &sample_head())["user"].to_string()
        };
        assert_eq!(user(Some("7"), None), r#"{"id":"7"}"#);
        assert_eq!(user(None, Some("ada")), r#"{"name":"ada"}"#);
        assert_eq!(user(None, None), "null");
    }

    #[test]
    fn failures_are_those_of_the_status() {
        for (status, expected) in [(302, "success"), (404, "failure"), (503, "failure")] {
            let record = RequestRecord { status, ..sample() };
            assert_eq!(value(&record, &sample_head())["event"]["outcome"], expected);
        }
    }

    #[test]
    fn what_clients_write_cannot_leave_its_place() {
        let nasty = "a\"},{\n\r\t\u{1b}[31m\\\u{2028}é";
        let record =
            RequestRecord { path: nasty, method: nasty, user_name: Some(nasty), ..sample() };
        let head = RequestHead {
            host: Some(nasty),
            user_agent: Some(nasty),
            version: Some(nasty),
            ..sample_head()
        };
        let line = text(&record, &head);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains('\u{1b}'));
        let value: Value = serde_json::from_str(&line).unwrap();
        for place in ["/url/path", "/http/request/method", "/user/name", "/user_agent/original"] {
            assert_eq!(value.pointer(place).unwrap(), nasty, "{place}");
        }
    }
}
