//! The rules of the house that no compiler holds: who may know whom, which module knows
//! which framework, how a file opens and how long it may grow.
//!
//! It reads the source as text; it must not need the crate to compile.

mod direction;
mod rules;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

/// A file of the project, its path relative to the root.
struct File {
    path: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folder` for which `wanted` holds, in the order of their paths.
fn files_below(folder: &str, wanted: fn(&Path) -> bool) -> Vec<File> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if wanted(&path) {
                found.push(read(&path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "nothing to look at below {folder}: is this the project's root?");
    found
}

fn read(path: &Path) -> File {
    let relative = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    File { path: relative, text }
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// The product's own files, without those that only tests see.
fn product() -> Vec<Source> {
    source::product(files_below("src", is_rust))
}

fn assert_tidy(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}\n\n  {}\n", faults.join("\n  "));
}

#[test]
fn no_module_knows_one_that_stands_before_it() {
    let faults: Vec<_> = product().iter().flat_map(direction::faults).collect();
    assert_tidy("Data goes one way (docs/ARCHITECTURE.md, \"Who may know whom\"):", &faults);
}

#[test]
fn every_module_has_its_place_in_the_direction() {
    let faults: Vec<_> = product()
        .iter()
        .filter(|source| !direction::is_placed(source.module()))
        .map(|source| format!("{}: module `{}` has no row", source.path, source.module()))
        .collect();
    assert_tidy("Add the module to the table in tests/it/tidy/direction.rs:", &faults);
}

#[test]
fn each_framework_is_known_to_its_own_module_only() {
    let faults: Vec<_> = product().iter().flat_map(direction::framework_faults).collect();
    assert_tidy("Frameworks stay at the rim:", &faults);
}

#[test]
fn every_file_opens_with_its_purpose() {
    let faults: Vec<_> = files_below("src", is_rust)
        .iter()
        .chain(&files_below("tests/it", is_rust))
        .filter_map(|file| rules::opening_fault(&file.path, &file.text))
        .collect();
    assert_tidy("Every file opens with `//!`: why it exists and what it must not know:", &faults);
}

#[test]
fn no_file_has_grown_two_purposes() {
    let faults: Vec<_> = files_below("src", is_rust)
        .iter()
        .filter_map(|file| rules::length_fault(&file.path, &file.text))
        .collect();
    assert_tidy("Split by purpose:", &faults);
}

#[test]
fn nothing_is_left_undone() {
    let faults: Vec<_> = product().iter().flat_map(rules::unfinished).collect();
    assert_tidy("Everything that is there works:", &faults);
}

#[test]
fn no_test_is_switched_off() {
    let faults: Vec<_> = files_below("src", is_rust)
        .into_iter()
        .chain(files_below("tests/it", is_rust))
        .flat_map(|file| rules::switched_off(&Source::whole(file)))
        .collect();
    assert_tidy("A test runs or goes:", &faults);
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let text = |path: &Path| {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        matches!(extension, "rs" | "md" | "toml" | "sql" | "py" | "service" | "")
            && name != "LICENSE"
            && !path.components().any(|part| part.as_os_str() == "__pycache__")
    };
    let mut files = files_below("src", text);
    for folder in ["tests/it", "docs", "scripts", ".ci", "benches", "deploy"] {
        files.extend(files_below(folder, text));
    }
    for name in
        ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile", "Cargo.toml"]
    {
        files.push(read(&root().join(name)));
    }
    let faults: Vec<_> =
        files.iter().flat_map(|file| rules::machine_paths(&file.path, &file.text)).collect();
    assert_tidy("The project is whole by itself:", &faults);
}
