//! Rules about single files: how one opens, how long it is, what it must not hold.

use super::source::Source;

/// Past this a file has two purposes more often than not.
const MOST_LINES: usize = 450;

pub(super) fn opening_fault(path: &str, text: &str) -> Option<String> {
    let opens = text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 8);
    (!opens).then(|| format!("{path}:1: does not open with `//!`"))
}

pub(super) fn length_fault(path: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > MOST_LINES).then(|| format!("{path}: {lines} lines, more than {MOST_LINES}"))
}

/// Macros that stand for code which is not there.
pub(super) fn unfinished(source: &Source) -> Vec<String> {
    (0..source.words().len())
        .filter_map(|at| {
            let name = ["todo", "unimplemented"]
                .iter()
                .find_map(|name| source.matches(at, &[name, "!", "("]).map(|line| (name, line)))?;
            Some(format!("{}:{}: `{}!`", source.path, name.1, name.0))
        })
        .collect()
}

/// Tests that are there and do not run.
pub(super) fn switched_off(source: &Source) -> Vec<String> {
    (0..source.words().len())
        .filter_map(|at| source.matches(at, &["#", "[", "ignore"]))
        .map(|line| format!("{}:{line}: an ignored test", source.path))
        .collect()
}

/// Folders that exist on one machine and not on the next. Written in two pieces, or this file would be a finding.
const MACHINE: &[&str] = &[concat!("/wo", "rk/"), concat!("/fa", "rm/"), concat!("/ro", "ot/")];

pub(super) fn machine_paths(path: &str, text: &str) -> Vec<String> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| MACHINE.iter().any(|folder| names(line, folder)))
        .map(|(at, line)| format!("{path}:{}: {}", at + 1, line.trim()))
        .collect()
}

/// The folder at the start of a path, not in the middle of one.
fn names(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '~' | '}'))
    })
}

#[cfg(test)]
mod tests {
    use super::super::File;
    use super::*;

    fn source(text: &str) -> Source {
        Source::whole(File { path: "src/a.rs".to_owned(), text: text.to_owned() })
    }

    #[test]
    fn a_file_opens_with_its_purpose_or_is_a_fault() {
        assert_eq!(opening_fault("src/a.rs", "//! Why it is there.\n"), None);
        for text in ["", "use a;\n//! late", "//!\n", "// not for readers\n"] {
            assert!(opening_fault("src/a.rs", text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn a_file_may_be_as_long_as_the_limit_and_no_longer() {
        assert_eq!(length_fault("src/a.rs", &"\n".repeat(MOST_LINES)), None);
        assert_eq!(
            length_fault("src/a.rs", &"\n".repeat(MOST_LINES + 1)),
            Some("src/a.rs: 451 lines, more than 450".to_owned())
        );
    }

    #[test]
    fn stand_ins_for_code_are_found_and_mentions_are_not() {
        assert_eq!(unfinished(&source("fn a() {\n    todo!()\n}")), ["src/a.rs:2: `todo!`"]);
        assert_eq!(unfinished(&source("fn a() { unimplemented!(\"b\") }")).len(), 1);
        assert_eq!(unfinished(&source("// todo!()\nlet a = \"todo!()\"; todo(1);")), [""; 0]);
    }

    #[test]
    fn ignored_tests_are_found() {
        assert_eq!(switched_off(&source("#[test]\n#[ignore = \"slow\"]\nfn a() {}")).len(), 1);
        assert_eq!(switched_off(&source("#[test]\nfn ignore() {}")), [""; 0]);
    }

    #[test]
    fn paths_of_one_machine_are_found_and_like_sounding_ones_are_not() {
        let found = |text: &str| machine_paths("a.md", text).len();
        assert_eq!(found(concat!("see /wo", "rk/notes")), 1);
        assert_eq!(found(concat!("\"/ro", "ot/.cargo\"")), 1);
        assert_eq!(found("see /network/, frame/work/, $dir/root and /api/users/"), 0);
    }
}
