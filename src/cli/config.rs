//! `portcullis config example|schema`: what can be configured.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::config;

/// Prints the commented example.
#[must_use]
pub fn example() -> ExitCode {
    print(config::example())
}

/// Prints the JSON Schema, for editors.
#[must_use]
pub fn schema() -> ExitCode {
    print(&config::schema())
}

/// A reader that went away (`| head`) is no failure.
fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
