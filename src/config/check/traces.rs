//! `[traces]`: whether spans can be sent at all, and to whom a secret would be told.

use std::net::IpAddr;
use std::time::Duration;

use http::header;

use crate::config::fault::Report;
use crate::config::sections::Traces;

pub(super) fn check(traces: &Traces, report: &mut Report) {
    endpoint(traces, report);
    texts(traces, report);
    if !(0.0..=1.0).contains(&traces.sample_ratio) {
        let remedy = "write 1 for all traces, 0.1 for every tenth, 0 for none";
        report.fault("traces.sample_ratio", "is no number from 0 to 1", remedy);
    }
    if *traces.timeout < Duration::from_millis(1) {
        let remedy = "write a millisecond or more, or leave the key out";
        report.fault("traces.timeout", "no time at all: nothing could succeed", remedy);
    }
}

fn endpoint(traces: &Traces, report: &mut Report) {
    const KEY: &str = "traces.endpoint";
    if traces.endpoint.is_empty() {
        return;
    }
    let Some(collector) = traces.collector() else {
        let remedy = "write http://host:4318 or https://host, without name, password and query; \
                      what the collector asks for goes into traces.headers";
        // Not the address: it may hold a password.
        return report.fault(KEY, "the address is not one of a collector", remedy);
    };
    let is_secured = collector.scheme_str() == Some("https");
    if traces.ca_file.is_some() && !is_secured {
        let text = "certificates are of no use without TLS";
        report.fault_because("traces.ca_file", KEY, text, "write https:// in traces.endpoint");
    }
    let host = collector.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    if !is_secured && !is_here && !traces.headers.is_empty() {
        let text = "go to another machine in the clear: write https:// in traces.endpoint";
        report.warn_because("traces.headers", KEY, text);
    }
}

fn texts(traces: &Traces, report: &mut Report) {
    const OURS: [http::HeaderName; 4] =
        [header::HOST, header::CONTENT_TYPE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    let remedy = "write name=value,name=value; a comma in a value as %2C, a blank as %20";
    // None of the texts: they may be secrets.
    match traces.header_pairs() {
        Err(error) => report.fault("traces.headers", error.to_string(), remedy),
        Ok(headers) if headers.iter().any(|(name, _)| OURS.contains(name)) => {
            let text = "one of the headers describes the message itself";
            report.fault("traces.headers", text, "leave it out: it is written here");
        }
        Ok(_) => {}
    }
    if let Err(error) = traces.attributes() {
        report.fault("traces.resource_attributes", error.to_string(), remedy);
    }
    if traces.service_name.is_empty() {
        let remedy = "write a name, or leave the key out";
        report.fault("traces.service_name", "a service without a name cannot be found", remedy);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{faulty, warned};
    use super::*;

    fn on(endpoint: &str) -> Traces {
        Traces { endpoint: endpoint.to_owned(), ..Traces::default() }
    }

    #[test]
    fn a_collector_is_reached_by_http_or_https() {
        for endpoint in ["", "http://127.0.0.1:4318", "https://otel.example/v1/traces"] {
            assert_eq!(faulty(check, &on(endpoint)), [""; 0], "{endpoint}");
        }
        for endpoint in ["127.0.0.1:4318", "grpc://a:4317", "https://user:secret@a"] {
            assert_eq!(faulty(check, &on(endpoint)), ["traces.endpoint"], "{endpoint}");
        }
        let ca_file = Some("ca.pem".into());
        let traces = Traces { ca_file: ca_file.clone(), ..on("http://127.0.0.1:4318") };
        assert_eq!(faulty(check, &traces), ["traces.ca_file"]);
        let traces = Traces { ca_file, ..on("https://127.0.0.1:4318") };
        assert_eq!(faulty(check, &traces), [""; 0]);
    }

    #[test]
    fn each_key_has_its_form() {
        let traces = Traces {
            headers: "no pair".into(),
            resource_attributes: "=a".to_owned(),
            service_name: String::new(),
            sample_ratio: 1.5,
            timeout: "0s".parse().unwrap(),
            ..on("http://127.0.0.1:4318")
        };
        assert_eq!(
            faulty(check, &traces),
            [
                "traces.headers",
                "traces.resource_attributes",
                "traces.sample_ratio",
                "traces.service_name",
                "traces.timeout",
            ]
        );
        let traces = Traces { headers: "Content-Type=text/plain".into(), ..Traces::default() };
        assert_eq!(faulty(check, &traces), ["traces.headers"]);
        let traces = Traces { sample_ratio: f64::NAN, ..Traces::default() };
        assert_eq!(faulty(check, &traces), ["traces.sample_ratio"]);
    }

    #[test]
    fn a_secret_in_the_clear_is_worth_a_warning() {
        let with_key = |endpoint| Traces { headers: "x-key=1".into(), ..on(endpoint) };
        assert_eq!(warned(check, &with_key("http://otel.example:4318")), ["traces.headers"]);
        for endpoint in ["http://127.0.0.1:4318", "http://localhost:4318", "https://otel.example"] {
            assert_eq!(warned(check, &with_key(endpoint)), [""; 0], "{endpoint}");
        }
    }
}
