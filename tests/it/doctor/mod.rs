//! `portcullis doctor` beside the real program: each check on an installation that is well, and
//! on one that is not.
//!
//! What a check makes of numbers stands with the checks; here is what has to be provoked.

mod gateway;
mod services;
mod surroundings;

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::faults::process::{Process, program};

/// As `openssl rand -hex 32` prints it.
const SECRET: &str = "9c5d2f0a7e41b863c90d5ae2174f6b88e3a1d7049b2c6f5e80a93d1b47c2e65f";

/// One look of the doctor.
struct Visit {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// What it told.
struct Told {
    code: i32,
    findings: Vec<Value>,
    whole: String,
}

impl Visit {
    fn to(config: &Path) -> Self {
        let arguments = ["doctor", "--json", "--config", &config.display().to_string()];
        let arguments = arguments.map(str::to_owned).to_vec();
        let visit = Self { arguments, environment: Vec::new() };
        // The tests' own secret is one from an example.
        visit.with("SECRET_KEY", SECRET)
    }

    /// A setting in its environment.
    fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((format!("PORTCULLIS__{name}"), value.to_owned()));
        self
    }

    fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Where a process with ports of the system's choice is reached.
    fn of(self, process: &Process) -> Self {
        let url = format!("http://{}", process.address());
        let telemetry = process.telemetry.to_string();
        self.arguments(&["--url", &url]).with("SERVER__TELEMETRY_LISTEN", &telemetry)
    }

    async fn run(self) -> Told {
        let output = self.output().await;
        let whole = String::from_utf8(output.stdout).unwrap();
        let report: Value = serde_json::from_str(&whole).unwrap_or_else(|error| {
            panic!("{error}: {whole} {}", String::from_utf8_lossy(&output.stderr))
        });
        let findings = report["findings"].as_array().unwrap().clone();
        Told { code: output.status.code().unwrap(), findings, whole }
    }

    async fn output(self) -> Output {
        let mut command = program();
        command.args(self.arguments).envs(self.environment).stdout(Stdio::piped());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

impl Told {
    /// The results of a check, in their order.
    fn results(&self, check: &str) -> Vec<&str> {
        let of = self.findings.iter().filter(|finding| finding["check"] == check);
        of.map(|finding| finding["result"].as_str().unwrap()).collect()
    }

    /// The only finding of a check with this result, and what to do about it.
    fn only(&self, check: &str, result: &str) -> (&str, &str) {
        let mut found = self
            .findings
            .iter()
            .filter(|finding| finding["check"] == check && finding["result"] == result);
        let one = found.next().unwrap_or_else(|| panic!("no {result} of {check}: {}", self.whole));
        assert!(found.next().is_none(), "more than one {result} of {check}: {}", self.whole);
        (one["text"].as_str().unwrap(), one["remedy"].as_str().unwrap_or_default())
    }

    /// Asserts that this check found so, with this in its text, and says what to do.
    fn assert(&self, check: &str, result: &str, part: &str) {
        let (text, remedy) = self.only(check, result);
        assert!(text.contains(part), "{check}: {text}");
        assert_eq!(remedy.is_empty(), result == "ok", "{check}: {remedy}");
    }
}
