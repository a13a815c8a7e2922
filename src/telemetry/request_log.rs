//! One line for each request, in the form that was asked for ([`super::lines`]).
//!
//! Requests hand their line to a bounded queue and go on; a thread writes. A slow or broken
//! reader of our standard output costs lines, which are counted, and never requests. It must
//! not know metrics, and no token, query value or body is ever handed to it.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::lines::write_line;
use super::record::{RequestHead, RequestRecord};
use crate::config::LogFormat;

/// How long lines gather before they are written. Waking the writer and asking the system once
/// for each line would cost a busy gateway more than checking a credential does.
const GATHER: Duration = Duration::from_millis(10);

/// A buffer that a burst made larger than this is given back.
const KEPT_BYTES: usize = 1 << 20;

/// How long the last lines may take to be written at the end.
const FAREWELL: Duration = Duration::from_secs(2);

thread_local! {
    /// Where a thread writes its lines before they are queued.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The request log. Dropping it writes what is queued, for two seconds at most.
#[derive(Debug)]
pub struct RequestLog {
    queue: Arc<Queue>,
    /// Ends when the writer has. The lock is never contended: only dropping looks at it.
    writer: Mutex<Receiver<()>>,
    format: LogFormat,
}

/// What waits for the writer.
#[derive(Debug)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Tells the writer that there is something to do again.
    stirred: Condvar,
    capacity: usize,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    text: Vec<u8>,
    lines: usize,
    closing: bool,
}

impl RequestLog {
    /// Writes to standard output; at most `capacity` lines wait.
    #[must_use]
    pub fn stdout(capacity: usize) -> Self {
        Self::to(io::stdout(), capacity)
    }

    /// Writes to anything.
    #[must_use]
    pub fn to(out: impl Write + Send + 'static, capacity: usize) -> Self {
        let queue = Arc::new(Queue {
            waiting: Mutex::default(),
            stirred: Condvar::new(),
            capacity: capacity.max(1),
            dropped: AtomicU64::new(0),
        });
        let (ended, writer) = mpsc::sync_channel(1);
        let lines = Arc::clone(&queue);
        let spawned = thread::Builder::new().name("request-log".into()).spawn(move || {
            lines.write_all(out);
            drop(ended);
        });
        if let Err(error) = spawned {
            // Nobody will ever write: every line counts as dropped.
            queue.waiting.lock().closing = true;
            tracing::error!(%error, "the request log cannot be written");
        }
        Self { queue, writer: Mutex::new(writer), format: LogFormat::default() }
    }

    /// The same log, with lines of this form.
    #[must_use]
    pub fn in_format(mut self, format: LogFormat) -> Self {
        self.format = format;
        self
    }

    /// Queues the line of a request; drops it if the queue is full.
    pub fn write(&self, record: &RequestRecord<'_>) {
        self.write_with(record, RequestHead::default);
    }

    /// The same, with what is known of the request's head; `json` has no place for that, and does
    /// not ask.
    pub fn write_with<'a>(
        &self,
        record: &RequestRecord<'_>,
        head: impl FnOnce() -> RequestHead<'a>,
    ) {
        let head = match self.format {
            LogFormat::Json => RequestHead::default(),
            LogFormat::Ecs | LogFormat::Combined => head(),
        };
        LINE.with_borrow_mut(|line| {
            line.clear();
            write_line(line, self.format, record, &head);
            self.queue.push(line);
        });
    }

    /// Queues a line that is written already.
    pub(super) fn push(&self, line: &[u8]) {
        self.queue.push(line);
    }

    /// How many lines were lost.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.queue.dropped.load(Ordering::Relaxed)
    }

    /// Reads [`RequestLog::dropped`] without holding the log.
    pub fn dropped_reader(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let queue = Arc::clone(&self.queue);
        move || queue.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        self.queue.waiting.lock().closing = true;
        self.queue.stirred.notify_one();
        if self.writer.get_mut().recv_timeout(FAREWELL) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the request log was not written to its end");
        }
    }
}

impl Queue {
    fn push(&self, line: &[u8]) {
        let mut waiting = self.waiting.lock();
        if waiting.closing || waiting.lines >= self.capacity {
            drop(waiting);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.text.extend_from_slice(line);
        waiting.lines += 1;
        if waiting.lines == 1 {
            self.stirred.notify_one();
        }
    }

    /// Writes until the log is dropped. Lines gather for a moment first; two buffers take turns.
    fn write_all(&self, mut out: impl Write) {
        let mut taken = Vec::new();
        loop {
            let mut waiting = self.waiting.lock();
            while waiting.lines == 0 && !waiting.closing {
                self.stirred.wait(&mut waiting);
            }
            if !waiting.closing {
                self.stirred.wait_for(&mut waiting, GATHER);
            }
            let (lines, closing) = (std::mem::take(&mut waiting.lines), waiting.closing);
            std::mem::swap(&mut taken, &mut waiting.text);
            drop(waiting);
            if out.write_all(&taken).and_then(|()| out.flush()).is_err() {
                self.dropped.fetch_add(u64::try_from(lines).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
            taken.clear();
            taken.shrink_to(KEPT_BYTES);
            if closing {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::record::sample;
    use super::*;

    /// Keeps what is written, and waits for leave before it takes anything.
    #[derive(Clone, Default)]
    struct Paper {
        text: Arc<Mutex<Vec<u8>>>,
        gate: Arc<Mutex<()>>,
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _leave = self.gate.lock().unwrap();
            self.text.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn dropping_the_log_writes_what_is_queued() {
        let paper = Paper::default();
        let log = RequestLog::to(paper.clone(), 100);
        for _ in 0..50 {
            log.write(&sample());
        }
        drop(log);
        let written = paper.text.lock().unwrap();
        assert_eq!(written.split(|b| *b == b'\n').count() - 1, 50);
    }

    #[test]
    fn a_full_queue_costs_lines_and_no_time() {
        let paper = Paper::default();
        let log = RequestLog::to(paper.clone(), 2);
        let hold = paper.gate.lock().unwrap();
        for _ in 0..1_000 {
            log.write(&sample());
        }
        let dropped = log.dropped();
        assert!(dropped > 0);
        assert_eq!((log.dropped_reader())(), dropped);
        drop(hold);
        drop(log);
        let written = paper.text.lock().unwrap();
        let lines = written.split(|b| *b == b'\n').count() - 1;
        assert_eq!(lines as u64 + dropped, 1_000);
    }

    #[test]
    fn a_broken_reader_is_survived() {
        let log = RequestLog::to(Broken, 10);
        for _ in 0..10_000 {
            log.write(&sample());
        }
        drop(log);
    }
}
