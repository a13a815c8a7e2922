//! `portcullis demo`: everything embedded, shown by a conversation over real HTTP.
//!
//! Starts the same application that `serve` starts, with SQLite in a folder of its own and
//! an echo app behind it. It must not take short cuts: what it shows is the product.

mod client;
mod conversation;
mod echo;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use self::conversation::{Acquaintance, Conversation};
use super::{DemoArguments, EXIT_FAILURE};
use crate::app::{self, Options, Running};
use crate::config::{Access, Route, SecretText, Settings, Upstream};
use crate::mail::Transport;
use crate::telemetry::{RequestLog, logs};

const USUAL_PORT: u16 = 8000;

/// Runs the demo; exit 0 if every answer was as it should be.
pub(super) fn run(arguments: &DemoArguments) -> ExitCode {
    let result = app::runtime(0)
        .and_then(|runtime| runtime.block_on(show(arguments, &mut std::io::stdout())));
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(EXIT_FAILURE),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "portcullis demo: {error:#}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

async fn show(arguments: &DemoArguments, out: &mut impl Write) -> anyhow::Result<usize> {
    logs::init("warn")?;
    let folder = Folder::open(arguments.keep.as_deref())?;
    let acquaintance = match folder {
        Folder::Kept(_) => Acquaintance::Renewed,
        Folder::Temporary(_) => Acquaintance::First,
    };
    let upstream = echo::start().await.context("the demo's back end could not start")?;
    let listen = listen_address(arguments);
    let (transport, mailbox) = Transport::capture();
    let settings = settings(listen, folder.path(), upstream);
    // The conversation is what there is to read; a line for each request would bury it.
    let log = RequestLog::to(std::io::sink(), 1);
    let options = Options { transport: Some(transport), log, ..Options::default() };
    let running = app::start_with(settings, options).await?;
    let gateway = running.address;

    writeln!(out, "Portcullis listens on http://{gateway}; an echo app stands behind it.")?;
    let mut conversation = Conversation { gateway, out, faults: 0 };
    conversation.hold(acquaintance).await?;
    let faults = conversation.faults;
    let mail = tokio::time::timeout(Duration::from_secs(5), mailbox.next())
        .await
        .context("the mail did not arrive within five seconds")?;
    writeln!(out, "\n# The mail that she gets\nTo: {}\nSubject: {}\n", mail.to, mail.subject)?;
    writeln!(out, "{}", mail.text.trim())?;
    if faults > 0 {
        writeln!(out, "\n{faults} answers were not what they should be.")?;
    }
    if arguments.check {
        running.stop().await?;
        return Ok(faults);
    }
    keep_serving(&running, &folder, out).await?;
    running.stop().await?;
    Ok(faults)
}

async fn keep_serving(
    running: &Running,
    folder: &Folder,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let gateway = running.address;
    writeln!(out, "\nStill serving. Try it yourself; Ctrl-C ends it.")?;
    writeln!(out, "  the API          http://{gateway}/auth/")?;
    writeln!(out, "  the app behind   http://{gateway}/  (public: http://{gateway}/public/)")?;
    writeln!(out, "  the public keys  http://{gateway}/.well-known/jwks.json")?;
    if let Some(telemetry) = running.telemetry {
        writeln!(out, "  metrics, probes  http://{telemetry}/metrics  http://{telemetry}/readyz")?;
    }
    match folder {
        Folder::Kept(path) => writeln!(out, "  the database     {}", path.display())?,
        Folder::Temporary(_) => {
            writeln!(out, "  the database     is temporary (--keep DIR keeps it)")?;
        }
    }
    out.flush()?;
    app::stop_signal().await?;
    Ok(())
}

/// The usual port, or any free one if somebody else has it.
fn listen_address(arguments: &DemoArguments) -> SocketAddr {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, USUAL_PORT));
    match arguments.listen {
        Some(address) => address,
        None if arguments.check => any,
        None if std::net::TcpListener::bind(usual).is_ok() => usual,
        None => any,
    }
}

fn settings(listen: SocketAddr, folder: &Path, upstream: SocketAddr) -> Settings {
    let mut settings = Settings::default();
    settings.server.listen = vec![listen];
    settings.server.telemetry_listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let file = folder.join("portcullis.db");
    settings.database.url = SecretText::from(&*format!("sqlite://{}", file.display()));
    settings.upstreams = vec![Upstream {
        name: "app".into(),
        servers: vec![upstream.to_string()],
        ..Upstream::default()
    }];
    settings.routes = [("/public/", Access::Anonymous), ("/", Access::Authenticated)]
        .map(|(path, access)| Route {
            path: path.into(),
            access,
            upstream: Some("app".into()),
            ..Route::default()
        })
        .into();
    settings
}

/// Where the demo's database lies.
enum Folder {
    Kept(PathBuf),
    /// Removed when the demo ends.
    Temporary(PathBuf),
}

impl Folder {
    fn open(keep: Option<&Path>) -> anyhow::Result<Self> {
        let path = if let Some(path) = keep {
            path.to_owned()
        } else {
            let mut random = [0; 8];
            aws_lc_rs::rand::fill(&mut random).context("no random numbers")?;
            std::env::temp_dir().join(format!("portcullis-demo-{}", hex::encode(random)))
        };
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(if keep.is_some() { Self::Kept(path) } else { Self::Temporary(path) })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) | Self::Temporary(path) => path,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Self::Temporary(path) = self {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}
