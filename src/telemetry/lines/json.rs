//! A flat object for each request, in the words of the Elastic Common Schema: the usual form.

use super::{Line, path};
use crate::telemetry::record::RequestRecord;

pub(super) fn write(line: &mut Line<'_>, record: &RequestRecord<'_>) {
    line.word("{\"@timestamp\":\"");
    line.time(record.at);
    line.text("\",\"http.request.method\":", record.method);
    line.number(",\"http.response.status_code\":", record.status);
    line.text(",\"url.path\":", path(record.path));
    line.some_text(",\"source.ip\":", record.peer);
    line.some_text(",\"client.ip\":", record.client);
    line.some_text(",\"user.id\":", record.user_id);
    line.some_text(",\"user.name\":", record.user_name);
    line.text(",\"http.request.id\":", record.request_id);
    if let Some(span) = record.span {
        line.hex(",\"trace.id\":\"", &span.trace, "\"");
        line.hex(",\"span.id\":\"", &span.span, "\"");
    }
    let nanos = u64::try_from(record.duration.as_nanos()).unwrap_or(u64::MAX);
    line.number(",\"event.duration\":", nanos);
    line.some_text(",\"portcullis.route\":", record.route);
    line.text(",\"portcullis.decision\":", record.decision.as_str());
    line.text(",\"portcullis.reason\":", record.reason);
    line.some_text(",\"portcullis.mode\":", record.is_observed.then_some("observe"));
    line.text(",\"portcullis.credential\":", record.credential);
    line.some_text(",\"portcullis.tier\":", record.check.map(|check| check.tier.as_str()));
    line.some_text(",\"portcullis.asked_by\":", record.asked_by);
    line.some_text(",\"portcullis.upstream\":", record.upstream);
    line.word("}\n");
}

#[cfg(test)]
mod tests {
    use super::super::testing::written;
    use super::*;
    use crate::config::LogFormat;
    use crate::model::Timestamp;
    use crate::telemetry::record::{RequestHead, sample, sample_head};

    fn text(record: &RequestRecord<'_>) -> String {
        written(LogFormat::Json, record, &sample_head())
    }

    #[test]
    fn a_request_is_one_line_of_json() {
        let expected = concat!(
            r#"{"@timestamp":"2023-11-14T22:13:20.000042Z","http.request.method":"GET","#,
            r#""http.response.status_code":200,"url.path":"/app/x","source.ip":"192.0.2.1","#,
            r#""client.ip":"203.0.113.9","user.id":"7","user.name":"ada","http.request.id":"00ff","#,
            r#""event.duration":1500000,"portcullis.route":"/app","portcullis.decision":"allow","#,
            r#""portcullis.reason":"authenticated","portcullis.credential":"jwt","portcullis.tier":"l1","#,
            r#""portcullis.upstream":"app"}"#,
            "\n"
        );
        assert_eq!(text(&sample()), expected);
    }

    #[test]
    fn what_clients_write_cannot_leave_its_place() {
        let nasty = "/a\"},{\n\r\t\u{1b}[31m\\\u{2028}é";
        let record =
            RequestRecord { path: nasty, method: "G\"T", user_name: Some(nasty), ..sample() };
        let line = text(&record);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains('\u{1b}'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["url.path"], nasty);
        assert_eq!(value["http.request.method"], "G\"T");
    }

    #[test]
    fn the_token_of_a_mailed_link_is_left_out() {
        for (requested, written) in [
            ("/auth/pages/password/MQ/diqrgt-0123/", "/auth/pages/password/"),
            ("/auth/pages/activation/MQ/diqrgt-0123", "/auth/pages/activation/"),
            ("//auth//x/../pages/username/MQ/a-b/?c", "//auth//x/../pages/username/"),
            ("/auth/pages/password/", "/auth/pages/password/"),
            ("/auth/pages/password/done/", "/auth/pages/password/done/"),
            ("/pages/about/us", "/pages/about/us"),
        ] {
            assert_eq!(path(requested), written, "{requested}");
        }
    }

    #[test]
    fn queries_are_left_out_and_long_paths_cut() {
        let value = |path: &str| {
            let line = text(&RequestRecord { path, ..sample() });
            serde_json::from_str::<serde_json::Value>(&line).unwrap()["url.path"].clone()
        };
        assert_eq!(value("/x?token=secret"), "/x");
        assert_eq!(value("/x#secret"), "/x");
        assert_eq!(value(&"é".repeat(1024)), "é".repeat(512));
        assert_eq!(value(&format!("/{}", "é".repeat(1024))), format!("/{}", "é".repeat(511)));
    }

    #[test]
    fn times_beyond_the_calendar_do_not_panic() {
        for micros in [i64::MIN, -1, i64::MAX] {
            let at = Timestamp::from_micros(micros);
            let line = text(&RequestRecord { at, ..sample() });
            assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
        }
    }

    #[test]
    fn what_is_known_of_the_head_changes_nothing() {
        let without = written(LogFormat::Json, &sample(), &RequestHead::default());
        assert_eq!(text(&sample()), without);
    }
}
