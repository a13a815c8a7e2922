//! YAML (and so JSON): one document of tables with text keys, with the line and column of
//! every key.

use config::{Value, ValueKind};
use saphyr::{LoadableYamlNode, MarkedYaml, Marker, Scalar, YamlData};

use crate::config::fault::Report;
use crate::config::tree::{Layer, Table};

/// Deeper than any setting lies. The loader and whatever walks its tree recurse.
const DEEPEST: usize = 64;

/// Reads a file.
pub(super) fn read(name: &str, text: &str, report: &mut Report) -> Option<Layer> {
    let file = File { name };
    if let Some(line) = too_deep(text) {
        let place = format!("{name}:{line}:1");
        report.fault_at(&place, "", "nested too deeply", "no setting lies deeper than five levels");
        return None;
    }
    let documents = match MarkedYaml::load_from_str(text) {
        Ok(documents) => documents,
        Err(error) => {
            let remedy = "see https://yaml.org for how YAML is written";
            report.fault_at(&file.place(error.marker()), "", error.info(), remedy);
            return None;
        }
    };
    if let Some(second) = documents.get(1) {
        let place = file.place(&second.span.start);
        report.fault_at(&place, "", "a second document", "keep one document in the file");
        return None;
    }
    let Some(root) = documents.into_iter().next() else { return Some(Layer::default()) };
    match &root.data {
        YamlData::Mapping(_) => match file.value(&root, name, "", report).kind {
            ValueKind::Table(table) => Some(Layer(table)),
            _ => None,
        },
        YamlData::Value(Scalar::Null) => Some(Layer::default()),
        _ => {
            let place = file.place(&root.span.start);
            report.fault_at(
                &place,
                "",
                "the file is no table of settings",
                "write `key: value` lines",
            );
            None
        }
    }
}

/// The line at which brackets or indentation are deeper than anything sensible.
fn too_deep(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    text.lines().enumerate().find_map(|(index, line)| {
        let bytes = line.bytes();
        // Dashes nest too: `- - - x`.
        let dashes =
            bytes.clone().take_while(|byte| b" -?:".contains(byte)).filter(|byte| *byte != b' ');
        let dashes = dashes.count();
        for byte in bytes {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
        }
        let indent = line.len() - line.trim_start_matches(' ').len();
        let comment = line.trim_start().starts_with('#');
        (!comment && open.max(dashes).max(indent / 2) > DEEPEST).then_some(index + 1)
    })
}

struct File<'a> {
    name: &'a str,
}

impl File<'_> {
    fn place(&self, marker: &Marker) -> String {
        format!("{}:{}:{}", self.name, marker.line(), marker.col() + 1)
    }

    fn value(&self, node: &MarkedYaml<'_>, place: &str, key: &str, report: &mut Report) -> Value {
        let kind = match &node.data {
            YamlData::Value(Scalar::Null) => ValueKind::Nil,
            YamlData::Value(Scalar::Boolean(flag)) => ValueKind::Boolean(*flag),
            YamlData::Value(Scalar::Integer(number)) => ValueKind::I64(*number),
            YamlData::Value(Scalar::FloatingPoint(number)) => ValueKind::Float(number.into_inner()),
            YamlData::Value(Scalar::String(text)) => ValueKind::String(text.to_string()),
            YamlData::Sequence(list) => {
                let values = list.iter().enumerate().map(|(index, value)| {
                    let place = self.place(&value.span.start);
                    self.value(value, &place, &format!("{key}.{index}"), report)
                });
                ValueKind::Array(values.collect())
            }
            YamlData::Mapping(map) => {
                let mut table = Table::new();
                for (name, value) in map {
                    let place = self.place(&name.span.start);
                    let YamlData::Value(Scalar::String(name)) = &name.data else {
                        report.fault_at(
                            &place,
                            key,
                            "a key that is no text",
                            "write keys as plain words",
                        );
                        continue;
                    };
                    let inner =
                        if key.is_empty() { name.to_string() } else { format!("{key}.{name}") };
                    table.insert(name.to_string(), self.value(value, &place, &inner, report));
                }
                ValueKind::Table(table)
            }
            YamlData::Tagged(..)
            | YamlData::Alias(_)
            | YamlData::BadValue
            | YamlData::Representation(..) => {
                report.fault_at(
                    place,
                    key,
                    "a YAML tag or alias that means nothing here",
                    "write the value out",
                );
                ValueKind::Nil
            }
        };
        Value::new(Some(&place.to_owned()), kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::{Places, plain};

    #[test]
    fn values_keep_their_kind_and_their_place() {
        let text = "a: 007\nb: no\nc:\n  - p: x\n    q: [1, 2.5, true]\n  - {p: \"1\"}\nd:\n";
        let layer = read("f.yaml", text, &mut Report::default()).unwrap();
        let tree = Value::new(None, layer.0);
        assert_eq!(
            plain(&tree),
            serde_json::json!({
                "a": 7, "b": "no", "c": [{ "p": "x", "q": [1, 2.5, true] }, { "p": "1" }], "d": null
            })
        );
        let places = Places::within(&tree);
        for (key, place) in [
            ("b", "f.yaml:2:1"),
            ("c.0", "f.yaml:4:5"),
            ("c.0.q.1", "f.yaml:5:12"),
            ("c.1.p", "f.yaml:6:6"),
        ] {
            assert_eq!(places.of(key), place, "{key}");
        }
    }

    #[test]
    fn what_is_no_single_table_of_text_keys_is_a_fault() {
        for (text, place) in [
            ("a: 1\na: hunter2\n", "f.yaml:2:1"),
            ("a: [1, 2\nb: 1", "f.yaml:2:2"),
            ("- a\n", "f.yaml:1:1"),
            ("a: 1\n---\nb: 2\n", "f.yaml:3:1"),
            ("1: a\n", "f.yaml:1:1"),
            ("a: !odd {b: 1}\n", "f.yaml:1:1"),
        ] {
            let mut report = Report::default();
            read("f.yaml", text, &mut report);
            let faults = report.finish().unwrap_err();
            assert_eq!(faults.0[0].place, place, "{text}");
            assert!(!faults.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn an_empty_file_sets_nothing() {
        let mut report = Report::default();
        assert!(read("f.yaml", "# nothing\n", &mut report).unwrap().0.is_empty());
        assert!(report.finish().is_ok());
    }

    #[test]
    fn deep_nesting_is_a_fault_and_no_crash() {
        let dashes = "- ".repeat(100_000);
        let brackets = "[".repeat(100_000);
        let steps: String =
            (0..2_000).flat_map(|step| [" ".repeat(step), "a:\n".to_owned()]).collect();
        for text in [dashes, brackets, steps] {
            let mut report = Report::default();
            assert!(read("f.yaml", &text, &mut report).is_none());
            assert!(report.finish().is_err());
        }
    }
}
