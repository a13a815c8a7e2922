//! The database: its schema, its connections, where it lies, and the age of the keys in it.
//!
//! A SQLite file that is not there is not made. It must not know what is stored.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use super::finding::Findings;
use super::services::is_slow;
use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::model::Timestamp;
use crate::store::{DatabaseServer, Examination, KeyState, Schema, SigningKey, Store};

const DATABASE: &str = "database";
const KEYS: &str = "signing-keys";

/// After so long a key should have been rotated.
const OLD: Duration = Duration::from_hours(365 * 24);

/// What the database told that others are compared with.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The time there, and ours when it was heard.
    pub(super) now: Option<(Timestamp, Timestamp)>,
    /// The keys that a gateway on this database publishes.
    pub(super) kids: Vec<String>,
}

pub(super) async fn check(settings: &Settings, clock: &Clock, findings: &mut Findings) -> Told {
    if let Some(file) = settings.database.file() {
        if !file.exists() {
            let text = format!("{} is not there", file.display());
            let remedy = "start the gateway or run `portcullis migrate`, in the folder from which \
                          the gateway is started if the path is relative";
            findings.problem(DATABASE, text, remedy);
            return Told::default();
        }
        place(&file, findings);
    }
    let store = match app::open_store(settings).await {
        Ok(store) => store,
        Err(error) => {
            let remedy = "look at database.url, and at the rights of its file";
            findings.problem(DATABASE, format!("{error:#}"), remedy);
            return Told::default();
        }
    };
    let told = ask(settings, &store, clock, findings).await;
    store.close().await;
    told
}

async fn ask(settings: &Settings, store: &Store, clock: &Clock, findings: &mut Findings) -> Told {
    let found = match store.examine().await {
        Ok(found) => found,
        Err(error) => {
            let error = anyhow::Error::new(error);
            let remedy = "look at database.url, the server and what is between; meanwhile the \
                          gateway answers 503 to what it cannot vouch for (docs/degradation.md)";
            findings.problem(DATABASE, format!("{error:#}"), remedy);
            return Told::default();
        }
    };
    let now = clock.now();
    judge(&found, findings);
    let mut told = Told { now: found.server.map(|server| (server.now, now)), kids: Vec::new() };
    if found.schema != Schema::Missing {
        match store.signing_keys().await {
            Ok(stored) => {
                let published = stored.iter().filter(|key| key.state != KeyState::Gone);
                told.kids = published.map(|key| key.kid.clone()).collect();
                keys(settings, &stored, now, findings);
            }
            Err(error) => {
                let error = anyhow::Error::new(error);
                findings.problem(KEYS, format!("{error:#}"), "look at the database");
            }
        }
    }
    told
}

fn judge(found: &Examination, findings: &mut Findings) {
    match found.schema {
        Schema::Missing => {
            let remedy = "start the gateway, or run `portcullis migrate`";
            findings.problem(DATABASE, "has no schema yet", remedy);
        }
        Schema::Behind(count) => {
            let text = format!("is {count} migrations behind this program");
            findings.problem(DATABASE, text, "run `portcullis migrate` (docs/upgrading.md)");
        }
        Schema::Newer(count) => {
            let text = format!("has {count} migrations of a newer release than this program");
            let remedy = "run the newer release here, too (docs/upgrading.md)";
            findings.warning(DATABASE, text, remedy);
        }
        Schema::Current => {}
    }
    if is_slow(found.latency) {
        let text = format!(
            "answers in {:.1?}: every login and every first sight of a token waits",
            found.latency
        );
        findings.warning(DATABASE, text, "put the gateway and the database nearer to each other");
    }
    if let Some(server) = &found.server {
        connections(server, findings);
    }
    if findings.is_well(DATABASE) {
        let version = &found.version;
        let text =
            format!("{version} answers in {:.1?}; its schema is this program's", found.latency);
        findings.ok(DATABASE, text);
    }
}

fn connections(server: &DatabaseServer, findings: &mut Findings) {
    let DatabaseServer { most_connections: most, connections: used, ours, .. } = *server;
    let remedy = "raise max_connections, or put PgBouncer before it (database.pool)";
    if most < ours {
        let text = format!("gives {most} connections, and one gateway takes up to {ours}");
        findings.problem(DATABASE, text, remedy);
    } else if used * 5 > most * 4 {
        let text =
            format!("{used} of its {most} connections are taken; a gateway takes up to {ours}");
        findings.warning(DATABASE, text, remedy);
    }
}

/// Where a file lies, and whether it can be written there.
fn place(file: &Path, findings: &mut Findings) {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    if let Err(error) = can_write(folder) {
        let text = format!("{} cannot be written: {error}", folder.display());
        let remedy = "give the folder to the gateway's user, and run doctor as that user";
        findings.problem(DATABASE, text, remedy);
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    if let Some(kind) = file_system(&mounts, &real).filter(|kind| is_remote(kind)) {
        let text =
            format!("lies on a network file system ({kind}), where SQLite's locks do not hold");
        findings.problem(DATABASE, text, "put it on a local disk, or take PostgreSQL");
    }
}

/// SQLite makes files beside the database.
fn can_write(folder: &Path) -> std::io::Result<()> {
    let mut name = [0; 8];
    aws_lc_rs::rand::fill(&mut name).map_err(|_| ErrorKind::Other)?;
    let file = folder.join(format!(".portcullis-doctor-{}", hex::encode(name)));
    fs::OpenOptions::new().write(true).create_new(true).open(&file)?;
    fs::remove_file(file)
}

/// The kind of file system of the innermost mount around a folder (proc(5), `mountinfo`).
fn file_system<'a>(mounts: &'a str, folder: &Path) -> Option<&'a str> {
    let mount = |line: &'a str| {
        let (before, after) = line.split_once(" - ")?;
        let point = Path::new(before.split(' ').nth(4)?);
        let depth = folder.starts_with(point).then(|| point.components().count())?;
        Some((depth, after.split(' ').next()?))
    };
    // Of two mounts at one place the later one counts.
    mounts.lines().filter_map(mount).max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}

fn is_remote(kind: &str) -> bool {
    const REMOTE: [&str; 9] =
        ["nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "afs", "9p", "virtiofs"];
    REMOTE.contains(&kind) || kind.starts_with("fuse.") && kind != "fuse.fuse-overlayfs"
}

fn keys(settings: &Settings, stored: &[SigningKey], now: Timestamp, findings: &mut Findings) {
    let jwt = &settings.tokens.jwt;
    if !jwt.keys.is_empty() || jwt.algorithm.starts_with("HS") {
        return findings.ok(KEYS, "are in the settings, and rotated there");
    }
    let active =
        stored.iter().find(|key| key.state == KeyState::Active && key.algorithm == jwt.algorithm);
    let Some(active) = active else {
        let remedy = "the gateway makes one at its first start";
        return findings.not_checked(KEYS, format!("there is none for {}", jwt.algorithm), remedy);
    };
    let age = now.since(active.activated.unwrap_or(active.created));
    let days = age.as_secs() / (24 * 60 * 60);
    if age > OLD {
        let text = format!("key {} has signed for {days} days", active.kid);
        let remedy = "run `portcullis keys rotate` from time to time (docs/guides/signing-keys.md)";
        findings.warning(KEYS, text, remedy);
    } else {
        findings.ok(KEYS, format!("key {} has signed for {days} days", active.kid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(findings: &Findings) -> String {
        let mut text = Vec::new();
        findings.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn told(schema: Schema, latency: u64, server: Option<(i64, i64)>) -> String {
        let server = server.map(|(most_connections, connections)| DatabaseServer {
            now: Timestamp::from_seconds(0),
            most_connections,
            connections,
            ours: 9,
        });
        let latency = Duration::from_millis(latency);
        let mut findings = Findings::default();
        let version = "PostgreSQL 17.1".to_owned();
        judge(&Examination { version, latency, schema, server }, &mut findings);
        text_of(&findings)
    }

    #[test]
    fn a_schema_that_is_not_this_programs_is_told() {
        let good = told(Schema::Current, 1, Some((97, 12)));
        assert!(good.starts_with("ok           database          PostgreSQL 17.1"), "{good}");
        assert!(told(Schema::Missing, 1, None).starts_with("problem      database"));
        assert!(told(Schema::Behind(2), 1, None).contains("is 2 migrations behind"));
        assert!(told(Schema::Newer(1), 1, None).starts_with("warning      database"));
    }

    #[test]
    fn a_server_that_is_far_or_full_is_told() {
        assert!(told(Schema::Current, 50, None).contains("answers in 50.0ms"));
        assert!(told(Schema::Current, 1, Some((97, 80))).starts_with("warning      database"));
        assert!(told(Schema::Current, 1, Some((5, 1))).starts_with("problem      database"));
    }

    #[test]
    fn the_innermost_mount_tells_the_kind_of_file_system() {
        let mounts = "21 1 8:1 / / rw - ext4 /dev/a rw\n\
                      22 21 0:30 / /data rw shared:1 - nfs4 server:/x rw\n\
                      23 22 8:2 / /data/local rw - xfs /dev/b rw\n";
        let at = |folder| file_system(mounts, Path::new(folder));
        assert_eq!(at("/var/lib"), Some("ext4"));
        assert_eq!(at("/data/portcullis"), Some("nfs4"));
        assert_eq!(at("/data/local/portcullis"), Some("xfs"));
        assert_eq!(at("/database"), Some("ext4"));
        assert!(is_remote("nfs4") && is_remote("fuse.sshfs"));
        assert!(!is_remote("ext4") && !is_remote("overlay"));
    }

    #[test]
    fn a_folder_that_can_be_written_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        can_write(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(can_write(&folder.path().join("missing")).is_err());
    }

    #[test]
    fn a_key_that_signs_for_long_is_told() {
        let day = Duration::from_hours(24);
        let now = Timestamp::from_seconds(2_000_000_000);
        let after = |days: u32, state| {
            let key = SigningKey {
                kid: "k".to_owned(),
                algorithm: "ES256".to_owned(),
                state,
                sealed: Vec::new(),
                created: now.minus(day * 900),
                activated: Some(now.minus(day * days)),
                retired: None,
            };
            let mut findings = Findings::default();
            keys(&Settings::default(), &[key], now, &mut findings);
            text_of(&findings)
        };
        assert!(after(30, KeyState::Active).starts_with("ok           signing-keys"));
        assert!(after(400, KeyState::Active).starts_with("warning      signing-keys"));
        assert!(after(400, KeyState::Retiring).starts_with("not checked  signing-keys"));
    }
}
