//! Secrets that stand in files of their own: `<key>_file` gives `<key>`.
//!
//! Done layer by layer, so that a variable `…_FILE` wins over a value in a file, and the
//! other way round. Paths are taken from the current folder. It must not quote what it reads.

use std::path::Path;

use config::{Value, ValueKind};

use super::fault::Report;
use super::shape::{Kind, Shape};
use super::sources::text_of;
use super::tree::Table;

/// More than any key, password or address.
const LARGEST_SECRET: u64 = 64 * 1024;

/// Replaces every `<key>_file` of a layer by the `<key>` that the file holds.
pub(super) fn read_files(layer: &mut Table, report: &mut Report) {
    within(layer, Shape::root(), "", report);
}

fn within(table: &mut Table, shape: Shape, around: &str, report: &mut Report) {
    for name in shape.secrets() {
        let key = if around.is_empty() { name.to_owned() } else { format!("{around}.{name}") };
        resolve(table, name, &key, report);
    }
    for (name, shape) in shape.keys() {
        let Some(value) = table.get_mut(name) else { continue };
        let key = if around.is_empty() { name.to_owned() } else { format!("{around}.{name}") };
        match (shape.kind(), &mut value.kind) {
            (Kind::Table(shape), ValueKind::Table(table)) => within(table, shape, &key, report),
            (Kind::List(shape), ValueKind::Array(list)) => {
                for (index, value) in list.iter_mut().enumerate() {
                    if let ValueKind::Table(table) = &mut value.kind {
                        within(table, shape, &format!("{key}.{index}"), report);
                    }
                }
            }
            _ => {}
        }
    }
}

fn resolve(table: &mut Table, name: &str, key: &str, report: &mut Report) {
    let Some(twin) = table.remove(&format!("{name}_file")) else { return };
    let key = format!("{key}_file");
    let place = twin.origin().unwrap_or_default().to_owned();
    let ValueKind::String(path) = twin.kind else {
        report.fault_at(&place, &key, "a path is expected here", "write it in quotes");
        return;
    };
    if path.is_empty() {
        return;
    }
    let is_set = |value: &Value| !matches!(&value.kind, ValueKind::String(text) if text.is_empty());
    if table.get(name).is_some_and(is_set) {
        let remedy = format!("keep one of `{name}` and `{name}_file`");
        report.fault_at(&place, &key, format!("`{name}` is set as well"), remedy);
        return;
    }
    match text_of(Path::new(&path), LARGEST_SECRET) {
        Ok(text) => {
            let text = text.strip_suffix('\n').unwrap_or(&text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            if text.is_empty() {
                let remedy = "write the secret into it, or leave the key out";
                report.fault_at(&place, &key, format!("the file {path} is empty"), remedy);
            } else {
                table.insert(name.to_owned(), Value::new(Some(&place), text));
            }
        }
        Err(error) => {
            let text = format!("the file {path} cannot be read: {error}");
            let remedy = "check the path, taken from the current folder, and the permissions";
            report.fault_at(&place, &key, text, remedy);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::config::tree::plain;

    fn resolved(pairs: &[(&str, &str)]) -> (serde_json::Value, Report) {
        let value = |text: &str| Value::new(Some(&"f:1:1".to_owned()), text);
        let mut table: Table =
            pairs.iter().map(|(key, text)| ((*key).to_owned(), value(text))).collect();
        let mut report = Report::default();
        read_files(&mut table, &mut report);
        (plain(&Value::new(None, table)), report)
    }

    #[test]
    fn the_text_of_the_file_counts_without_its_last_line_end() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, " hunter2 \r\n").unwrap();
        let path = file.path().to_str().unwrap();

        let (tree, report) = resolved(&[("secret_key_file", path), ("secret_key", "")]);
        assert_eq!(tree, serde_json::json!({ "secret_key": " hunter2 " }));
        assert!(report.finish().is_ok());

        let (_, report) = resolved(&[("secret_key_file", path), ("secret_key", "other")]);
        let faults = report.finish().unwrap_err();
        assert_eq!(faults.0[0].text, "`secret_key` is set as well");
        assert!(!faults.to_string().contains("hunter2"));
    }

    #[test]
    fn a_file_that_gives_no_secret_is_a_fault() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        for path in [empty.path(), folder.path(), Path::new("/does/not/exist")] {
            let (_, report) = resolved(&[("secret_key_file", path.to_str().unwrap())]);
            let faults = report.finish().unwrap_err();
            assert_eq!(faults.0.len(), 1);
            assert_eq!(faults.0[0].key, "secret_key_file");
        }
    }

    #[test]
    fn an_empty_path_is_no_file() {
        let (tree, report) = resolved(&[("secret_key_file", ""), ("secret_key", "x")]);
        assert_eq!(tree, serde_json::json!({ "secret_key": "x" }));
        assert!(report.finish().is_ok());
    }
}
