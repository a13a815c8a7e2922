//! `portcullis serve`: the gateway until a signal ends it.
//!
//! Reads the configuration, starts the application, waits. It must not know what the
//! application is made of.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::EXIT_FAILURE;
use super::check::{FAULTY, checked};
use crate::app::{self, Options, Source};
use crate::config::Loaded;
use crate::telemetry::logs;

/// Runs the gateway. Exit 64: the configuration has faults; 1: it could not start.
pub(super) fn run(files: &[PathBuf], environment: Vec<(String, String)>) -> ExitCode {
    let mut errors = std::io::stderr();
    let (again, unchanged) = (files.to_vec(), environment.clone());
    let source = Source::new(files, move || checked(&again, unchanged.clone()));
    let loaded = match checked(files, environment) {
        Ok(loaded) => loaded,
        Err(faults) => {
            let _ = writeln!(errors, "{faults}");
            return ExitCode::from(FAULTY);
        }
    };
    match start(loaded, source) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(errors, "portcullis: {error:#}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

fn start(loaded: Loaded, source: Source) -> anyhow::Result<()> {
    let Loaded { settings, warnings } = loaded;
    logs::init(logs::DEFAULT_FILTER)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    app::runtime(1)?
        .block_on(app::serve(settings, Options { source: Some(source), ..Options::default() }))
}
