//! Arguments in, exit code out.
//!
//! Installs what is one for a process (allocator, TLS provider), reads arguments and
//! environment once, and hands them on. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Before anything builds a TLS configuration; an error means that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = portcullis::cli::Arguments::parse();
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    portcullis::cli::run(arguments, environment)
}
