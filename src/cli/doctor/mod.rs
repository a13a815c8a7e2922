//! `portcullis doctor`: is this installation well, as it runs, and what is to be done?
//!
//! Runs one check after the other and tells of all of them. What is looked at stands in the
//! files beside this one, by subject. It must change nothing that lasts, and show no secret.

mod certificates;
mod clock;
mod database;
mod exposure;
mod finding;
mod forgery;
mod gateway;
mod machine;
mod probe;
mod secrets;
mod services;
mod sockets;
mod upstreams;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{ConfigArguments, EXIT_FAILURE, check};
use crate::app;
use crate::clock::Clock;
use crate::config::{Loaded, Settings};
use clock::Reading;
use finding::Findings;
use forgery::Echo;
use gateway::Known;
use probe::Place;
use secrets::Sources;
use upstreams::Standpoint;

/// What `doctor` takes.
#[derive(Debug, Args)]
pub(super) struct DoctorArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Where clients reach the gateway, as `https://gateway.example.com`; without it the
    /// listeners of the configuration are asked
    #[arg(long, value_name = "URL", value_parser = Place::of_url)]
    url: Option<Place>,
    /// A path whose application answers with the headers that it got: forged identity headers
    /// are sent there
    #[arg(long, value_name = "PATH", value_parser = path)]
    echo_path: Option<String>,
    /// A file with a token for that path, if it needs one
    #[arg(long, value_name = "FILE", requires = "echo_path")]
    token_file: Option<PathBuf>,
    /// Only try whether back ends can be reached from here, where nobody should: for a machine
    /// that is not the gateway's
    #[arg(long, conflicts_with_all = ["url", "echo_path"])]
    from_outside: bool,
    /// Exit 1 for warnings, too
    #[arg(long)]
    strict: bool,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

fn path(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/') && text.parse::<http::Uri>().is_ok();
    is_path.then(|| text.to_owned()).ok_or_else(|| "a path begins with `/`".to_owned())
}

/// Exit 0: all is well, but for warnings; 1: there are problems; with `strict` warnings, too.
pub(super) fn run(arguments: &DoctorArguments, environment: Vec<(String, String)>) -> ExitCode {
    let findings = match app::runtime(1) {
        Ok(runtime) => runtime.block_on(look(arguments, environment)),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "portcullis doctor: {error:#}");
            return ExitCode::from(EXIT_FAILURE);
        }
    };
    let mut out = std::io::stdout().lock();
    // A reader that went away (`| head`) changes nothing about the outcome.
    let _ = if arguments.json { findings.write_json(&mut out) } else { findings.write(&mut out) };
    let counts = findings.counts();
    if counts.problems > 0 || arguments.strict && counts.warnings > 0 {
        return ExitCode::from(EXIT_FAILURE);
    }
    ExitCode::SUCCESS
}

async fn look(arguments: &DoctorArguments, environment: Vec<(String, String)>) -> Findings {
    let mut findings = Findings::default();
    let files = &arguments.config.files;
    let Loaded { settings, warnings } = match check::checked(files, environment.clone()) {
        Ok(loaded) => loaded,
        Err(faults) => {
            for fault in faults.0 {
                let place = [fault.place, fault.key, fault.text];
                let place = place.into_iter().filter(|part| !part.is_empty());
                let text = place.collect::<Vec<_>>().join(": ");
                findings.problem("configuration", text, fault.remedy);
            }
            let text = "nothing else can be looked at without a configuration";
            findings.not_checked("installation", text, "mend it first");
            return findings;
        }
    };
    if arguments.from_outside {
        upstreams::check(&settings, Standpoint::Outside, &mut findings).await;
        return findings;
    }
    exposure::configuration(&warnings, &mut findings);
    exposure::settings(&settings, &mut findings);
    secrets::check(&settings, &Sources { files, environment: &environment }, &mut findings);
    running(arguments, &settings, &mut findings).await;
    machine::check(&settings, &mut findings).await;
    findings
}

/// What can only be seen while it runs.
async fn running(arguments: &DoctorArguments, settings: &Settings, findings: &mut Findings) {
    let clock = Clock::system();
    let mut readings = Vec::new();
    let own = certificates::check(settings, clock.now(), findings);
    let told = database::check(settings, &clock, findings).await;
    readings.extend(told.now.map(|(theirs, ours)| Reading { whose: "the database", theirs, ours }));
    let at_redis = services::redis(settings, &clock, findings).await;
    readings.extend(at_redis.map(|(theirs, ours)| Reading { whose: "Redis", theirs, ours }));
    services::mail(settings, findings).await;

    let known = Known { kids: &told.kids, certificates: &own };
    let url = arguments.url.as_ref();
    let (place, reading) = gateway::check(settings, url, &known, &clock, findings).await;
    readings.extend(reading);
    if let Some(place) = place {
        gateway::protected(&place, settings, findings).await;
        match &arguments.echo_path {
            Some(path) => {
                let echo = Echo { path, token_file: arguments.token_file.as_deref() };
                forgery::check(&place.showing(&own), settings, &echo, findings).await;
            }
            None => forgery::without_path(findings),
        }
    }
    upstreams::check(settings, Standpoint::Gateway, findings).await;
    clock::check(&readings, findings);
}
