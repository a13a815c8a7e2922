//! Rust source as a row of words: comments, texts and test code taken out.
//!
//! Enough of the language to tell a path from a mention in a comment. It must not know
//! which paths are allowed.

use super::File;

/// A product file, read.
pub(super) struct Source {
    pub(super) path: String,
    words: Vec<Word>,
}

/// An identifier, `::`, or a single sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) line: usize,
}

impl Source {
    /// The file without its tests, which may know everybody.
    pub(super) fn product(file: File) -> Self {
        let mut words = words(&file.text);
        words.truncate(start_of_tests(&words));
        Self { path: file.path, words }
    }

    /// The file as it is.
    pub(super) fn whole(file: File) -> Self {
        Self { words: words(&file.text), path: file.path }
    }

    /// The top-level module that the file belongs to: `gate` for `src/gate/path.rs`, `main`, `lib`.
    pub(super) fn module(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        below.split_once('/').map_or_else(|| below.trim_end_matches(".rs"), |(module, _)| module)
    }

    /// How many `super::` lead from this file to the crate's root.
    pub(super) fn depth(&self) -> usize {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let parts = below.split('/').count();
        if below.ends_with("mod.rs") { parts - 1 } else { parts }
    }

    pub(super) fn words(&self) -> &[Word] {
        &self.words
    }

    /// `Some(line)` where the words from `at` on are exactly `pattern`.
    pub(super) fn matches(&self, at: usize, pattern: &[&str]) -> Option<usize> {
        let here = self.words.get(at..at + pattern.len())?;
        here.iter().zip(pattern).all(|(word, text)| word.text == *text).then(|| here[0].line)
    }
}

/// The product's files: those that some `#[cfg(test)] mod name;` declares are left out.
pub(super) fn product(files: Vec<File>) -> Vec<Source> {
    let test_only: Vec<String> = files.iter().flat_map(test_modules).collect();
    files
        .into_iter()
        .filter(|file| !test_only.iter().any(|stem| is_module(&file.path, stem)))
        .map(Source::product)
        .collect()
}

fn is_module(path: &str, stem: &str) -> bool {
    path.strip_prefix(stem).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// Paths, without `.rs`, of the modules that a file declares for tests only.
fn test_modules(file: &File) -> Vec<String> {
    let folder = match file.path.rsplit_once('/') {
        Some((folder, "mod.rs" | "lib.rs" | "main.rs")) => folder.to_owned(),
        _ => file.path.trim_end_matches(".rs").to_owned(),
    };
    let source = Source { path: String::new(), words: words(&file.text) };
    (0..source.words.len())
        .filter(|at| source.matches(*at, CFG_TEST).is_some())
        .filter_map(|at| {
            let rest = &source.words[at + CFG_TEST.len()..];
            let name = rest.iter().position(|word| word.text == "mod")? + 1;
            let declares = rest.get(name + 1)?.text == ";" && name <= MOST_BEFORE_MOD;
            declares.then(|| format!("{folder}/{}", rest[name].text))
        })
        .collect()
}

const CFG_TEST: &[&str] = &["#", "[", "cfg", "(", "test", ")", "]"];

/// `pub ( in path ) mod` is the longest that stands before a module's name.
const MOST_BEFORE_MOD: usize = 8;

/// Tests stand last: the first `#[cfg(test)]` of a module with a body ends the product's part.
fn start_of_tests(words: &[Word]) -> usize {
    let source = Source { path: String::new(), words: words.to_vec() };
    (0..words.len())
        .find(|at| {
            source.matches(*at, CFG_TEST).is_some() && {
                let rest = &words[at + CFG_TEST.len()..];
                let module = rest.iter().take(MOST_BEFORE_MOD).position(|word| word.text == "mod");
                module.is_some_and(|at| rest.get(at + 2).is_some_and(|word| word.text == "{"))
            }
        })
        .unwrap_or(words.len())
}

/// Splits a source text into words.
pub(super) fn words(text: &str) -> Vec<Word> {
    let signs: Vec<char> = text.chars().collect();
    let mut words = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < signs.len() {
        let next = match signs[at] {
            '/' if signs.get(at + 1) == Some(&'/') => end_of_line(&signs, at),
            '/' if signs.get(at + 1) == Some(&'*') => end_of_block(&signs, at),
            '"' => end_of_text(&signs, at + 1),
            '\'' => end_of_quote(&signs, at),
            c if c.is_alphabetic() || c == '_' => {
                let end = end_of_word(&signs, at);
                if let Some(end) = end_of_prefixed_text(&signs, at, end) {
                    end
                } else {
                    words.push(Word { text: signs[at..end].iter().collect(), line });
                    end
                }
            }
            ':' if signs.get(at + 1) == Some(&':') => {
                words.push(Word { text: "::".to_owned(), line });
                at + 2
            }
            c => {
                if !c.is_whitespace() {
                    words.push(Word { text: c.to_string(), line });
                }
                at + 1
            }
        };
        line += signs[at..next].iter().filter(|c| **c == '\n').count();
        at = next;
    }
    words
}

fn end_of_word(signs: &[char], from: usize) -> usize {
    let rest = &signs[from..];
    from + rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').count()
}

fn end_of_line(signs: &[char], from: usize) -> usize {
    signs[from..].iter().position(|c| *c == '\n').map_or(signs.len(), |length| from + length)
}

fn end_of_block(signs: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while at < signs.len() {
        match (signs[at], signs.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) if depth == 1 => return at + 2,
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    signs.len()
}

/// Behind the closing quote of a text whose opening one stands before `from`.
fn end_of_text(signs: &[char], from: usize) -> usize {
    let mut at = from;
    while at < signs.len() {
        match signs[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    signs.len()
}

/// Behind a character, or behind the quote alone where it begins a lifetime.
fn end_of_quote(signs: &[char], from: usize) -> usize {
    match (signs.get(from + 1), signs.get(from + 2)) {
        (Some('\\'), _) => {
            let rest = signs.get(from + 3..).unwrap_or_default();
            rest.iter().position(|c| *c == '\'').map_or(signs.len(), |length| from + 4 + length)
        }
        (Some(_), Some('\'')) => from + 3,
        _ => from + 1,
    }
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `c"…"`: behind the text, if the word at `from` begins one.
fn end_of_prefixed_text(signs: &[char], from: usize, end: usize) -> Option<usize> {
    let prefix: String = signs[from..end].iter().collect();
    match prefix.as_str() {
        "b" | "c" if signs.get(end) == Some(&'"') => Some(end_of_text(signs, end + 1)),
        "r" | "br" | "cr" => {
            let fence = signs[end..].iter().take_while(|c| **c == '#').count();
            if signs.get(end + fence) != Some(&'"') {
                return None;
            }
            let body = end + fence + 1;
            let closing: Vec<char> =
                std::iter::once('"').chain(std::iter::repeat_n('#', fence)).collect();
            let length = signs[body..].windows(closing.len()).position(|here| here == closing);
            Some(length.map_or(signs.len(), |length| body + length + closing.len()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.text).collect()
    }

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn comments_and_texts_are_no_words() {
        let text = r##"
            //! about crate::gate
            /* crate::api /* nested */ still */ a("crate::x \" y", r#"b "c" d"#, b"e", 'f', '\'', '\u{2F}')
        "##;
        assert_eq!(texts(text).concat(), "a(,,,,,)");
    }

    #[test]
    fn lifetimes_do_not_swallow_what_follows() {
        assert_eq!(texts("fn a<'b>(c: &'b str) {}").concat(), "fna<b>(c:&bstr){}");
    }

    #[test]
    fn words_know_their_line() {
        let found = words("a\n/* b\n */ c\n\"d\n\" e");
        let lines: Vec<_> = found.iter().map(|word| (word.text.as_str(), word.line)).collect();
        assert_eq!(lines, [("a", 1), ("c", 3), ("e", 5)]);
    }

    #[test]
    fn tests_at_the_end_are_left_out_and_a_single_test_helper_is_not() {
        let text = "use a; #[cfg(test)] fn b() {} #[cfg(test)] mod tests { use c; }";
        let source = Source::product(file("src/gate/mod.rs", text));
        let left: String = source.words().iter().map(|word| word.text.as_str()).collect();
        assert_eq!(left, "usea;#[cfg(test)]fnb(){}");
    }

    #[test]
    fn files_that_only_tests_see_are_left_out() {
        let files = vec![
            file("src/store/mod.rs", "#[cfg(test)] pub(crate) mod contract; mod users;"),
            file("src/store/users.rs", "#[cfg(test)]\nmod samples;"),
            file("src/store/contract.rs", "use crate::gateway;"),
            file("src/store/contract/logins.rs", "use crate::gateway;"),
            file("src/store/users/samples.rs", "use crate::gateway;"),
        ];
        let left: Vec<_> = product(files).into_iter().map(|source| source.path).collect();
        assert_eq!(left, ["src/store/mod.rs", "src/store/users.rs"]);
    }

    #[test]
    fn files_know_their_module_and_their_depth() {
        let of = |path| {
            let source = Source::product(file(path, ""));
            (source.module().to_owned(), source.depth())
        };
        assert_eq!(of("src/main.rs"), ("main".to_owned(), 1));
        assert_eq!(of("src/clock.rs"), ("clock".to_owned(), 1));
        assert_eq!(of("src/gate/mod.rs"), ("gate".to_owned(), 1));
        assert_eq!(of("src/gate/path.rs"), ("gate".to_owned(), 2));
        assert_eq!(of("src/gate/path/dots.rs"), ("gate".to_owned(), 3));
    }
}
