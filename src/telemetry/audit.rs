//! The audit log: who did what to whom, and from where. One line of JSON for each deed.
//!
//! A stream of its own, to standard error or a file, so that it can be kept longer and read by
//! fewer than the rest. Names are those of the Elastic Common Schema. It must not know what a
//! deed is made of, and no password, token or mail address is ever handed to it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::lines::Line;
use super::request_log::RequestLog;
use crate::config::AuditTarget;
use crate::model::Timestamp;

/// Lines that may wait for a slow disk.
const LINES: usize = 16 * 1024;

/// Who may read a new file: it names people and where they were.
const MODE: u32 = 0o600;

/// Where deeds are written. Dropping it writes what is queued, for two seconds at most.
#[derive(Debug)]
pub struct AuditLog {
    /// The same queue and writer as a request log has; none if nothing is wanted.
    lines: Option<RequestLog>,
    /// Whether a loss was told.
    told: AtomicBool,
}

/// One deed.
#[derive(Debug, Clone, Copy)]
pub struct AuditRecord<'a> {
    /// When it was done.
    pub at: Timestamp,
    /// What was done, in one word of a closed list: `identity.login`, `user.delete`, …
    pub action: &'static str,
    /// Why it failed; `None` if it did not.
    pub failure: Option<&'static str>,
    /// How it was done: `opaque`, `jwt`, `basic`, `link`.
    pub means: Option<&'static str>,
    /// Who did it, or tried to.
    pub actor: Actor<'a>,
    /// Whose account it was done to.
    pub target: Option<Person<'a>>,
    /// The signing key that it was done to.
    pub key: Option<&'a str>,
    /// The client's address.
    pub client: Option<&'a str>,
    /// The request's id.
    pub request_id: Option<&'a str>,
}

/// Who did something.
#[derive(Debug, Clone, Copy)]
pub enum Actor<'a> {
    /// A user who was proved, or who was named by a login.
    User(Person<'a>),
    /// Somebody who needed no credential, or had no good one.
    Anonymous,
    /// An operator at a shell.
    Shell,
}

/// An account as the audit log names it.
#[derive(Debug, Clone, Copy)]
pub struct Person<'a> {
    /// Its number.
    pub id: &'a str,
    /// Its username, where that is at hand.
    pub name: Option<&'a str>,
}

impl AuditLog {
    /// Writes nothing.
    #[must_use]
    pub fn off() -> Self {
        Self { lines: None, told: AtomicBool::new(false) }
    }

    /// Opens what the settings name.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn open(target: &AuditTarget) -> io::Result<Self> {
        Ok(match target {
            AuditTarget::Nowhere => Self::off(),
            AuditTarget::Stderr => Self::to(io::stderr()),
            AuditTarget::File(path) => Self::to(Kept::open(path.clone())?),
        })
    }

    /// Writes to anything.
    #[must_use]
    pub fn to(out: impl Write + Send + 'static) -> Self {
        Self { lines: Some(RequestLog::to(out, LINES)), ..Self::off() }
    }

    /// Writes a deed down.
    pub fn write(&self, record: &AuditRecord<'_>) {
        let Some(lines) = &self.lines else { return };
        let mut line = Vec::with_capacity(512);
        write_line(&mut line, record);
        lines.push(&line);
        if lines.dropped() > 0 && !self.told.swap(true, Ordering::Relaxed) {
            tracing::error!("lines of the audit log are lost: it cannot be written fast enough");
        }
    }
}

fn write_line(line: &mut Vec<u8>, record: &AuditRecord<'_>) {
    let mut line = Line::on(line);
    line.word("{\"@timestamp\":\"");
    line.time(record.at);
    line.text("\",\"event.dataset\":\"portcullis.audit\",\"event.action\":", record.action);
    line.word(match record.action.split_once('.') {
        Some(("identity" | "token", _)) => ",\"event.category\":[\"authentication\"]",
        Some(("key", _)) => ",\"event.category\":[\"configuration\"]",
        _ => ",\"event.category\":[\"iam\"]",
    });
    let outcome = if record.failure.is_none() { "success" } else { "failure" };
    line.text(",\"event.outcome\":", outcome);
    line.some_text(",\"event.reason\":", record.failure);
    line.some_text(",\"portcullis.means\":", record.means);
    match record.actor {
        Actor::User(Person { id, name }) => {
            line.text(",\"portcullis.actor\":\"user\",\"user.id\":", id);
            line.some_text(",\"user.name\":", name);
        }
        Actor::Anonymous => line.word(",\"portcullis.actor\":\"anonymous\""),
        Actor::Shell => {
            line.word(",\"portcullis.actor\":\"shell\"");
            line.some_text(",\"user.id\":", operator().as_deref());
        }
    }
    line.some_text(",\"user.target.id\":", record.target.map(|target| target.id));
    line.some_text(",\"user.target.name\":", record.target.and_then(|target| target.name));
    line.some_text(",\"portcullis.key\":", record.key);
    line.some_text(",\"client.ip\":", record.client);
    line.some_text(",\"http.request.id\":", record.request_id);
    line.word("}\n");
}

/// Who is at the shell, by the number under which the person logged in to the machine; that
/// outlives `sudo` and cannot be made up. Without such, the number that the process runs under.
fn operator() -> Option<String> {
    const NOBODY: &str = "4294967295";
    let login = std::fs::read_to_string("/proc/self/loginuid").ok();
    let login = login.map(|text| text.trim().to_owned());
    let own = || std::fs::metadata("/proc/self").ok().map(|own| own.uid().to_string());
    let uid = login.filter(|uid| !uid.is_empty() && uid != NOBODY).or_else(own)?;
    Some(format!("uid:{uid}"))
}

/// A file that is added to. If it was moved away (logrotate), it is made anew under its name.
struct Kept {
    path: PathBuf,
    file: File,
}

impl Kept {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(MODE).open(&path)?;
        Ok(Self { path, file })
    }

    /// Whether the path leads to the file that is open.
    fn is_in_place(&self) -> bool {
        let (Ok(there), Ok(open)) = (std::fs::metadata(&self.path), self.file.metadata()) else {
            return false;
        };
        (there.dev(), there.ino()) == (open.dev(), open.ino())
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_in_place() {
            *self = Self::open(self.path.clone())?;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed() -> AuditRecord<'static> {
        AuditRecord {
            at: Timestamp::from_micros(1_700_000_000_000_042),
            action: "user.delete",
            failure: None,
            means: None,
            actor: Actor::User(Person { id: "7", name: Some("ada") }),
            target: Some(Person { id: "8", name: Some("bob") }),
            key: None,
            client: Some("203.0.113.9"),
            request_id: Some("00ff"),
        }
    }

    fn text(record: &AuditRecord<'_>) -> String {
        let mut line = Vec::new();
        write_line(&mut line, record);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_deed_says_who_what_whom_and_from_where() {
        let expected = concat!(
            r#"{"@timestamp":"2023-11-14T22:13:20.000042Z","event.dataset":"portcullis.audit","#,
            r#""event.action":"user.delete","event.category":["iam"],"event.outcome":"success","#,
            r#""portcullis.actor":"user","user.id":"7","user.name":"ada","user.target.id":"8","#,
            r#""user.target.name":"bob","client.ip":"203.0.113.9","http.request.id":"00ff"}"#,
            "\n"
        );
        assert_eq!(text(&deed()), expected);
    }

    #[test]
    fn a_failed_one_says_why_and_nothing_that_is_not_known() {
        let record = AuditRecord {
            action: "identity.login",
            failure: Some("wrong_password"),
            means: Some("jwt"),
            actor: Actor::Anonymous,
            target: None,
            client: None,
            request_id: None,
            ..deed()
        };
        let expected = concat!(
            r#"{"@timestamp":"2023-11-14T22:13:20.000042Z","event.dataset":"portcullis.audit","#,
            r#""event.action":"identity.login","event.category":["authentication"],"#,
            r#""event.outcome":"failure","event.reason":"wrong_password","#,
            r#""portcullis.means":"jwt","portcullis.actor":"anonymous"}"#,
            "\n"
        );
        assert_eq!(text(&record), expected);
    }

    #[test]
    fn a_name_cannot_leave_its_place() {
        let name = "a\"},{\n\u{1b}\\";
        let actor = Actor::User(Person { id: "7", name: Some(name) });
        let line = text(&AuditRecord { actor, ..deed() });
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["user.name"], name);
    }

    #[test]
    fn a_file_is_added_to_and_made_anew_when_it_was_moved_away() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("audit"), folder.path().join("audit.1"));
        let write = || {
            AuditLog::open(&AuditTarget::File(path.clone())).unwrap().write(&deed());
            std::fs::read_to_string(&path).unwrap().lines().count()
        };
        assert_eq!((write(), write()), (1, 2));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, MODE);

        let mut kept = Kept::open(path.clone()).unwrap();
        std::fs::rename(&path, &old).unwrap();
        kept.write_all(b"new\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(std::fs::read_to_string(&old).unwrap().lines().count(), 2);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error_and_off_is_silent() {
        let target = AuditTarget::File("/nonexistent/audit".into());
        assert!(AuditLog::open(&target).is_err());
        AuditLog::open(&AuditTarget::Nowhere).unwrap().write(&deed());
    }
}
