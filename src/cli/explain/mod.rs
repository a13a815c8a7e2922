//! `portcullis explain`: what the gateway would do with a request and why, or what it did.
//!
//! The request is judged by the parts that `serve` is made of, beside a gateway that runs and
//! without leaving a trace. In reading order: `imagine` makes a request of the arguments,
//! `account` has it judged and notes what there is to tell, `words` has the sentences, `text`
//! writes them; `logged` tells of a request that was made. It must not decide anything.

mod account;
mod imagine;
mod logged;
mod text;
mod words;

use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Read, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use secrecy::SecretString;

use super::{ConfigArguments, check};
use crate::app::{self, Onlooker};
use crate::clock::Clock;
use crate::config::Settings;

/// The exit code where it cannot be told; clap's for arguments that make no sense, too.
const EXIT_UNTOLD: u8 = 2;

/// The longest credential that is read: more than any head has room for.
const LONGEST: u64 = 64 * 1024;

/// What `explain` takes.
#[derive(Debug, Args)]
#[command(after_help = "Exit code: 0 if the request passes, 1 if it is refused, 2 if that cannot \
                        be told, 64 if the configuration has faults.")]
pub struct ExplainArguments {
    /// What is asked for: a URL, or a path on the host `localhost`
    #[arg(required_unless_present = "request", conflicts_with = "request")]
    url: Option<String>,
    /// The method
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// Who is connected: the client, or the proxy before the gateway
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    peer: IpAddr,
    /// A header of the request; may repeat
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Read the credential from standard input (it has no place among arguments, which others see)
    #[arg(long)]
    token_stdin: bool,
    /// The word before the credential. After `Basic`, standard input has `name:password`
    #[arg(long, value_name = "WORD", default_value = "Bearer", requires = "token_stdin")]
    scheme: String,
    /// Judge it as a request that another proxy has and asks about
    #[arg(long)]
    forward_auth: bool,
    /// Tell of a request that was made, by its id (`X-Request-Id`)
    #[arg(long, value_name = "ID", requires = "log")]
    request: Option<String>,
    /// The request log to find it in; `-`: standard input
    #[arg(long, value_name = "FILE", requires = "request")]
    log: Option<PathBuf>,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Whether the request passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It does, or the gateway answers it itself.
    Passes,
    /// It does not.
    Refused,
}

/// Runs the command.
pub(super) fn run(
    arguments: &ExplainArguments,
    config: &ConfigArguments,
    environment: Vec<(String, String)>,
) -> ExitCode {
    let mut errors = io::stderr();
    // Faults are told; warnings would only stand between the question and the answer.
    let mut faults = Vec::new();
    let settings = match check::load(&config.files, environment, &mut faults) {
        Ok(settings) => settings,
        Err(code) => {
            let _ = errors.write_all(&faults);
            return ExitCode::from(code);
        }
    };
    let mut text = Vec::new();
    let told = app::runtime(1).and_then(|runtime| {
        runtime.block_on(explain(arguments, settings, &Clock::system(), &mut text))
    });
    // A reader that went away (`| head`) is no fault of ours.
    let mut out = io::stdout().lock();
    let _ = out.write_all(&text).and_then(|()| out.flush());
    match told {
        Ok(Outcome::Passes) => ExitCode::SUCCESS,
        Ok(Outcome::Refused) => ExitCode::from(super::EXIT_FAILURE),
        Err(error) => {
            let _ = writeln!(errors, "portcullis explain: {error:#}");
            ExitCode::from(EXIT_UNTOLD)
        }
    }
}

/// Tells what the arguments ask for.
///
/// # Errors
/// It cannot be told: the arguments, the log or the database.
async fn explain(
    arguments: &ExplainArguments,
    settings: Settings,
    clock: &Clock,
    out: &mut Vec<u8>,
) -> anyhow::Result<Outcome> {
    if let (Some(id), Some(log)) = (&arguments.request, &arguments.log) {
        let found = if log.as_os_str() == "-" {
            logged::find(id, io::stdin().lock())
        } else {
            let file = File::open(log).with_context(|| format!("{}", log.display()))?;
            logged::find(id, BufReader::new(file))
        }?;
        let told = logged::told(&found, &settings);
        write(out, arguments.json, &told, |out| text::logged(&told, out))?;
        return Ok(if told.passed { Outcome::Passes } else { Outcome::Refused });
    }
    let credential = if arguments.token_stdin { Some(credential()?) } else { None };
    let request = imagine::request(arguments, credential.as_ref())?;
    let onlooker = Onlooker::open(settings, clock.clone()).await?;
    let told = account::of(onlooker, &request, clock).await;
    write(out, arguments.json, &told, |out| text::account(&told, out))?;
    Ok(if told.passes { Outcome::Passes } else { Outcome::Refused })
}

fn write(
    out: &mut Vec<u8>,
    json: bool,
    told: &impl serde::Serialize,
    in_words: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
) -> anyhow::Result<()> {
    if json {
        serde_json::to_writer_pretty(&mut *out, told)?;
        return Ok(writeln!(out)?);
    }
    Ok(in_words(out)?)
}

/// What stands on standard input, without the end of its line.
fn credential() -> anyhow::Result<SecretString> {
    if io::stdin().is_terminal() {
        return Ok(rpassword::prompt_password("Credential: ")?.into());
    }
    let mut text = String::new();
    let read = io::stdin().lock().take(LONGEST + 1).read_to_string(&mut text);
    let read = read.context("the credential on standard input is no text")?;
    anyhow::ensure!(read as u64 <= LONGEST, "the credential on standard input is too long");
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    anyhow::ensure!(!text.is_empty(), "there is no credential on standard input");
    Ok(text.into())
}
