//! The commands: what an operator types, and where it leads.
//!
//! Parses arguments (clap) and turns results into exit codes. It must not know how a
//! command does its work.

pub mod audit;
pub mod check;
pub mod config;
mod connect;
mod deeds;
mod demo;
mod doctor;
pub mod explain;
pub mod import;
pub mod keys;
mod serve;
pub mod user;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::store::Store;

/// What went wrong, but for the configuration ([`check::FAULTY`]).
pub const EXIT_FAILURE: u8 = 1;

/// An authentication gateway: serves djoser's API under /auth/*, checks the credentials of
/// every other request, and forwards what may pass.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what it does: everything embedded, a conversation with curl lines, then it keeps serving
    Demo(DemoArguments),
    /// Run the gateway
    Serve(ConfigArguments),
    /// Validate the configuration and say everything that is wrong with it
    Check {
        #[command(flatten)]
        config: ConfigArguments,
        /// Also try to reach the database, the mail server and the upstreams
        #[arg(long)]
        connect: bool,
    },
    /// Look at a running installation, and say what to do about what is not well
    Doctor(doctor::DoctorArguments),
    /// Tell what becomes of a request and why: route, credential, rule, headers. Changes nothing
    Explain {
        #[command(flatten)]
        config: ConfigArguments,
        #[command(flatten)]
        arguments: explain::ExplainArguments,
    },
    /// Apply the database's migrations
    Migrate(ConfigArguments),
    /// Administer users
    User {
        #[command(flatten)]
        config: ConfigArguments,
        #[command(subcommand)]
        command: user::UserCommand,
    },
    /// Administer the keys that sign JWTs
    Keys {
        #[command(flatten)]
        config: ConfigArguments,
        #[command(subcommand)]
        command: keys::KeysCommand,
    },
    /// Show who did what to whom, as the database keeps it (`server.audit_table`)
    Audit {
        #[command(flatten)]
        config: ConfigArguments,
        #[command(flatten)]
        wanted: audit::AuditArguments,
    },
    /// Take users and tokens over from another system's database
    Import {
        #[command(flatten)]
        config: ConfigArguments,
        #[command(subcommand)]
        from: import::ImportCommand,
    },
    /// Print a commented example of the configuration, or its JSON Schema
    Config {
        #[command(subcommand)]
        what: ConfigText,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Args)]
pub struct ConfigArguments {
    /// A configuration file (TOML or YAML); may repeat, later ones win. The environment
    /// (`PORTCULLIS__SECTION__KEY`) wins over files
    #[arg(long = "config", value_name = "FILE", global = true)]
    files: Vec<PathBuf>,
}

/// What `demo` takes.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Where to listen [default: 127.0.0.1:8000, or a free port if that is taken]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Keep the database in this folder instead of a temporary one
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Hold the conversation only; exit 0 if every answer was right, else 1
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Subcommand)]
enum ConfigText {
    /// Every key with its default and a sentence of explanation
    Example,
    /// JSON Schema (draft 2020-12)
    Schema,
}

/// Runs the command that the arguments name. `environment` is handed in by `main`.
#[must_use]
pub fn run(arguments: Arguments, environment: Vec<(String, String)>) -> ExitCode {
    match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Serve(config) => serve::run(&config.files, environment),
        Command::Check { config, connect: false } => check::run(&config.files, environment),
        Command::Check { config, connect: true } => {
            with_settings("check", &config, environment, 1, async |settings| {
                connect::try_all(&settings, &mut std::io::stdout()).await
            })
        }
        Command::Doctor(arguments) => doctor::run(&arguments, environment),
        Command::Explain { config, arguments } => explain::run(&arguments, &config, environment),
        Command::Migrate(config) => {
            with_settings("migrate", &config, environment, 1, async |settings| {
                app::migrate(&settings).await?;
                writeln!(std::io::stdout(), "the database is up to date").map_err(Into::into)
            })
        }
        Command::User { config, command } => {
            with_settings("user", &config, environment, 1, async |settings| {
                let clock = Clock::system();
                let opened = ready_store(&settings).await;
                let store = or_told(opened, &settings, &clock, user::action(&command))?;
                let done =
                    user::run(command, &settings, &store, &clock, &mut std::io::stdout()).await;
                store.close().await;
                done.map_err(Into::into)
            })
        }
        Command::Keys { config, command } => {
            with_settings("keys", &config, environment, 1, async |settings| {
                let root = app::root_key(&settings)?;
                let (clock, out) = (Clock::system(), &mut std::io::stdout());
                let opened = ready_store(&settings).await;
                let store = or_told(opened, &settings, &clock, keys::action(&command))?;
                let done = keys::run(command, &settings, &store, &root, &clock, out).await;
                store.close().await;
                done.map_err(Into::into)
            })
        }
        Command::Audit { config, wanted } => {
            with_settings("audit", &config, environment, 1, async |settings| {
                let store = ready_store(&settings).await?;
                let now = Clock::system().now();
                let done = audit::run(&wanted, &store, now, &mut std::io::stdout()).await;
                if !settings.server.audit_table {
                    let off = "server.audit_table is off: nothing is added to what is shown";
                    let _ = writeln!(std::io::stderr(), "{off}");
                }
                store.close().await;
                done.map_err(Into::into)
            })
        }
        Command::Import { config, from } => {
            with_settings("import", &config, environment, 1, async |settings| {
                import::run(from, &settings).await
            })
        }
        Command::Config { what: ConfigText::Example } => config::example(),
        Command::Config { what: ConfigText::Schema } => config::schema(),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "portcullis", &mut text);
            print(&String::from_utf8_lossy(&text))
        }
        Command::Man => {
            let mut text = Vec::new();
            match clap_mangen::Man::new(Arguments::command()).render(&mut text) {
                Ok(()) => print(&String::from_utf8_lossy(&text)),
                Err(_) => ExitCode::from(EXIT_FAILURE),
            }
        }
    }
}

/// Runs a command that needs the settings, on a runtime of its own. Exit code 64 if the settings
/// have faults, 1 if the command fails.
fn with_settings(
    name: &str,
    config: &ConfigArguments,
    environment: Vec<(String, String)>,
    threads: usize,
    command: impl AsyncFnOnce(Settings) -> anyhow::Result<()>,
) -> ExitCode {
    let mut errors = std::io::stderr();
    let settings = match check::load(&config.files, environment, &mut errors) {
        Ok(settings) => settings,
        Err(code) => return ExitCode::from(code),
    };
    let done = app::runtime(threads).and_then(|runtime| runtime.block_on(command(settings)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(errors, "portcullis {name}: {error:#}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

/// The database for a command.
async fn ready_store(settings: &Settings) -> anyhow::Result<Store> {
    let store = app::open_store(settings).await?;
    if settings.database.migrate {
        store.migrate().await?;
    }
    Ok(store)
}

/// Hands on the database for a command that does this. That there is none is a failure of what
/// was to be done, and told.
fn or_told(
    opened: anyhow::Result<Store>,
    settings: &Settings,
    clock: &Clock,
    action: Option<&'static str>,
) -> anyhow::Result<Store> {
    if let (Err(_), Some(action)) = (&opened, action) {
        deeds::tell_undone(settings, clock, action)
            .context("the audit log cannot be written (server.audit_log)")?;
    }
    opened
}

/// Writes to standard output; a reader that went away (`| head`) is no fault of ours.
fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    ExitCode::SUCCESS
}
