//! The transport at the bottom of every session: a socket that holds its permit.
//!
//! A type of our own instead of Pingora's stream because it carries the [`Permit`] (freed
//! with the socket, however the connection ends), bounds every write, and has no 64 KiB read
//! buffer. It must not know what is spoken over it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pingora::protocols::{SocketDigest, UniqueIDType};
use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::caps::Permit;
use super::socket::Socket;

/// Joins a small answer's head and body to one write.
const WRITE_BUFFER: usize = 2048;

/// An accepted connection.
#[derive(Debug)]
pub(super) struct Conn {
    io: BufWriter<Socket>,
    digest: Arc<SocketDigest>,
    /// How long the peer may take nothing of what is written. Pingora bounds bodies only.
    write_time: Duration,
    /// Runs while a write is stuck.
    stuck: Option<Pin<Box<Sleep>>>,
    _permit: Permit,
}

impl Conn {
    /// `peer`: the client, which on a PROXY listener is not the socket's other end.
    pub(super) fn new(
        socket: Socket,
        peer: Option<SocketAddr>,
        write_time: Duration,
        permit: Permit,
    ) -> Self {
        let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
        // Spares a system call; it cannot be set already.
        let peer = peer.map(pingora::protocols::l4::socket::SocketAddr::Inet);
        let _ = digest.peer_addr.set(peer);
        Self {
            io: BufWriter::with_capacity(WRITE_BUFFER, socket),
            digest: Arc::new(digest),
            write_time,
            stuck: None,
            _permit: permit,
        }
    }

    pub(super) fn id(&self) -> UniqueIDType {
        self.io.get_ref().as_raw_fd()
    }

    pub(super) fn digest(&self) -> Arc<SocketDigest> {
        Arc::clone(&self.digest)
    }

    /// Passes a write's result on, and fails one that has been stuck for too long.
    fn unless_stuck<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let write_time = self.write_time;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(write_time)));
        match stuck.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.unless_stuck(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.unless_stuck(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.unless_stuck(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
