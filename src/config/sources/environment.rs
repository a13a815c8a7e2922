//! The environment: `PORTCULLIS__SECTION__KEY`.
//!
//! The variables are handed in. Names with a single underscore after PORTCULLIS are not ours:
//! Kubernetes makes such for a service of that name. A variable's text becomes the kind of
//! value that its key takes; a text stays as it is.

use config::{Value, ValueKind};

use crate::config::fault::Report;
use crate::config::shape::{Kind, Shape, range};
use crate::config::tree::{Layer, Table};

use super::toml;

const PREFIX: &str = "PORTCULLIS__";
const PLACE: &str = "environment variable ";

/// Reads all variables that are ours.
pub(in crate::config) fn read(variables: &[(String, String)], report: &mut Report) -> Layer {
    let mut ours: Vec<_> = variables
        .iter()
        .filter_map(|(name, text)| Some((name, name.strip_prefix(PREFIX)?, text)))
        .collect();
    // A table comes before what is set within it.
    ours.sort();
    let mut root = Table::new();
    for (name, rest, text) in ours {
        let place = place(name);
        report.begin(&place);
        let key = rest.to_lowercase().replace("__", ".");
        if key.split('.').any(str::is_empty) {
            let remedy = "write PORTCULLIS__SECTION__KEY, two underscores between the parts";
            report.fault_at(&place, &key, "the name of no setting", remedy);
            continue;
        }
        if let Some(value) = value(&place, &key, text, report) {
            insert(&mut root, &place, &key, value, report);
        }
    }
    Layer(root)
}

/// What the place of a variable is called.
pub(super) fn place(variable: &str) -> String {
    format!("{PLACE}{variable}")
}

/// Whether a place is a variable.
pub(in crate::config) fn is_variable(place: &str) -> bool {
    place.starts_with(PLACE)
}

/// What the variable for a key is called.
pub(in crate::config) fn variable_name(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

/// The text as the kind of value that the key takes. Unknown keys are told of later.
fn value(place: &str, key: &str, text: &str, report: &mut Report) -> Option<Value> {
    let at = |kind: ValueKind| Some(Value::new(Some(&place.to_owned()), kind));
    let Some(kind) = Shape::root().at(key).map(Shape::kind) else {
        return at(ValueKind::String(text.to_owned()));
    };
    let trimmed = text.trim();
    let read = match &kind {
        Kind::Text | Kind::Choice(_) => Some(ValueKind::String(text.to_owned())),
        Kind::Flag => flag(trimmed).map(ValueKind::Boolean),
        Kind::Whole(..) => trimmed.parse().ok().map(ValueKind::I64),
        Kind::Number => trimmed.parse().ok().map(ValueKind::Float),
        Kind::List(_) | Kind::OneOrMany if trimmed.starts_with('[') => {
            return toml::value(place, key, trimmed, report);
        }
        Kind::Table(_) if trimmed.starts_with('{') => {
            return toml::value(place, key, trimmed, report);
        }
        Kind::OneOrMany => Some(ValueKind::Array(words(place, trimmed))),
        Kind::List(inner) => match inner.kind() {
            Kind::Text => Some(ValueKind::Array(words(place, trimmed))),
            _ => None,
        },
        Kind::Table(_) => None,
    };
    if let Some(kind) = read {
        return at(kind);
    }
    let remedy = match &kind {
        Kind::Flag => "write true or false".to_owned(),
        Kind::Whole(low, high) => range(*low, *high),
        Kind::List(_) => "write it as in TOML: [{name = \"…\"}]".to_owned(),
        Kind::Table(_) => {
            "write it as in TOML: {name = \"…\"}, or set its keys one by one".to_owned()
        }
        _ => "write a number such as 0.75".to_owned(),
    };
    report.fault_at(place, key, format!("{} is expected here", kind.name()), remedy);
    None
}

fn flag(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A plain list: `a, b`.
fn words(place: &str, text: &str) -> Vec<Value> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(|word| Value::new(Some(&place.to_owned()), word)).collect()
}

fn insert(root: &mut Table, place: &str, key: &str, value: Value, report: &mut Report) {
    let (around, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut home = Some(&mut *root);
    for step in around.split('.').filter(|step| !step.is_empty()) {
        home = home.and_then(|table| {
            let empty = || Value::new(Some(&place.to_owned()), Table::new());
            match &mut table.entry(step.to_owned()).or_insert_with(empty).kind {
                ValueKind::Table(table) => Some(table),
                _ => None,
            }
        });
    }
    match home {
        Some(table) if !table.contains_key(name) => {
            table.insert(name.to_owned(), value);
        }
        // Two spellings of one name, or a key of a value that has none.
        _ => {
            let remedy = "keep one of the variables that set it";
            report.fault_at(place, key, "set by another variable as well", remedy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::plain;

    fn read_plain(variables: &[(&str, &str)]) -> (serde_json::Value, Report) {
        let variables: Vec<_> =
            variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let mut report = Report::default();
        let layer = read(&variables, &mut report);
        (plain(&Value::new(None, layer.0)), report)
    }

    #[test]
    fn a_text_stays_as_it_is_and_other_kinds_are_read() {
        let (tree, report) = read_plain(&[
            ("PORTCULLIS__SECRET_KEY", "007"),
            ("PORTCULLIS__SERVER__THREADS", "7"),
            ("PORTCULLIS__DATABASE__MIGRATE", "off"),
            ("PORTCULLIS__ACCOUNTS__PASSWORD_SIMILARITY", "1"),
            ("PORTCULLIS__SERVER__ALLOWED_HOSTS", "a.example, b.example,"),
            ("PORTCULLIS__CORS__ALLOWED_ORIGINS", r#"["https://a,b.example"]"#),
            ("PORTCULLIS__ROUTES", r#"[{path = "/", host = "a.example"}]"#),
            ("PORTCULLIS__SERVER__TLS__CERTIFICATE", "cert.pem"),
            ("PORTCULLIS__ACCOUNTS__ARGON2", "{ iterations = 3 }"),
            ("PORTCULLIS__ACCOUNTS__ARGON2__MEMORY_KIB", "65536"),
        ]);
        assert_eq!(
            tree,
            serde_json::json!({
                "secret_key": "007",
                "server": { "threads": 7, "allowed_hosts": ["a.example", "b.example"], "tls": { "certificate": "cert.pem" } },
                "database": { "migrate": false },
                "accounts": {
                    "password_similarity": 1.0,
                    "argon2": { "iterations": 3, "memory_kib": 65536 }
                },
                "cors": { "allowed_origins": ["https://a,b.example"] },
                "routes": [{ "path": "/", "host": "a.example" }]
            })
        );
        assert!(report.finish().is_ok());
    }

    #[test]
    fn names_that_are_not_ours_are_left_alone() {
        let (tree, report) = read_plain(&[
            ("PORTCULLIS_SERVICE_HOST", "10.0.0.1"),
            ("PORTCULLIS_PORT_8000_TCP", "tcp://10.0.0.1:8000"),
            ("HOME", "/root"),
        ]);
        assert_eq!(tree, serde_json::json!({}));
        assert!(report.finish().is_ok());
    }

    #[test]
    fn a_text_that_is_not_of_the_right_kind_is_a_fault_that_does_not_quote_it() {
        let (tree, report) = read_plain(&[
            ("PORTCULLIS__SERVER__THREADS", "hunter2"),
            ("PORTCULLIS__DATABASE__MIGRATE", "hunter2"),
            ("PORTCULLIS__ROUTES", "hunter2"),
            ("PORTCULLIS__UPSTREAMS", "[{name = hunter2"),
            ("PORTCULLIS__SERVER__", "hunter2"),
            ("PORTCULLIS__CACHE__TOKENS", "1"),
            ("PORTCULLIS__cache__TOKENS", "2"),
        ]);
        assert_eq!(tree, serde_json::json!({ "cache": { "tokens": 1 } }));
        let faults = report.finish().unwrap_err();
        assert_eq!(faults.0.len(), 6, "{faults}");
        assert!(!faults.to_string().contains("hunter2"), "{faults}");
    }
}
