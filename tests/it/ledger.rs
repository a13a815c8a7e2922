//! What the tests use that is secret, and what gateways say meanwhile: kept for
//! `scripts/redaction.py`, which looks for the one in the other.
//!
//! Where `PORTCULLIS_LEDGER` names a folder, both are appended to files there; where it does not,
//! nothing is done. It must not know what a secret looks like: the script reads them out of what
//! was used.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{LazyLock, Mutex};

use tracing_subscriber::EnvFilter;

/// Holds the folder.
const LEDGER: &str = "PORTCULLIS_LEDGER";

/// What gateways tell by default, and of their own code all that it has to say.
const FILTER: &str = "info,pingora_core=warn,pingora_proxy=warn,portcullis=trace";

static FOLDER: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let folder = PathBuf::from(std::env::var_os(LEDGER)?);
    // Gateways in this process write their log as they do in one of their own.
    let log = tracing_subscriber::fmt().json().flatten_event(true);
    let log = log.with_env_filter(EnvFilter::new(FILTER)).with_writer(|| Voice("log"));
    log.try_init().expect("nobody else keeps the log");
    Some(folder)
});

/// Something with secrets in it: a request, an answer, a mail, settings.
pub(crate) fn used(text: impl AsRef<[u8]>) {
    append("used", "", text.as_ref());
}

/// Something that a gateway has said, and in which no secret may be.
pub(crate) fn said(voice: &str, text: impl AsRef<[u8]>) {
    append("said", voice, text.as_ref());
}

/// Metrics. A test that waits for one asks again and again: each series is kept once.
pub(crate) fn scraped(metrics: &[u8]) {
    static SERIES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if FOLDER.is_none() {
        return;
    }
    let (text, mut known) = (String::from_utf8_lossy(metrics), SERIES.lock().unwrap());
    for line in text.lines() {
        let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
        if known.insert(series.to_owned()) {
            said("metrics", line);
        }
    }
}

/// An answer: a good one may hold what was asked for, a refusal may hold no secret.
pub(crate) fn answered(status: http::StatusCode, text: impl AsRef<[u8]>) {
    if status.is_client_error() || status.is_server_error() {
        said("refusals", text);
    } else {
        used(text);
    }
}

/// Where a process of its own shall write one of its voices.
pub(crate) fn voice_of_process(voice: &str) -> Stdio {
    open("said", voice).map_or_else(Stdio::null, Stdio::from)
}

/// Where gateways shall keep their audit log, if anywhere.
pub(crate) fn audit_log() -> Option<PathBuf> {
    place("said", "audit")
}

/// Writes one voice, line by line.
pub(crate) struct Voice(pub(crate) &'static str);

impl Write for Voice {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        said(self.0, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn place(side: &str, voice: &str) -> Option<PathBuf> {
    let folder = FOLDER.as_ref()?;
    Some(folder.join(side).join(format!("it-{}-{voice}", std::process::id())))
}

fn open(side: &str, voice: &str) -> Option<File> {
    let path = place(side, voice)?;
    // Whole pieces are appended, also by several at a time.
    let file = OpenOptions::new().append(true).create(true).open(&path);
    Some(file.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn append(side: &str, voice: &str, text: &[u8]) {
    if let Some(mut file) = open(side, voice) {
        file.write_all(&[text, b"\n"].concat()).unwrap();
    }
}
