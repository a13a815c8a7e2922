//! The PROXY header: a load balancer's word on who the client is, before anything else.
//!
//! Read byte for byte and no further, so that what follows (TLS, HTTP) is untouched. Whoever
//! may be believed is decided before (`accept`); here a header is required, never optional. It
//! must not know what follows.

use std::io;
use std::net::SocketAddr;

use ppp::{HeaderResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Version 1 is one line of at most so many bytes.
const LONGEST_LINE: usize = 107;

/// Version 2 starts with these; its length stands in the last two of sixteen bytes.
const BINARY_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const BINARY_HEAD: usize = 16;

/// What is read of version 2: addresses, and the extensions that load balancers add.
const LONGEST_BINARY: usize = 2048;

/// Reads the header. `None`: it speaks of no client (a health check of the balancer's own).
///
/// # Errors
/// If there is no header, or a malformed one.
pub(super) async fn read<R>(io: &mut R) -> io::Result<Option<SocketAddr>>
where
    R: AsyncRead + Unpin,
{
    let mut header = vec![0; BINARY_START.len()];
    io.read_exact(&mut header).await?;
    if header == BINARY_START {
        header.resize(BINARY_HEAD, 0);
        io.read_exact(&mut header[BINARY_START.len()..]).await?;
        let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
        if rest > LONGEST_BINARY {
            return Err(malformed());
        }
        header.resize(BINARY_HEAD + rest, 0);
        io.read_exact(&mut header[BINARY_HEAD..]).await?;
    } else if header.starts_with(b"PROXY ") {
        // Only the end of the line says how long it is: one byte too many would be the client's.
        while header.last() != Some(&b'\n') {
            if header.len() == LONGEST_LINE {
                return Err(malformed());
            }
            header.push(io.read_u8().await?);
        }
    } else {
        return Err(malformed());
    }
    match HeaderResult::parse(&header) {
        HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            v1::Addresses::Tcp4(tcp) => Some((tcp.source_address, tcp.source_port).into()),
            v1::Addresses::Tcp6(tcp) => Some((tcp.source_address, tcp.source_port).into()),
            v1::Addresses::Unknown => None,
        }),
        HeaderResult::V2(Ok(header)) => Ok(match (header.command, header.addresses) {
            (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => {
                Some((ip.source_address, ip.source_port).into())
            }
            (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => {
                Some((ip.source_address, ip.source_port).into())
            }
            (v2::Command::Proxy | v2::Command::Local, _) => None,
        }),
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(malformed()),
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no PROXY header")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is read, and what is left for the next reader.
    async fn parsed(bytes: &[u8]) -> (io::Result<Option<SocketAddr>>, Vec<u8>) {
        let mut left = bytes;
        let read = read(&mut left).await;
        (read, left.to_vec())
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [BINARY_START, &[0x20 | command, family], &length, rest, b"GET"].concat()
    }

    #[tokio::test]
    async fn both_versions_name_the_client_and_leave_what_follows() {
        let four = [192, 0, 2, 1, 10, 0, 0, 1, 0x30, 0x39, 0, 80];
        let six = [&[0x20, 1, 0x0d, 0xb8], &[0; 28][..], &[0x30, 0x39, 0, 80]].concat();
        for (bytes, client) in [
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 12345 80\r\nGET".to_vec(), Some("192.0.2.1:12345")),
            (b"PROXY TCP6 2001:db8:: ::1 12345 80\r\nGET".to_vec(), Some("[2001:db8::]:12345")),
            (b"PROXY UNKNOWN\r\nGET".to_vec(), None),
            (binary(1, 0x11, &four), Some("192.0.2.1:12345")),
            // With an extension behind the addresses.
            (binary(1, 0x11, &[&four[..], &[3, 0, 1, 7]].concat()), Some("192.0.2.1:12345")),
            (binary(1, 0x21, &six), Some("[2001:db8::]:12345")),
            (binary(0, 0, &[]), None),
            (binary(0, 0x11, &four), None),
        ] {
            let (read, left) = parsed(&bytes).await;
            assert_eq!(read.unwrap(), client.map(|client| client.parse().unwrap()), "{bytes:?}");
            assert_eq!(left, b"GET", "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn without_a_whole_header_nothing_is_believed() {
        let long = [b"PROXY TCP4 ", &[b'1'; 200][..], b"\r\n"].concat();
        let oversized = [BINARY_START, &[0x21, 0x11, 0xff, 0xff]].concat();
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"PROXY TCP4 192.0.2.1\r\n",
            b"PROXY TCP4 300.0.2.1 10.0.0.1 1 80\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1 99999\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1 80\n",
            b"PROXY TCP",
            b"proxy TCP4 192.0.2.1 10.0.0.1 1 80\r\n",
            &long,
            &oversized,
            &binary(5, 0x11, &[0; 12]),
            &binary(1, 0x11, &[0; 3]),
            b"",
        ] {
            assert!(parsed(bytes).await.0.is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_can_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300),
                                      starts in 0..3) {
            let start: &[u8] = [&b""[..], b"PROXY ", BINARY_START][usize::try_from(starts).unwrap_or(0)];
            let all = [start, &bytes].concat();
            let _ = futures_util::FutureExt::now_or_never(parsed(&all));
        }
    }
}
