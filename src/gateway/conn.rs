//! The transport under every HTTP session: a socket that holds its permit and knows whose turn
//! it is to speak.
//!
//! A type of our own instead of Pingora's stream because it carries the [`Permit`] (freed
//! with the socket, however the connection ends), can leave in the socket what is sent too
//! early ([`Turn`]), and has no 64 KiB read buffer. It must not know HTTP.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};

use super::caps::Permit;

/// Joins a small answer's head and body to one write.
const WRITE_BUFFER: usize = 2048;

/// How long the close of a connection may take.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// Whose turn it is to speak; shared by a connection and whoever reads from it.
///
/// Once a request has been read to its end, what comes next belongs to the next request
/// (RFC 9112, 9.3.2). Pingora reads on meanwhile, to learn whether the client has left, and would
/// take the first byte for a violation in the middle of the answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Turn(Arc<AtomicBool>);

impl Turn {
    /// The client has said all of its request: until [`Self::give_back`] nothing is read, and
    /// only its leaving is noticed.
    pub(super) fn take(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// The client may speak.
    pub(super) fn give_back(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn is_ours(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// An accepted connection.
#[derive(Debug)]
pub(super) struct Conn {
    io: BufWriter<TcpStream>,
    digest: Arc<SocketDigest>,
    /// How long the peer may take nothing of what is written. Pingora bounds bodies only.
    write_time: Duration,
    /// Runs while a write is stuck.
    stuck: Option<Pin<Box<Sleep>>>,
    turn: Turn,
    _permit: Permit,
}

impl Conn {
    pub(super) fn new(
        socket: TcpStream,
        peer: SocketAddr,
        write_time: Duration,
        permit: Permit,
    ) -> Self {
        let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
        // Spares a system call; it cannot be set already.
        let _ = digest.peer_addr.set(Some(pingora::protocols::l4::socket::SocketAddr::Inet(peer)));
        Self {
            io: BufWriter::with_capacity(WRITE_BUFFER, socket),
            digest: Arc::new(digest),
            write_time,
            stuck: None,
            turn: Turn::default(),
            _permit: permit,
        }
    }

    /// Whose turn it is on this connection.
    pub(super) fn turn(&self) -> Turn {
        self.turn.clone()
    }

    /// Whether the client has left, without taking anything that it sent.
    fn poll_left(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut byte = [0; 1];
        match self.io.get_ref().poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(())),
            // Nobody is woken for what is there already: it is read when the turn is given back.
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
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
        if self.turn.is_ours() {
            return self.poll_left(cx);
        }
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

#[async_trait]
impl Shutdown for Conn {
    async fn shutdown(&mut self) {
        // A peer that does not take the last bytes must not hold the task.
        let _ = timeout(CLOSE_TIME, AsyncWriteExt::shutdown(&mut self.io)).await;
    }
}

impl UniqueID for Conn {
    fn id(&self) -> UniqueIDType {
        self.io.get_ref().as_raw_fd()
    }
}

impl Ssl for Conn {}

impl Peek for Conn {}

impl GetTimingDigest for Conn {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Conn {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Conn {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.digest))
    }
}
