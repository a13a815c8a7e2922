//! The well-known variables of OpenTelemetry (`OTEL_…`), beneath everything that is written for
//! us: platforms set them for every process.
//!
//! The variables are handed in. What they ask for and is not done here is a warning, as
//! OpenTelemetry wants it, never a fault: they were not written for us. It must not know files.

use config::{Value, ValueKind};

use crate::config::fault::Report;
use crate::config::sections::Traces;
use crate::config::tree::{Layer, Table};

/// Milliseconds in a number that has no unit.
const MILLIS: &str = "ms";

/// Reads the variables, all of them into `[traces]`.
pub(in crate::config) fn read(variables: &[(String, String)], report: &mut Report) -> Layer {
    let mut found = Found { variables, traces: Table::new(), report };
    if found.text("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        found.set("enabled", "OTEL_SDK_DISABLED", false);
    }
    match found.text("OTEL_TRACES_EXPORTER") {
        None | Some("otlp") => {}
        Some("none") => found.set("enabled", "OTEL_TRACES_EXPORTER", false),
        Some(_) => found.warn("OTEL_TRACES_EXPORTER", "only otlp and none are known here"),
    }
    found.endpoint();
    found.either("headers", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS");
    found.either(
        "ca_file",
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
    );
    found.timeout();
    found.either("service_name", "OTEL_SERVICE_NAME", "OTEL_SERVICE_NAME");
    found.either("resource_attributes", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_RESOURCE_ATTRIBUTES");
    found.sampler();
    let traces = found.traces;
    if traces.is_empty() {
        return Layer::default();
    }
    Layer(Table::from([("traces".to_owned(), Value::new(None, traces))]))
}

struct Found<'a> {
    variables: &'a [(String, String)],
    traces: Table,
    report: &'a mut Report,
}

impl<'a> Found<'a> {
    /// An empty variable is as good as none.
    fn text(&self, name: &str) -> Option<&'a str> {
        let of = |(key, text): &'a (String, String)| (key == name).then(|| text.trim());
        self.variables.iter().find_map(of).filter(|text| !text.is_empty())
    }

    /// What cannot be used is left out: it would be a fault, and end the start.
    fn set_text(&mut self, key: &str, variable: &str, text: &str) {
        let mut tried = Traces::default();
        let is_good = match key {
            "endpoint" => {
                text.clone_into(&mut tried.endpoint);
                tried.collector().is_some()
            }
            "headers" => {
                tried.headers = text.into();
                tried.header_pairs().is_ok()
            }
            "resource_attributes" => {
                text.clone_into(&mut tried.resource_attributes);
                tried.attributes().is_ok()
            }
            // Of no use without TLS.
            "ca_file" => self.is_secured(),
            _ => true,
        };
        if is_good {
            self.set(key, variable, text);
        } else {
            self.warn(variable, "it is not understood, and left out");
        }
    }

    fn set(&mut self, key: &str, variable: &str, value: impl Into<ValueKind>) {
        let place = super::environment::place(variable);
        self.traces.insert(key.to_owned(), Value::new(Some(&place), value));
    }

    fn warn(&mut self, variable: &str, text: &str) {
        self.report.warn_at(&super::environment::place(variable), "traces", text);
    }

    /// The first of two variables that is there.
    fn first(&self, one: &'static str, other: &'static str) -> Option<(&'static str, &'a str)> {
        [one, other].into_iter().find_map(|name| Some((name, self.text(name)?)))
    }

    fn either(&mut self, key: &str, one: &'static str, other: &'static str) {
        if let Some((name, text)) = self.first(one, other) {
            self.set_text(key, name, text);
        }
    }

    fn is_secured(&self) -> bool {
        let endpoint = self.traces.get("endpoint").map(ToString::to_string);
        endpoint.is_some_and(|endpoint| endpoint.starts_with("https:"))
    }

    fn endpoint(&mut self) {
        const OWN: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let Some((name, text)) = self.first(OWN, BASE) else { return };
        let protocol =
            self.first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL");
        if let Some((name, "grpc")) = protocol {
            // Its endpoint is one for gRPC.
            let text = "gRPC is not spoken, and its endpoint left out: name one for http/protobuf";
            return self.warn(name, text);
        }
        // The one for traces stands for itself, to the other the path is added.
        let path = if name == BASE { "/v1/traces" } else { "" };
        self.set_text("endpoint", name, &format!("{}{path}", text.trim_end_matches('/')));
    }

    fn timeout(&mut self) {
        let timeout = self.first("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT");
        match timeout {
            Some((name, text)) if text.parse::<u32>().is_ok_and(|millis| millis > 0) => {
                self.set("timeout", name, format!("{text}{MILLIS}"));
            }
            Some((name, _)) => self.warn(name, "it is no number of milliseconds"),
            None => {}
        }
    }

    fn sampler(&mut self) {
        const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
        const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
        let Some(sampler) = self.text(SAMPLER) else { return };
        let own = sampler.strip_prefix("parentbased_");
        let ratio = match own.unwrap_or(sampler) {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => {
                let ratio = self.text(ARGUMENT).map(str::parse::<f64>);
                match ratio {
                    Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => ratio,
                    None => 1.0,
                    Some(_) => {
                        self.warn(ARGUMENT, "it is no number from 0 to 1");
                        1.0
                    }
                }
            }
            _ => return self.warn(SAMPLER, "this sampler is not known here"),
        };
        self.set("sample_ratio", SAMPLER, ratio);
        self.set("parent_based", SAMPLER, own.is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::plain;

    fn read_plain(variables: &[(&str, &str)]) -> (serde_json::Value, Vec<String>) {
        let variables: Vec<_> =
            variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let mut report = Report::default();
        let layer = read(&variables, &mut report);
        let warnings = report.finish().unwrap();
        (plain(&Value::new(None, layer.0)), warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_platforms_set_is_understood() {
        let (tree, warnings) = read_plain(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_SERVICE_NAME", "edge"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_TRACES_EXPORTER", "otlp"),
        ]);
        assert_eq!(
            tree,
            serde_json::json!({ "traces": {
                "endpoint": "http://collector:4318/v1/traces",
                "headers": "authorization=Bearer%20abc",
                "timeout": "2500ms",
                "service_name": "edge",
                "resource_attributes": "deployment.environment.name=test",
                "sample_ratio": 0.25,
                "parent_based": true,
            }})
        );
        assert_eq!(warnings, [""; 0]);
    }

    #[test]
    fn what_is_meant_for_traces_alone_wins() {
        let (tree, _) = read_plain(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4318/spans"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "b=2"),
            ("OTEL_TRACES_SAMPLER", "always_off"),
        ]);
        assert_eq!(
            tree,
            serde_json::json!({ "traces": {
                "endpoint": "http://traces:4318/spans", "headers": "b=2",
                "sample_ratio": 0.0, "parent_based": false,
            }})
        );
    }

    #[test]
    fn switching_off_is_switching_off() {
        let off = serde_json::json!({ "traces": { "enabled": false } });
        assert_eq!(read_plain(&[("OTEL_SDK_DISABLED", "true")]).0, off);
        assert_eq!(read_plain(&[("OTEL_TRACES_EXPORTER", "none")]).0, off);
        for (name, text) in
            [("OTEL_SDK_DISABLED", "false"), ("OTEL_SDK_DISABLED", ""), ("OTEL_LOG_LEVEL", "debug")]
        {
            assert_eq!(read_plain(&[(name, text)]), (serde_json::json!({}), vec![]));
        }
    }

    #[test]
    fn what_is_not_done_here_is_a_warning_and_nothing_is_done() {
        for variables in [
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ][..],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")],
            &[("OTEL_EXPORTER_OTLP_HEADERS", "no pair")],
            &[("OTEL_RESOURCE_ATTRIBUTES", "no pair")],
            &[("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem")],
            &[("OTEL_TRACES_EXPORTER", "zipkin")],
            &[("OTEL_TRACES_SAMPLER", "jaeger_remote")],
            &[("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")],
        ] {
            let (tree, warnings) = read_plain(variables);
            assert_eq!((tree, warnings.len()), (serde_json::json!({}), 1), "{variables:?}");
        }
    }
}
