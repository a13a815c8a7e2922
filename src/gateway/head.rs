//! Reads one whole request head, bounded in time and size, before anybody parses it.
//!
//! Pingora's own limits are per read: a byte now and then holds a connection for ever. Here
//! one deadline covers the head, and it has ended before Pingora sees the first byte, so it
//! can never cut a body or a WebSocket. Only the shape of the lines is looked at; what they
//! mean is [`super::vet`]'s business.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, Sleep, sleep_until};

/// What is read at once; most heads fit.
const PIECE: usize = 4096;

/// How long and how large a head may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadLimits {
    /// For the first byte: idle time between requests, or the head's time on a new connection.
    pub(super) first_byte: Duration,
    /// For the whole head, from its first byte on.
    pub(super) whole: Duration,
    /// In bytes, with the empty line.
    pub(super) bytes: usize,
}

/// How the wait for a head ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// Complete; it ends before this offset. What follows belongs to the body.
    Ready(usize),
    /// The client closed, or the gateway stops and nothing had been sent.
    Closed,
    /// Nothing was sent.
    Idle,
    /// Started, but not complete in time.
    Slow,
    /// Longer than allowed.
    Large,
    /// The lines are malformed.
    Malformed(&'static str),
}

/// The one timer of a connection. What is waited for comes in time nearly always; so a later
/// deadline is only noted, and the timer is set anew when it fires, or when it would be too late.
pub(super) struct Alarm {
    timer: Pin<Box<Sleep>>,
    due: Instant,
}

impl Alarm {
    pub(super) fn new(due: Instant) -> Self {
        Self { timer: Box::pin(sleep_until(due)), due }
    }

    pub(super) fn set(&mut self, due: Instant) {
        self.due = due;
        if due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if self.due <= self.timer.deadline() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.due);
        }
    }

    /// `None` if the deadline was reached first.
    pub(super) async fn within<W: Future>(&mut self, work: W) -> Option<W::Output> {
        let mut work = pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll(cx).map(|()| None),
        })
        .await
    }
}

/// Reads until the head in `buffer` is complete. `closed` ends when the gateway stops; after
/// [`Head::Closed`] it must not be used again.
pub(super) async fn read_head<R: AsyncRead + Unpin + ?Sized>(
    io: &mut R,
    buffer: &mut BytesMut,
    limits: HeadLimits,
    alarm: &mut Alarm,
    mut closed: Pin<&mut impl Future<Output = ()>>,
) -> Head {
    if buffer.is_empty() {
        buffer.reserve(PIECE);
        alarm.set(Instant::now() + limits.first_byte);
        // The only place where a stop may close the connection: between requests.
        let read = tokio::select! {
            biased;
            read = alarm.within(io.read_buf(buffer)) => read,
            () = closed.as_mut() => return Head::Closed,
        };
        match read {
            None => return Head::Idle,
            Some(Ok(read)) if read > 0 => {}
            Some(_) => return Head::Closed,
        }
    }
    let (mut scanned, mut has_deadline) = (0, false);
    loop {
        match scan(buffer, &mut scanned) {
            Err(why) => return Head::Malformed(why),
            Ok(true) if scanned > limits.bytes => return Head::Large,
            Ok(true) => return Head::Ready(scanned),
            Ok(false) if buffer.len() > limits.bytes => return Head::Large,
            Ok(false) => {}
        }
        buffer.reserve(PIECE);
        if !std::mem::replace(&mut has_deadline, true) {
            // One deadline for all that is missing.
            alarm.set(Instant::now() + limits.whole);
        }
        match alarm.within(io.read_buf(buffer)).await {
            None => return Head::Slow,
            Some(Ok(read)) if read > 0 => {}
            Some(_) => return Head::Closed,
        }
    }
}

/// Looks for the end of the head from `from` on, and moves `from` there.
///
/// Must agree with Pingora's parser about where the head ends, otherwise Pingora would read
/// on without a deadline. That holds because of the two refusals: a line end without CR, and
/// an empty line in front (RFC 9112 lets a server skip it; nothing current sends one).
fn scan(bytes: &[u8], from: &mut usize) -> Result<bool, &'static str> {
    while let Some(found) = memchr::memchr(b'\n', &bytes[*from..]) {
        let at = *from + found;
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err("a line of the head does not end with CRLF");
        }
        if at == 1 {
            return Err("the head starts with an empty line");
        }
        *from = at + 1;
        if at >= 3 && bytes[at - 2] == b'\n' {
            return Ok(true);
        }
    }
    *from = bytes.len();
    Ok(false)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        first_byte: Duration::from_secs(30),
        whole: Duration::from_secs(10),
        bytes: 200,
    };

    /// Sends the pieces, one each second of the paused clock, and reads one head.
    async fn read(pieces: &[&[u8]]) -> (Head, BytesMut) {
        let (mut client, mut server) = tokio::io::duplex(4096);
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let sender = tokio::spawn(async move {
            for piece in pieces {
                client.write_all(&piece).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            std::future::pending::<()>().await;
        });
        let mut buffer = BytesMut::new();
        let (mut alarm, never) = (Alarm::new(Instant::now()), pin!(std::future::pending()));
        let head = read_head(&mut server, &mut buffer, LIMITS, &mut alarm, never).await;
        sender.abort();
        (head, buffer)
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_in_pieces_is_complete_at_its_empty_line() {
        let (head, buffer) = read(&[b"GET / HT", b"TP/1.1\r", b"\nHost: a\r\n\r", b"\nbody"]).await;
        assert_eq!(head, Head::Ready(27));
        assert_eq!(&buffer[27..], b"body");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dripped_head_is_cut_at_the_deadline() {
        let drip: Vec<&[u8]> = std::iter::once(&b"GET / HTTP/1.1\r\n"[..])
            .chain(std::iter::repeat_n(&b"X"[..], 30))
            .collect();
        let start = Instant::now();
        assert_eq!(read(&drip).await.0, Head::Slow);
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_idle_and_not_slow() {
        assert_eq!(read(&[]).await.0, Head::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn one_timer_serves_deadlines_that_come_later_and_earlier() {
        let (_client, mut server) = tokio::io::duplex(64);
        let (mut buffer, mut alarm) = (BytesMut::new(), Alarm::new(Instant::now()));
        for seconds in [5, 60, 2] {
            let start = Instant::now();
            let limits = HeadLimits { first_byte: Duration::from_secs(seconds), ..LIMITS };
            let never = pin!(std::future::pending());
            let head = read_head(&mut server, &mut buffer, limits, &mut alarm, never).await;
            assert_eq!((head, start.elapsed().as_secs()), (Head::Idle, seconds));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_over_the_limit_is_large_complete_or_not() {
        let long = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(200));
        assert_eq!(read(&[long.as_bytes()]).await.0, Head::Large);
        let whole = format!("{long}\r\n\r\n");
        assert_eq!(read(&[whole.as_bytes()]).await.0, Head::Large);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_of_exactly_the_limit_is_taken() {
        let fixed = "GET / HTTP/1.1\r\nX: \r\n\r\n".len();
        let whole = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(200 - fixed));
        assert_eq!(read(&[whole.as_bytes()]).await.0, Head::Ready(200));
    }

    #[tokio::test(start_paused = true)]
    async fn bare_line_feeds_and_leading_empty_lines_are_malformed() {
        for bytes in [&b"GET / HTTP/1.1\nHost: a\n\n"[..], b"\r\nGET / HTTP/1.1\r\n\r\n", b"\n"] {
            assert!(matches!(read(&[bytes]).await.0, Head::Malformed(_)), "{bytes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_closes_an_idle_connection_but_lets_a_started_head_finish() {
        let (mut client, mut server) = tokio::io::duplex(4096);
        let (mut buffer, mut alarm) = (BytesMut::new(), Alarm::new(Instant::now()));
        let closed = pin!(std::future::ready(()));
        let head = read_head(&mut server, &mut buffer, LIMITS, &mut alarm, closed).await;
        assert_eq!(head, Head::Closed);

        buffer.extend_from_slice(b"GET / HTTP/1.1\r\n");
        client.write_all(b"Host: a\r\n\r\n").await.unwrap();
        let closed = pin!(std::future::ready(()));
        let head = read_head(&mut server, &mut buffer, LIMITS, &mut alarm, closed).await;
        assert_eq!(head, Head::Ready(27));
    }
}
