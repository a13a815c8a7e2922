//! `[traces]`: where spans are sent, which, and what of others' traces is believed.

use std::path::PathBuf;

use http::{HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::forms;
use crate::config::values::{Period, SecretText};

/// What a collector's address leads to where it names no path (OTLP/HTTP).
const TRACES_PATH: &str = "/v1/traces";

/// Traces, sent to a collector by OTLP/HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Traces {
    /// Whether traces are sent, if `endpoint` says where to. Default true.
    pub enabled: bool,
    /// The collector: `http://host:4318` or `https://…`, `/v1/traces` where there is no path;
    /// empty: no traces.
    pub endpoint: String,
    /// Headers for the collector, as `name=value,name=value`; percent-encoded values.
    pub headers: SecretText,
    /// PEM file with the certificates that sign the collector's, in the place of the system's;
    /// only with TLS (`https://`). Empty: none.
    #[serde(with = "forms::path_or_none")]
    #[schemars(with = "String")]
    pub ca_file: Option<PathBuf>,
    /// How long one delivery may take. Default 10s.
    pub timeout: Period,
    /// What this service is called. Default `portcullis`.
    pub service_name: String,
    /// What else is said about this process, as `name=value,name=value`; percent-encoded values.
    pub resource_attributes: String,
    /// Which part of the traces that begin here is recorded, from 0 to 1. Default 1.
    pub sample_ratio: f64,
    /// Whether a trusted proxy's word on that counts for the traces that it began. Default true.
    pub parent_based: bool,
    /// What becomes of the trace that somebody names who is no trusted proxy. Default `link`.
    pub untrusted_parent: UntrustedParent,
    /// Whether spans tell the user's number. Default false.
    pub user_id: bool,
}

/// What becomes of the trace that somebody names who is no trusted proxy. It is never continued.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UntrustedParent {
    /// The new trace links to it.
    #[default]
    Link,
    /// It is forgotten.
    Drop,
}

/// What is wrong with the text of a list of names and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// A part without `=`, or without a name.
    #[error("there is a part that is not name=value")]
    Form,
    /// What cannot be called so, or cannot be said.
    #[error("there is a name or a value with signs that cannot stand there")]
    Signs,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            enabled: true,
            endpoint: String::new(),
            headers: SecretText::default(),
            ca_file: None,
            timeout: Period::seconds(10),
            service_name: "portcullis".to_owned(),
            resource_attributes: String::new(),
            sample_ratio: 1.0,
            parent_based: true,
            untrusted_parent: UntrustedParent::Link,
            user_id: false,
        }
    }
}

impl Traces {
    /// Whether any are sent.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.enabled && !self.endpoint.is_empty()
    }

    /// The whole address of the collector; `None` if it is none.
    #[must_use]
    pub fn collector(&self) -> Option<Uri> {
        let uri: Uri = self.endpoint.parse().ok()?;
        let has_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority()?.as_str();
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        let is_plain =
            !authority.contains('@') && !authority.ends_with(':') && uri.query().is_none();
        let has_port = uri.port().is_none_or(|port| port.as_u16() > 0);
        if !(has_scheme && has_host && is_plain && has_port) {
            return None;
        }
        if matches!(uri.path(), "" | "/") {
            return format!("{}{TRACES_PATH}", self.endpoint.trim_end_matches('/')).parse().ok();
        }
        Some(uri)
    }

    /// The headers for the collector.
    ///
    /// # Errors
    /// The text is no list of headers.
    pub fn header_pairs(&self) -> Result<Vec<(HeaderName, HeaderValue)>, PairError> {
        let header = |(name, value): (String, String)| {
            let name: HeaderName = name.parse().map_err(|_| PairError::Signs)?;
            let mut value: HeaderValue = value.parse().map_err(|_| PairError::Signs)?;
            value.set_sensitive(true);
            Ok((name, value))
        };
        pairs(self.headers.expose())?.into_iter().map(header).collect()
    }

    /// What else is said about this process.
    ///
    /// # Errors
    /// The text is no list of names and values.
    pub fn attributes(&self) -> Result<Vec<(String, String)>, PairError> {
        pairs(&self.resource_attributes)
    }
}

/// Reads `name=value,name=value`, as the variables of OpenTelemetry are written (W3C baggage).
fn pairs(text: &str) -> Result<Vec<(String, String)>, PairError> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let read = |part: &str| {
        let (name, value) = part.split_once('=').ok_or(PairError::Form)?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() {
            return Err(PairError::Form);
        }
        let value = percent_decode_str(value).decode_utf8().map_err(|_| PairError::Signs)?;
        Ok((name.to_owned(), value.into_owned()))
    };
    parts.map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collector(endpoint: &str) -> Option<String> {
        let traces = Traces { endpoint: endpoint.to_owned(), ..Traces::default() };
        traces.collector().map(|uri| uri.to_string())
    }

    #[test]
    fn a_collector_without_a_path_is_asked_at_the_usual_one() {
        for (endpoint, whole) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otel.example/", "https://otel.example/v1/traces"),
            ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
            ("https://otel.example/otlp/traces", "https://otel.example/otlp/traces"),
        ] {
            assert_eq!(collector(endpoint).as_deref(), Some(whole));
        }
    }

    #[test]
    fn what_leads_to_no_collector_is_none() {
        for endpoint in [
            "127.0.0.1:4318",
            "grpc://127.0.0.1:4317",
            "http://",
            "http://:4318",
            "http://a:0",
            "http://a:",
            "http://user:password@a:4318",
            "https://a/v1/traces?key=1",
            "/v1/traces",
            "http://a b",
        ] {
            assert_eq!(collector(endpoint), None, "{endpoint}");
        }
    }

    #[test]
    fn lists_are_read_as_opentelemetry_writes_them() {
        let read = |text: &str| {
            pairs(text).map(|pairs| {
                pairs
                    .into_iter()
                    .map(|(name, value)| format!("{name}: {value}"))
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(
            read("a=1, b = x%20y%2Cz ,c=d=e,"),
            Ok(vec!["a: 1".to_owned(), "b: x y,z".to_owned(), "c: d=e".to_owned()])
        );
        assert_eq!(read("a"), Err(PairError::Form));
        assert_eq!(read("=1"), Err(PairError::Form));
        assert_eq!(read("a=%ff"), Err(PairError::Signs));
    }

    #[test]
    fn headers_are_headers_and_show_nothing() {
        let headers =
            |text: &str| Traces { headers: text.into(), ..Traces::default() }.header_pairs();
        let read = headers("Authorization=Bearer%20abc,x-tenant=7").unwrap();
        assert_eq!(read[0].1, "Bearer abc");
        assert!(!format!("{read:?}").contains("abc"));
        assert_eq!(headers("a b=1").unwrap_err(), PairError::Signs);
        assert_eq!(headers("a=%0d%0ab: c").unwrap_err(), PairError::Signs);
    }
}
