//! The configuration as a whole: what an operator writes, and what comes of it.
//!
//! Each test writes its files into a folder of its own; a fault's place is told without it.

use std::path::PathBuf;

use super::*;

mod faults;
mod layers;
mod settings;

const LONG: &str = "0123456789abcdef0123456789abcdef";

/// Files in a folder, and variables.
struct Written {
    folder: tempfile::TempDir,
    files: Vec<PathBuf>,
    variables: Vec<(String, String)>,
}

impl Written {
    fn nothing() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), files: Vec::new(), variables: Vec::new() }
    }

    fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push(self.folder.path().join(name));
        self.extra(name, text)
    }

    /// A file that is not one of the configuration.
    fn extra(self, name: &str, text: &str) -> Self {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn variable(mut self, name: &str, text: &str) -> Self {
        self.variables.push((name.to_owned(), text.to_owned()));
        self
    }

    fn load(&self) -> Result<Loaded, Faults> {
        load(&self.files, self.variables.clone())
    }

    #[track_caller]
    fn settings(&self) -> Settings {
        self.load().unwrap_or_else(|faults| panic!("{faults}")).settings
    }

    /// `place: key: text` of each fault.
    #[track_caller]
    fn faults(&self) -> Vec<String> {
        let faults = self.load().expect_err("there should be faults");
        let folder = format!("{}/", self.folder.path().display());
        let first = |fault: &Fault| fault.to_string().lines().next().unwrap().replace(&folder, "");
        faults.0.iter().map(first).collect()
    }
}

fn toml(text: &str) -> Written {
    Written::nothing().file("p.toml", text)
}
