//! TOML: every syntax fault, and the line and column of every key.

use config::{Value, ValueKind};
use toml::de::{DeTable, DeValue, Error};

use crate::config::fault::Report;
use crate::config::tree::{Layer, Table};

const REMEDY: &str = "see https://toml.io for how TOML is written";

/// Reads a file.
pub(super) fn read(name: &str, text: &str, report: &mut Report) -> Option<Layer> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let lines = Lines::of(name, text);
    if !errors.is_empty() {
        lines.tell(&errors, report);
        return None;
    }
    Some(Layer(lines.table(root.get_ref(), "", report)))
}

/// Reads a text that is part of the program: where in it something stands tells nobody anything.
pub(super) fn read_at(place: &str, text: &str, report: &mut Report) -> Layer {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        report.fault_at(place, "", error.message(), REMEDY);
    }
    Layer(Inline { name: place }.table(root.get_ref(), "", report))
}

/// Reads one value, as an environment variable may hold it; `name` is its place.
pub(super) fn value(name: &str, key: &str, text: &str, report: &mut Report) -> Option<Value> {
    match DeValue::parse(text) {
        Ok(value) => Some(Inline { name }.value(value.get_ref(), name, key, report)),
        Err(error) => {
            let text = format!("the value is not TOML: {}", error.message());
            report.fault_at(name, key, text, "write lists as [\"a\", \"b\"] and tables as {a = 1}");
            None
        }
    }
}

/// How a position is told.
trait Positions {
    fn place(&self, byte: usize) -> String;

    fn table(&self, table: &DeTable<'_>, around: &str, report: &mut Report) -> Table {
        let entries = table.iter().map(|(name, value)| {
            let key = match around {
                "" => name.get_ref().to_string(),
                around => format!("{around}.{}", name.get_ref()),
            };
            // A table's own position is that of its header, before its name.
            let place = self.place(name.span().start.min(value.span().start));
            (name.get_ref().to_string(), self.value(value.get_ref(), &place, &key, report))
        });
        entries.collect()
    }

    fn value(&self, value: &DeValue<'_>, place: &str, key: &str, report: &mut Report) -> Value {
        let kind = match value {
            DeValue::String(text) => ValueKind::String(text.to_string()),
            DeValue::Boolean(flag) => ValueKind::Boolean(*flag),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => ValueKind::I64(number),
                    // Of no kind that any key takes: it will be reported as such.
                    Err(_) => ValueKind::U128(u128::MAX),
                }
            }
            DeValue::Float(number) => ValueKind::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Datetime(_) => {
                report.fault_at(place, key, "no setting is a date", "write it in quotes");
                ValueKind::String(String::new())
            }
            DeValue::Array(list) => {
                let values = list.iter().enumerate().map(|(index, value)| {
                    let place = self.place(value.span().start);
                    self.value(value.get_ref(), &place, &format!("{key}.{index}"), report)
                });
                ValueKind::Array(values.collect())
            }
            DeValue::Table(table) => ValueKind::Table(self.table(table, key, report)),
        };
        Value::new(Some(&place.to_owned()), kind)
    }
}

/// A file: line and column, both from 1.
struct Lines<'a> {
    name: &'a str,
    text: &'a str,
    /// Where each begins: a file may have ten thousand routes, and every key is asked for.
    begins: Vec<usize>,
}

impl Positions for Lines<'_> {
    fn place(&self, byte: usize) -> String {
        let line = self.number(byte);
        let begin = line.checked_sub(1).and_then(|line| self.begins.get(line)).copied();
        let before = self.text.get(begin.unwrap_or(0)..byte).unwrap_or_default();
        format!("{}:{line}:{}", self.name, before.chars().count() + 1)
    }
}

impl<'a> Lines<'a> {
    fn of(name: &'a str, text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let begins = std::iter::once(0).chain(ends.map(|(end, _)| end + 1)).collect();
        Self { name, text, begins }
    }

    /// Of the line that holds the byte, from 1.
    fn number(&self, byte: usize) -> usize {
        self.begins.partition_point(|begin| *begin <= byte)
    }

    /// The first fault of each line: others there mostly follow from it.
    fn tell(&self, errors: &[Error], report: &mut Report) {
        let start = |error: &Error| error.span().map_or(0, |span| span.start);
        let mut errors: Vec<_> = errors.iter().map(|error| (start(error), error)).collect();
        errors.sort_by_key(|(start, _)| *start);
        errors.dedup_by_key(|(start, _)| self.number(*start));
        for (start, error) in errors {
            report.fault_at(&self.place(start), "", error.message(), REMEDY);
        }
    }
}

/// A variable: its name is position enough.
struct Inline<'a> {
    name: &'a str,
}

impl Positions for Inline<'_> {
    fn place(&self, _: usize) -> String {
        self.name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::Places;

    fn places(text: &str) -> Places {
        let mut report = Report::default();
        let layer = read("f.toml", text, &mut report).unwrap();
        Places::within(&Value::new(None, layer.0))
    }

    #[test]
    fn every_key_and_element_knows_its_line_and_column() {
        let places = places(
            "a = 1\r\n[b]\n  c.d = 'é'\nlist = ['x',\n  'y']\n[[r]]\np = { q = 'é', s = 1 }\n[[r]]\n",
        );
        for (key, place) in [
            ("a", "f.toml:1:1"),
            ("b", "f.toml:2:1"),
            ("b.c.d", "f.toml:3:5"),
            ("b.list.1", "f.toml:5:3"),
            ("r.0", "f.toml:6:1"),
            ("r.0.p.s", "f.toml:7:16"),
            ("r.1", "f.toml:8:1"),
        ] {
            assert_eq!(places.of(key), place, "{key}");
        }
    }

    #[test]
    fn all_syntax_faults_are_told_without_what_stands_there() {
        let mut report = Report::default();
        assert!(read("f.toml", "a = hunter2\nb = 1\nb = 2\n[c\n", &mut report).is_none());
        let faults = report.finish().unwrap_err();
        let places: Vec<_> = faults.0.iter().map(|fault| fault.place.as_str()).collect();
        assert_eq!(places, ["f.toml:1:5", "f.toml:3:1", "f.toml:4:3"]);
        assert!(!faults.to_string().contains("hunter2"));
    }

    #[test]
    fn deep_nesting_is_a_fault_and_no_crash() {
        let mut report = Report::default();
        assert!(read("f.toml", &format!("a = {}", "[".repeat(200_000)), &mut report).is_none());
        assert!(report.finish().is_err());
    }

    #[test]
    fn a_date_is_no_setting() {
        let mut report = Report::default();
        read("f.toml", "a = 2020-01-01", &mut report);
        assert_eq!(report.finish().unwrap_err().0[0].text, "no setting is a date");
    }
}
