//! Who listens on this machine: what proc(5) tells of TCP sockets and of the processes that hold
//! them.
//!
//! On other systems than Linux nobody is found. It must not know what is listened for.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// A socket that takes connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listening {
    pub(super) address: IpAddr,
    port: u16,
    inode: u64,
}

/// Everybody who takes connections at a port.
pub(super) fn listening_at(port: u16) -> Vec<Listening> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let all = ["/proc/net/tcp", "/proc/net/tcp6"].map(read);
    let sockets = all.iter().flat_map(|text| parse(text));
    sockets.filter(|socket| socket.port == port).collect()
}

/// How many files the process may open that holds one of these sockets, if it may be looked at.
pub(super) fn descriptors_of(sockets: &[Listening]) -> Option<u64> {
    let held: Vec<PathBuf> =
        sockets.iter().map(|socket| format!("socket:[{}]", socket.inode).into()).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten().filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))
    });
    for process in processes {
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let mut targets = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        if targets.any(|target| held.contains(&target)) {
            return most_files(&fs::read_to_string(process.path().join("limits")).ok()?);
        }
    }
    None
}

/// How many files this process may open.
pub(super) fn own_descriptors() -> Option<u64> {
    most_files(&fs::read_to_string("/proc/self/limits").ok()?)
}

fn most_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Lines of /proc/net/tcp and tcp6: `0: 0100007F:0BB8 00000000:0000 0A … inode …`.
fn parse(text: &str) -> Vec<Listening> {
    const LISTEN: &str = "0A";
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if *fields.get(3)? != LISTEN {
            return None;
        }
        let (address, port) = fields.get(1)?.split_once(':')?;
        Some(Listening {
            address: read_address(address)?,
            port: u16::from_str_radix(port, 16).ok()?,
            inode: fields.get(9)?.parse().ok()?,
        })
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// Words of 32 bits, each in the machine's own order of bytes.
fn read_address(text: &str) -> Option<IpAddr> {
    let bytes = hex::decode(text).ok()?;
    let mut bytes_in_order = Vec::with_capacity(16);
    for word in bytes.chunks_exact(4) {
        let word: [u8; 4] = word.try_into().ok()?;
        bytes_in_order.extend(u32::from_be_bytes(word).to_ne_bytes());
    }
    match bytes_in_order.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes_in_order).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes_in_order).ok()?).into()),
        _ => None,
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn lines_of_sockets_that_listen_are_read() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode\n   \
            0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 4242 1 0\n   \
            1: 00000000:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 4243 1 0\n   \
            2: 0100007F:0BB8 0100007F:A000 01 00000000:00000000 00:00000000 00000000  1000 0 4244 1 0\n";
        if cfg!(target_endian = "little") {
            let (loopback, every) = ([127, 0, 0, 1].into(), [0, 0, 0, 0].into());
            assert_eq!(
                parse(text),
                [
                    Listening { address: loopback, port: 3000, inode: 4242 },
                    Listening { address: every, port: 8000, inode: 4243 },
                ]
            );
        }
        assert_eq!(parse("nothing\nof this kind"), []);
    }

    #[test]
    fn a_listener_of_this_process_is_found_with_its_limit() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let address = listener.local_addr().unwrap();
            let found = listening_at(address.port());
            assert!(found.iter().any(|one| one.address == address.ip()), "{address}: {found:?}");
            assert_eq!(descriptors_of(&found), own_descriptors());
        }
        assert!(own_descriptors().is_some());
    }

    #[test]
    fn a_limit_is_a_number_or_none() {
        let of = |value: &str| {
            most_files(&format!("Limit Soft Hard\nMax open files  {value} 9 files\n"))
        };
        assert_eq!(of("1024"), Some(1024));
        assert_eq!(of("unlimited"), Some(u64::MAX));
        assert_eq!(most_files(""), None);
    }
}
