//! What the checks found, and how it is told: to people line by line, to programs as JSON.
//!
//! It must not know how anything is checked. No text here holds a secret: checks name settings
//! by their keys, and servers by what is in no password.

use std::io::{self, Write};

use serde::Serialize;

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// As it should be.
    Ok,
    /// It works, and is worth a look.
    Warning,
    /// It does not work, or lets somebody in.
    Problem,
    /// Nobody knows.
    NotChecked,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
            Self::NotChecked => "not checked",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    result: Outcome,
    text: String,
    /// What to do; nothing where all is well.
    #[serde(skip_serializing_if = "String::is_empty")]
    remedy: String,
}

/// Everything that was found, in the order of the checks.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

/// How many there are of each outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    ok: usize,
    pub(super) warnings: usize,
    pub(super) problems: usize,
    not_checked: usize,
}

#[derive(Serialize)]
struct Report<'a> {
    counts: Counts,
    findings: &'a [Finding],
}

impl Findings {
    pub(super) fn ok(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(check, Outcome::Ok, text.into(), String::new());
    }

    pub(super) fn warning(
        &mut self,
        check: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, Outcome::Warning, text.into(), remedy.into());
    }

    pub(super) fn problem(
        &mut self,
        check: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, Outcome::Problem, text.into(), remedy.into());
    }

    /// `remedy`: how it can be checked, if it can.
    pub(super) fn not_checked(
        &mut self,
        check: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, Outcome::NotChecked, text.into(), remedy.into());
    }

    fn add(&mut self, check: &'static str, result: Outcome, text: String, remedy: String) {
        self.0.push(Finding { check, result, text, remedy });
    }

    /// Whether this check has found nothing but good.
    pub(super) fn is_well(&self, check: &str) -> bool {
        self.0.iter().all(|finding| finding.check != check || finding.result == Outcome::Ok)
    }

    pub(super) fn counts(&self) -> Counts {
        let of = |outcome| self.0.iter().filter(|finding| finding.result == outcome).count();
        Counts {
            ok: of(Outcome::Ok),
            warnings: of(Outcome::Warning),
            problems: of(Outcome::Problem),
            not_checked: of(Outcome::NotChecked),
        }
    }

    /// For people: a line for each finding, with what to do below it.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for Finding { check, result, text, remedy } in &self.0 {
            writeln!(out, "{:<11}  {check:<16}  {}", result.word(), plain(text))?;
            if !remedy.is_empty() {
                writeln!(out, "{:<11}  {:<16}  > {}", "", "", plain(remedy))?;
            }
        }
        let Counts { ok, warnings, problems, not_checked } = self.counts();
        writeln!(
            out,
            "problems: {problems}, warnings: {warnings}, not checked: {not_checked}, ok: {ok}"
        )
    }

    /// For programs.
    pub(super) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let report = Report { counts: self.counts(), findings: &self.0 };
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)
    }
}

/// Servers' words may hold what drives terminals.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Findings {
        let mut findings = Findings::default();
        findings.ok("database", "answers");
        findings.warning("mail", "goes to the\u{1b} log", "set mail.url");
        findings.problem("redis", "does not answer", "start it");
        findings.not_checked("clock", "nobody to compare with", "");
        findings
    }

    #[test]
    fn people_get_a_line_for_each_finding_and_what_to_do() {
        let mut text = Vec::new();
        findings().write(&mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "ok           database          answers\n\
             warning      mail              goes to the  log\n\
             \x20                              > set mail.url\n\
             problem      redis             does not answer\n\
             \x20                              > start it\n\
             not checked  clock             nobody to compare with\n\
             problems: 1, warnings: 1, not checked: 1, ok: 1\n"
        );
    }

    #[test]
    fn programs_get_the_same_as_json() {
        let mut text = Vec::new();
        findings().write_json(&mut text).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let counts = serde_json::json!({"ok": 1, "warnings": 1, "problems": 1, "not_checked": 1});
        assert_eq!(json["counts"], counts);
        assert_eq!(
            json["findings"][2],
            serde_json::json!({"check": "redis", "result": "problem", "text": "does not answer",
                               "remedy": "start it"})
        );
        assert_eq!(json["findings"][3].get("remedy"), None);
    }

    #[test]
    fn a_check_is_well_as_long_as_it_found_nothing_bad() {
        assert!(findings().is_well("database") && findings().is_well("unheard of"));
        assert!(!findings().is_well("mail") && !findings().is_well("clock"));
    }
}
