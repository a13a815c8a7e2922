//! What Pingora reads from and writes to: a connection, plain or within TLS, that knows whose
//! turn it is to speak.
//!
//! Once a request has been read to its end, what comes next belongs to the next request
//! (RFC 9112, 9.3.2). Pingora reads on meanwhile, to learn whether the client has left, and
//! would take the first byte for a violation in the middle of the answer: so it is kept here
//! until its turn. It must not know HTTP.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::conn::Conn;

/// How long the close of a connection may take.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// What is read of a client that speaks out of turn: enough to see that it does.
const EARLY_BYTES: usize = 512;

/// A client that has ended its half of the connection may still wait for the answer, or be
/// gone: the two look the same until something is written. So long the answer is waited for.
const HALF_CLOSED_TIME: Duration = Duration::from_secs(3);

/// Whose turn it is to speak; shared by a connection and whoever reads from it.
#[derive(Debug, Clone, Default)]
pub(super) struct Turn(Arc<AtomicU8>);

const CLIENTS: u8 = 0;
const OURS: u8 = 1;
const NOBODYS: u8 = 2;

impl Turn {
    /// The client has said all of its request: until [`Self::give_back`] nothing is handed on,
    /// and only its leaving is noticed.
    pub(super) fn take(&self) {
        self.0.store(OURS, Ordering::Relaxed);
    }

    /// The client may speak.
    pub(super) fn give_back(&self) {
        self.0.store(CLIENTS, Ordering::Relaxed);
    }

    /// Nobody may speak any more: what is under way ends in an error. Whoever waits is not woken
    /// by this.
    pub(super) fn cut(&self) {
        self.0.store(NOBODYS, Ordering::Relaxed);
    }

    /// Whether it was cut.
    pub(super) fn is_cut(&self) -> bool {
        self.0.load(Ordering::Relaxed) == NOBODYS
    }

    fn is_ours(&self) -> bool {
        self.0.load(Ordering::Relaxed) == OURS
    }
}

/// A connection with or without TLS. The larger one is boxed: most stand idle.
#[derive(Debug)]
enum Transport {
    Plain(Conn),
    Tls(Box<TlsStream<Conn>>),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Wire {
    transport: Transport,
    /// Came too early, or was put back; read first.
    front: BytesMut,
    turn: Turn,
    /// Runs once the client has ended its half out of turn.
    half_closed: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    pub(super) fn plain(conn: Conn) -> Self {
        Self::over(Transport::Plain(conn))
    }

    pub(super) fn tls(stream: TlsStream<Conn>) -> Self {
        Self::over(Transport::Tls(Box::new(stream)))
    }

    fn over(transport: Transport) -> Self {
        let (front, turn) = (BytesMut::new(), Turn::default());
        Self { transport, front, turn, half_closed: None }
    }

    /// Whose turn it is on this connection.
    pub(super) fn turn(&self) -> Turn {
        self.turn.clone()
    }

    /// Has bytes read once more that were read already.
    pub(super) fn put_back(&mut self, bytes: BytesMut) {
        self.front = bytes;
    }

    fn conn(&self) -> &Conn {
        match &self.transport {
            Transport::Plain(conn) => conn,
            Transport::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether the client has left. What it says instead is kept for its turn, and then nobody
    /// is woken any more: the answer ends the wait.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(half_closed) = &mut self.half_closed {
            return half_closed.as_mut().poll(cx).map(Ok);
        }
        if !self.front.is_empty() {
            return Poll::Pending;
        }
        let mut early = [0; EARLY_BYTES];
        let mut buf = ReadBuf::new(&mut early);
        ready!(Pin::new(&mut self.transport).poll_read(cx, &mut buf))?;
        if buf.filled().is_empty() {
            let mut timer = Box::pin(sleep(HALF_CLOSED_TIME));
            let left = timer.as_mut().poll(cx).map(Ok);
            self.half_closed = Some(timer);
            return left;
        }
        self.front.extend_from_slice(buf.filled());
        Poll::Pending
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(conn) => Pin::new(conn).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.turn.is_ours() {
            return self.poll_left(cx);
        }
        if self.turn.is_cut() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if !self.front.is_empty() {
            let count = self.front.len().min(buf.remaining());
            buf.put_slice(&self.front[..count]);
            self.front.advance(count);
            if self.front.is_empty() {
                self.front = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.transport).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.turn.is_cut() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        match &mut self.transport {
            Transport::Plain(conn) => Pin::new(conn).poll_write(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(conn) => Pin::new(conn).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(conn) => Pin::new(conn).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.turn.is_cut() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        match &mut self.transport {
            Transport::Plain(conn) => Pin::new(conn).poll_write_vectored(cx, bufs),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(conn) => conn.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[async_trait]
impl Shutdown for Wire {
    async fn shutdown(&mut self) {
        // A peer that does not take the last bytes must not hold the task.
        let _ = timeout(CLOSE_TIME, AsyncWriteExt::shutdown(self)).await;
    }
}

impl UniqueID for Wire {
    fn id(&self) -> UniqueIDType {
        self.conn().id()
    }
}

// Who speaks TLS is told by the arrival.
impl Ssl for Wire {}

impl Peek for Wire {}

impl GetTimingDigest for Wire {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Wire {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Wire {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.conn().digest())
    }
}
