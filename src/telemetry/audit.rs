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
use crate::model::{Actor, Deed, Person};

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
    pub fn write(&self, deed: &Deed) {
        let Some(lines) = &self.lines else { return };
        lines.push(audit_line(deed).as_bytes());
        if lines.dropped() > 0 && !self.told.swap(true, Ordering::Relaxed) {
            tracing::error!("lines of the audit log are lost: it cannot be written fast enough");
        }
    }

    /// Reads how many lines were lost, without holding the log.
    pub fn dropped_reader(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let read = self.lines.as_ref().map(RequestLog::dropped_reader);
        move || read.as_ref().map_or(0, |read| read())
    }
}

/// The line of a deed, with its end.
#[must_use]
pub fn audit_line(deed: &Deed) -> String {
    let mut line = Vec::with_capacity(512);
    write_line(&mut Line::on(&mut line), deed);
    // Text was written into it, and escapes.
    String::from_utf8(line).unwrap_or_default()
}

fn write_line(line: &mut Line<'_>, deed: &Deed) {
    line.word("{\"@timestamp\":\"");
    line.time(deed.at);
    line.text("\",\"event.dataset\":\"portcullis.audit\",\"event.action\":", &deed.action);
    line.word(match deed.action.split_once('.') {
        Some(("identity" | "token", _)) => ",\"event.category\":[\"authentication\"]",
        Some(("key", _)) => ",\"event.category\":[\"configuration\"]",
        _ => ",\"event.category\":[\"iam\"]",
    });
    let outcome = if deed.failure.is_none() { "success" } else { "failure" };
    line.text(",\"event.outcome\":", outcome);
    line.some_text(",\"event.reason\":", deed.failure.as_deref());
    line.some_text(",\"portcullis.means\":", deed.means.as_deref());
    let (actor, person) = match &deed.actor {
        Actor::User(person) => ("user", Some(person)),
        Actor::Anonymous => ("anonymous", None),
        Actor::Shell(person) => ("shell", person.as_ref()),
    };
    line.text(",\"portcullis.actor\":", actor);
    if let Some(Person { id, name }) = person {
        line.text(",\"user.id\":", id);
        line.some_text(",\"user.name\":", name.as_deref());
    }
    if let Some(target) = &deed.target {
        line.text(",\"user.target.id\":", itoa::Buffer::new().format(target.id.0));
        line.some_text(",\"user.target.name\":", target.name.as_deref());
    }
    line.some_text(",\"portcullis.key\":", deed.key.as_deref());
    if let Some(count) = deed.count {
        line.number(",\"portcullis.count\":", count);
    }
    line.some_text(",\"client.ip\":", deed.client.as_deref());
    line.some_text(",\"http.request.id\":", deed.request_id.as_deref());
    line.word("}\n");
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
    use crate::model::{Target, Timestamp, UserId};

    fn deed() -> Deed {
        let person = |id: &str, name: &str| Person { id: id.into(), name: Some(name.into()) };
        Deed {
            actor: Actor::User(person("7", "ada")),
            target: Some(Target { id: UserId(8), name: Some("bob".into()) }),
            client: Some("203.0.113.9".into()),
            request_id: Some("00ff".into()),
            ..Deed::new("user.delete", Timestamp::from_micros(1_700_000_000_000_042))
        }
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
        assert_eq!(audit_line(&deed()), expected);
    }

    #[test]
    fn a_failed_one_says_why_and_nothing_that_is_not_known() {
        let deed = Deed::new("identity.login", deed().at).by("jwt").failed("wrong_password");
        let expected = concat!(
            r#"{"@timestamp":"2023-11-14T22:13:20.000042Z","event.dataset":"portcullis.audit","#,
            r#""event.action":"identity.login","event.category":["authentication"],"#,
            r#""event.outcome":"failure","event.reason":"wrong_password","#,
            r#""portcullis.means":"jwt","portcullis.actor":"anonymous"}"#,
            "\n"
        );
        assert_eq!(audit_line(&deed), expected);
    }

    #[test]
    fn a_deed_at_a_shell_says_what_key_and_how_many() {
        let operator = Person { id: "uid:0".into(), name: None };
        let deed = Deed {
            actor: Actor::Shell(Some(operator)),
            count: Some(500),
            ..Deed::new("key.revoke", deed().at).to_key("k1")
        };
        let expected = concat!(
            r#"{"@timestamp":"2023-11-14T22:13:20.000042Z","event.dataset":"portcullis.audit","#,
            r#""event.action":"key.revoke","event.category":["configuration"],"#,
            r#""event.outcome":"success","portcullis.actor":"shell","user.id":"uid:0","#,
            r#""portcullis.key":"k1","portcullis.count":500}"#,
            "\n"
        );
        assert_eq!(audit_line(&deed), expected);
    }

    #[test]
    fn a_name_cannot_leave_its_place() {
        let name = "a\"},{\n\u{1b}\\";
        let actor = Actor::User(Person { id: "7".into(), name: Some(name.into()) });
        let line = audit_line(&Deed { actor, ..deed() });
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
