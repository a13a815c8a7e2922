//! No key of `config/djoser.toml` without a test that sets it.

use std::path::Path;

use toml::{Table, Value};

use super::DJOSER;

/// The dotted names of all values below `table`.
fn keys(prefix: &str, table: &Table, found: &mut Vec<String>) {
    for (name, value) in table {
        match value {
            Value::Table(inner) => keys(&format!("{prefix}{name}."), inner, found),
            _ => found.push(format!("{prefix}{name}")),
        }
    }
}

/// The source of the tests in this folder.
fn tests() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/compatibility");
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn every_key_that_djoser_has_otherwise_is_set_by_a_test() {
    let mut all = Vec::new();
    keys("", &DJOSER.parse().unwrap(), &mut all);
    assert!(all.len() >= 13, "the file was read: {all:?}");
    let tests = tests();
    let forgotten: Vec<_> =
        all.iter().filter(|key| !tests.contains(&format!("djosers(\"{key}\")"))).collect();
    assert!(forgotten.is_empty(), "not tested with djoser's value: {forgotten:?}");
}

#[test]
fn what_the_file_says_differs_from_the_products_defaults() {
    let mut all = Vec::new();
    let djosers: Table = DJOSER.parse().unwrap();
    keys("", &djosers, &mut all);
    let products = Value::try_from(portcullis::config::Settings::default()).unwrap();
    let djosers = Value::Table(djosers);
    let at = |value: &Value, key: &str| {
        key.split('.').try_fold(value.clone(), |value, name| value.get(name).cloned())
    };
    for key in all {
        assert_ne!(at(&djosers, &key), at(&products, &key), "{key} needs no mention");
    }
}
