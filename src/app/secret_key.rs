//! Where the root secret comes from when nobody has set one.
//!
//! With SQLite it is made at the first start and kept beside the database file, readable by
//! the owner only; with PostgreSQL the settings must hold it, and were refused otherwise. It
//! must not know what is derived from it.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::config::{Database, Settings};
use crate::secret::RootKey;
use crate::store::create_private_folder;

/// The secret of these settings, or the one kept beside the SQLite file.
pub fn root_key(settings: &Settings) -> anyhow::Result<RootKey> {
    from_settings_or(settings, |path| {
        kept(path).with_context(|| format!("the secret cannot be kept in {}", path.display()))
    })
}

/// The same for who only looks: a secret that is not there is not made.
pub(super) fn existing_root_key(settings: &Settings) -> anyhow::Result<RootKey> {
    from_settings_or(settings, |path| {
        let secret = fs::read_to_string(path);
        let secret = secret.with_context(|| format!("{} cannot be read", path.display()))?;
        checked(&secret)
    })
}

fn from_settings_or(
    settings: &Settings,
    beside: impl FnOnce(&Path) -> anyhow::Result<String>,
) -> anyhow::Result<RootKey> {
    let secret = settings.secret_key.expose();
    if !secret.is_empty() {
        return Ok(RootKey::new(secret));
    }
    let path = file_beside(&settings.database).context("secret_key is not set")?;
    Ok(RootKey::new(&beside(&path)?))
}

/// Where the secret is kept, with SQLite.
pub(crate) fn file_beside(database: &Database) -> Option<PathBuf> {
    let mut name = database.file()?.into_os_string();
    name.push(".secret");
    Some(name.into())
}

/// Reads the secret, or makes it. Of several processes that start at once one makes it and
/// all others read that one.
fn kept(path: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Ok(secret) => return checked(&secret),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    // The database will be there as well, and makes what is missing in the same way.
    if let Some(folder) = path.parent() {
        create_private_folder(folder)?;
    }
    let draft = path.with_extension(format!("{}.draft", hex::encode(random::<8>()?)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    writeln!(file, "{}", hex::encode(random::<32>()?))?;
    file.sync_all()?;
    // Linked under its name when it is whole; fails if another process was first.
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => checked(&fs::read_to_string(path)?),
    }
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut random = [0; N];
    aws_lc_rs::rand::fill(&mut random).context("no random numbers")?;
    Ok(random)
}

fn checked(secret: &str) -> anyhow::Result<String> {
    let secret = secret.trim();
    anyhow::ensure!(secret.len() >= 32, "the file holds no secret of at least 32 characters");
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::secret::KeyUse;

    #[test]
    fn a_folder_that_is_missing_is_made_for_its_owner_alone() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("a/b");
        kept(&folder.join("p.db.secret")).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.db.secret");
        let first = kept(&path).unwrap();
        assert_eq!(first.len(), 64);
        assert_eq!(kept(&path).unwrap(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn many_that_start_at_once_agree_on_one_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.db.secret");
        let all: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| kept(&path).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|secret| *secret == all[0]));
    }

    #[test]
    fn an_empty_file_is_refused_rather_than_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.db.secret");
        fs::write(&path, "\n").unwrap();
        assert!(kept(&path).is_err());
    }

    #[test]
    fn a_secret_that_is_set_wins_over_the_file() {
        let secret_key = "0123456789abcdef0123456789abcdef".into();
        let settings = Settings { secret_key, ..Settings::default() };
        let expected = RootKey::new("0123456789abcdef0123456789abcdef").derive(KeyUse::MailLinks);
        assert_eq!(root_key(&settings).unwrap().derive(KeyUse::MailLinks), expected);
    }

    #[test]
    fn the_file_lies_beside_the_database() {
        let beside = |url: &str| {
            let database = Database { url: url.into(), ..Database::default() };
            file_beside(&database).map(|path| path.display().to_string())
        };
        assert_eq!(beside("sqlite://a/p.db?x=1").as_deref(), Some("a/p.db.secret"));
        assert_eq!(beside("sqlite:///var/p.db").as_deref(), Some("/var/p.db.secret"));
        assert_eq!(beside("postgres://host/db"), None);
        assert_eq!(beside("sqlite::memory:"), None);
    }
}
