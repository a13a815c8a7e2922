//! Folders and files that nobody else may read: where a SQLite database lives.
//!
//! What exists is left as it is; what is made here is the owner's alone, from the moment it
//! exists. It must not know what the files hold.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Makes the file with its folders unless it is there: 0600, and 0700 for the folders. SQLite
/// gives the files that it puts beside it (`-wal`, `-shm`) the same mode.
pub(super) fn create_private(file: &Path) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        create_private_folder(folder)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(file) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the folder with those around it unless it is there, for its owner alone.
///
/// # Errors
/// The system's, or something that is no folder has the name.
pub fn create_private_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// The very file that was opened, which a name may come to mean no more. SQLite goes on with a
/// file that was removed or replaced, and what it writes is lost; new connections would read
/// another one.
#[derive(Debug)]
pub(super) struct OpenedFile {
    path: PathBuf,
    /// Device and number.
    identity: (u64, u64),
}

impl OpenedFile {
    /// The file as it is now.
    pub(super) fn note(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }

    /// Whether the name still leads to it. Asked before each transaction: one look at the
    /// directory, which the system holds in memory, against the disk's sync of a write.
    pub(super) fn check(&self) -> io::Result<()> {
        if identity(&self.path)? == self.identity {
            return Ok(());
        }
        Err(io::Error::other("another file has taken the place of the database: restart"))
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// A folder of its own among the system's temporary files, gone when this is dropped.
#[derive(Debug)]
pub(super) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    pub(super) fn create() -> io::Result<Self> {
        let mut name = [0; 12];
        aws_lc_rs::rand::fill(&mut name).map_err(|_| io::Error::other("no randomness"))?;
        let path = std::env::temp_dir().join(format!("portcullis-{}", hex::encode(name)));
        create_private_folder(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // Nobody is left to tell; the system clears its temporary files in time.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_the_owners_alone() {
        let place = TemporaryFolder::create().unwrap();
        let file = place.path().join("a/b/c.db");
        create_private(&file).unwrap();
        assert_eq!((mode(&file), mode(&place.path().join("a/b"))), (0o600, 0o700));
        assert_eq!(mode(&place.path().join("a")), 0o700);
    }

    #[test]
    fn what_exists_keeps_its_mode_and_content() {
        let place = TemporaryFolder::create().unwrap();
        let file = place.path().join("c.db");
        fs::write(&file, "kept").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        create_private(&file).unwrap();
        assert_eq!((mode(&file), fs::read_to_string(&file).unwrap()), (0o640, "kept".to_owned()));
    }

    #[test]
    fn a_temporary_folder_goes_with_its_owner() {
        let place = TemporaryFolder::create().unwrap();
        let path = place.path().to_owned();
        assert!(path.is_dir());
        drop(place);
        assert!(!path.exists());
    }
}
