//! What is wrong with a configuration, where, and what to do about it.
//!
//! A fault ends the start, a warning does not. No text here ever quotes a secret: whoever
//! reports about one names its key. It must not know rules, only how they are told.

use std::fmt;

use super::tree::Places;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `portcullis.toml:12:8`, `environment variable PORTCULLIS__…`, or nothing where the
    /// fault is that something is missing.
    pub place: String,
    /// The key, such as `routes[2].path`; empty for a file that cannot be read.
    pub key: String,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub remedy: String,
}

/// Everything that is wrong, in the order of the files and their lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

/// Something that is allowed, but worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// As in [`Fault`].
    pub place: String,
    /// As in [`Fault`].
    pub key: String,
    /// What is worth knowing.
    pub text: String,
}

/// Collects faults and warnings while settings are read and checked.
#[derive(Debug, Default)]
pub(super) struct Report {
    faults: Vec<Fault>,
    warnings: Vec<Warning>,
    /// Where the values that were read come from; known once all layers are merged.
    pub(super) places: Places,
    /// The names of files and so on, in the order in which they count.
    sources: Vec<String>,
}

impl Report {
    /// A source whose faults come after those of the sources before it.
    pub(super) fn begin(&mut self, source: &str) {
        self.sources.push(source.to_owned());
    }

    /// A fault at a place that is known.
    pub(super) fn fault_at(
        &mut self,
        place: &str,
        key: &str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (place, key) = (place.to_owned(), key.to_owned());
        self.faults.push(Fault { place, key, text: text.into(), remedy: remedy.into() });
    }

    /// A fault about the value of `key` after merging. Silent if the key has a fault already:
    /// its value is a stand-in then.
    pub(super) fn fault(&mut self, key: &str, text: impl Into<String>, remedy: impl Into<String>) {
        if !self.is_faulty(key) {
            let place = self.places.of(key).to_owned();
            self.fault_at(&place, key, text, remedy);
        }
    }

    /// The same, where the fault is due to another key. Its place is told if `key` has none.
    pub(super) fn fault_because(
        &mut self,
        key: &str,
        because: &str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        if !self.is_faulty(key) {
            let place = self.place_because(key, because);
            self.fault_at(&place, key, text, remedy);
        }
    }

    /// A fault about one element of a list. The place says which.
    pub(super) fn element_fault(
        &mut self,
        list: &str,
        index: usize,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let place = self.places.of(&format!("{list}.{index}")).to_owned();
        self.fault_at(&place, list, text, remedy);
    }

    /// A warning about the value of `key` after merging.
    pub(super) fn warn(&mut self, key: &str, text: impl Into<String>) {
        if !self.is_faulty(key) {
            let place = self.places.of(key).to_owned();
            self.warnings.push(Warning { place, key: key.to_owned(), text: text.into() });
        }
    }

    /// The same, about a place that is known.
    pub(super) fn warn_at(&mut self, place: &str, key: &str, text: impl Into<String>) {
        let (place, key) = (place.to_owned(), key.to_owned());
        self.warnings.push(Warning { place, key, text: text.into() });
    }

    /// The same, where it is worth knowing due to another key.
    pub(super) fn warn_because(&mut self, key: &str, because: &str, text: impl Into<String>) {
        if !self.is_faulty(key) {
            let place = self.place_because(key, because);
            self.warnings.push(Warning { place, key: key.to_owned(), text: text.into() });
        }
    }

    fn place_because(&self, key: &str, because: &str) -> String {
        let places = &self.places;
        places.written(key).unwrap_or_else(|| places.of(because)).to_owned()
    }

    /// Whether `key`, its twin in a file, or something around it has a fault.
    pub(super) fn is_faulty(&self, key: &str) -> bool {
        self.faults.iter().any(|fault| {
            let of = fault.key.strip_suffix("_file").unwrap_or(&fault.key);
            [of, fault.key.as_str()].into_iter().any(|of| {
                key.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        })
    }

    /// The warnings, or all faults in order.
    pub(super) fn finish(mut self) -> Result<Vec<Warning>, Faults> {
        for warning in &mut self.warnings {
            warning.key = readable(&warning.key);
        }
        if self.faults.is_empty() {
            return Ok(self.warnings);
        }
        let sources = std::mem::take(&mut self.sources);
        self.faults.sort_by_cached_key(|fault| {
            let (source, line, column) = position(&fault.place);
            let rank = sources.iter().position(|name| name == source).unwrap_or(usize::MAX);
            (rank, line, column, fault.key.clone(), fault.text.clone())
        });
        self.faults.dedup();
        for fault in &mut self.faults {
            fault.key = readable(&fault.key);
        }
        Err(Faults(self.faults))
    }
}

/// Splits `file:12:8`. Other places have neither line nor column.
fn position(place: &str) -> (&str, usize, usize) {
    let split = || {
        let (rest, column) = place.rsplit_once(':')?;
        let (source, line) = rest.rsplit_once(':')?;
        Some((source, line.parse().ok()?, column.parse().ok()?))
    };
    split().unwrap_or((place, 0, 0))
}

/// `routes.2.path` as `routes[2].path`, without anything that a terminal would obey.
fn readable(key: &str) -> String {
    let mut text = String::new();
    for step in key.split('.') {
        if !text.is_empty() && !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) {
            text.extend(["[", step, "]"]);
        } else {
            text.extend([if text.is_empty() { "" } else { "." }, step]);
        }
    }
    text.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\"")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.place, &self.key].into_iter().filter(|part| !part.is_empty()) {
            write!(f, "{part}: ")?;
        }
        write!(f, "{}\n      {}", self.text, self.remedy)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "the configuration has a fault:")?,
            count => write!(f, "the configuration has {count} faults:")?,
        }
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for Faults {}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.place, &self.key].into_iter().filter(|part| !part.is_empty()) {
            write!(f, "{part}: ")?;
        }
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_in_the_order_of_files_and_lines() {
        let mut report = Report::default();
        report.begin("b.toml");
        report.begin("a.toml");
        report.fault_at("environment variable X", "x", "wrong", "mend it");
        report.fault_at("a.toml:1:1", "routes.2.path", "wrong", "mend it");
        report.fault_at("b.toml:10:1", "k", "wrong", "mend it");
        report.fault_at("b.toml:9:30", "k", "wrong", "mend it");

        assert_eq!(
            report.finish().unwrap_err().to_string(),
            "the configuration has 4 faults:\n  \
             b.toml:9:30: k: wrong\n      mend it\n  \
             b.toml:10:1: k: wrong\n      mend it\n  \
             a.toml:1:1: routes[2].path: wrong\n      mend it\n  \
             environment variable X: x: wrong\n      mend it"
        );
    }

    #[test]
    fn a_key_that_has_a_fault_gets_no_second_one() {
        let mut report = Report::default();
        report.fault_at("f:1:1", "secret_key_file", "cannot be read", "mend it");
        report.fault_at("f:2:1", "server", "a table is expected", "mend it");
        report.fault("secret_key", "is missing", "set it");
        report.fault("server.listen", "is empty", "set it");
        assert_eq!(report.finish().unwrap_err().0.len(), 2);
    }

    #[test]
    fn a_key_cannot_write_to_the_terminal() {
        assert_eq!(readable("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(readable("tokens.jwt.trusted.0.secret"), "tokens.jwt.trusted[0].secret");
    }
}
