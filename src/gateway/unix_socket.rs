//! A unix socket in the file system: made with its permissions, removed with its process.
//!
//! It must not know what is spoken over it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A bound socket; its file goes when this does.
#[derive(Debug)]
pub(super) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Of the file: another process may have put its own there meanwhile.
    inode: u64,
}

impl UnixSocket {
    /// Binds `path`. What a process that is gone left there is replaced; a socket that somebody
    /// listens on is not, nor anything that is no socket.
    pub(super) fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is a file that is no socket",
                ));
            }
            Ok(_) if UnixStream::connect(path).is_ok() => {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            Ok(_) | Err(_) => {}
        }
        // Under another name first: from its first moment it has its permissions where it is
        // looked for.
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{}", std::process::id()));
        let aside = PathBuf::from(aside);
        let _ = fs::remove_file(&aside);
        let listener = UnixListener::bind(&aside)?;
        let placed = || {
            listener.set_nonblocking(true)?;
            fs::set_permissions(&aside, Permissions::from_mode(mode))?;
            let inode = fs::symlink_metadata(&aside)?.ino();
            fs::rename(&aside, path)?;
            io::Result::Ok(inode)
        };
        match placed() {
            Ok(inode) => Ok(Self { listener, path: path.to_owned(), inode }),
            Err(error) => {
                let _ = fs::remove_file(&aside);
                Err(error)
            }
        }
    }

    /// The socket itself.
    pub(super) fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_has_its_permissions_and_goes_with_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.sock");
        let socket = UnixSocket::bind(&path, 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(UnixStream::connect(&path).is_ok());
        assert_eq!(UnixSocket::bind(&path, 0o600).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_dead_process_left_is_replaced_and_anything_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.sock");
        drop(UnixListener::bind(&path).unwrap());
        let stale = UnixSocket::bind(&path, 0o660).unwrap();
        // A successor takes the name; the one that goes leaves it to it.
        fs::remove_file(&path).unwrap();
        let next = UnixSocket::bind(&path, 0o660).unwrap();
        drop(stale);
        assert!(UnixStream::connect(&path).is_ok());
        drop(next);

        fs::write(&path, "text").unwrap();
        assert_eq!(
            UnixSocket::bind(&path, 0o660).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }
}
