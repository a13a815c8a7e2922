//! What commands at the shell leave in the audit log: what an operator did, or tried to.
//!
//! What cannot be written down is not done: the log is opened first, and a change and its entry
//! in the table are one transaction. It must not know any command.

use std::io::{self, Write as _};

use crate::clock::Clock;
use crate::config::Settings;
use crate::model::{Actor, Deed, Person};
use crate::store::Store;
use crate::telemetry::AuditLog;

/// The number of a process that nobody logged in for.
const NOBODY: &str = "4294967295";

/// The audit log, as a command has it.
pub(super) struct ShellAudit {
    log: AuditLog,
    store: Store,
    clock: Clock,
    operator: Option<Person>,
}

impl ShellAudit {
    /// Opens what the settings name.
    pub(super) fn open(settings: &Settings, store: &Store, clock: &Clock) -> io::Result<Self> {
        let log = AuditLog::open(&settings.server.audit_log)?;
        Ok(Self { log, store: store.clone(), clock: clock.clone(), operator: operator() })
    }

    /// For a command that only looks: writes nothing anywhere.
    pub(super) fn off(store: &Store, clock: &Clock) -> Self {
        let store = store.clone().with_audit_log(false);
        Self { log: AuditLog::off(), store, clock: clock.clone(), operator: None }
    }

    /// A deed of whoever is at the shell, done now.
    pub(super) fn deed(&self, action: &'static str) -> Deed {
        let actor = Actor::Shell(self.operator.clone());
        Deed { actor, ..Deed::new(action, self.clock.now()) }
    }

    /// The store, to do this by; what was done is then told by [`Self::noted`].
    pub(super) fn noting(&self, deed: &Deed) -> Store {
        self.store.noting(std::slice::from_ref(deed))
    }

    /// Tells of a deed that a transaction wrote down.
    pub(super) fn noted(&self, deed: &Deed) {
        self.log.write(deed);
    }

    /// Tells of a deed that changed nothing. The database may be what it failed for: then the
    /// lines have it, and the table has not.
    pub(super) async fn told(&self, deed: &Deed) {
        self.log.write(deed);
        if let Err(error) = self.store.write_deeds(std::slice::from_ref(deed)).await {
            let _ = writeln!(io::stderr(), "this is not in the audit log's table: {error}");
        }
    }
}

/// Tells, in the lines alone, of what could not be done because there is no database.
pub(super) fn tell_undone(
    settings: &Settings,
    clock: &Clock,
    action: &'static str,
) -> io::Result<()> {
    let log = AuditLog::open(&settings.server.audit_log)?;
    let deed = Deed::new(action, clock.now()).failed("database");
    log.write(&Deed { actor: Actor::Shell(operator()), ..deed });
    Ok(())
}

/// Who is at the shell, by the number under which the person logged in to the machine; that
/// outlives `sudo` and cannot be made up. Without such, the number that the process runs under.
fn operator() -> Option<Person> {
    use std::os::unix::fs::MetadataExt as _;
    let login = std::fs::read_to_string("/proc/self/loginuid").ok();
    let login = login.map(|text| text.trim().to_owned());
    let own = || std::fs::metadata("/proc/self").ok().map(|own| own.uid().to_string());
    let uid = login.filter(|uid| !uid.is_empty() && uid != NOBODY).or_else(own)?;
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    Some(Person { id: format!("uid:{uid}"), name: name_of(&uid, &accounts) })
}

/// The name of a number, where the machine itself keeps it.
fn name_of(uid: &str, accounts: &str) -> Option<String> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1) == Some(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_named_as_the_machine_knows_them() {
        let accounts =
            "root:x:0:0:root:/root:/bin/sh\n\n# odd\nada:x:1000:100:,,,:/home/ada:/bin/sh";
        assert_eq!(name_of("1000", accounts).as_deref(), Some("ada"));
        assert_eq!(name_of("0", accounts).as_deref(), Some("root"));
        assert_eq!(name_of("100", accounts), None);
        assert!(operator().unwrap().id.starts_with("uid:"));
    }
}
