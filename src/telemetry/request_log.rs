//! One line of JSON for each request, in the words of the Elastic Common Schema.
//!
//! Requests hand their line to a bounded queue and go on; a thread writes. A slow or broken
//! reader of our standard output costs lines, which are counted, and never requests. It must
//! not know metrics, and no token, query value or body is ever handed to it.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use parking_lot::Mutex;

use super::record::RequestRecord;

/// Longer paths are cut: nobody reads them, and a flood of them should not fill a disk.
const MAX_PATH: usize = 1024;

/// How long the last lines may take to be written at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// The last second that RFC 3339 can write.
const END_OF_TIME: u64 = 253_402_300_799_999_999;

/// The request log. Dropping it writes what is queued, for two seconds at most.
#[derive(Debug)]
pub struct RequestLog {
    /// None once it is closing.
    queue: Option<SyncSender<Vec<u8>>>,
    /// Ends when the writer has. The lock is never contended: only dropping looks at it.
    writer: Mutex<Receiver<()>>,
    dropped: Arc<AtomicU64>,
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
        let (queue, lines) = mpsc::sync_channel(capacity.max(1));
        let (ended, writer) = mpsc::sync_channel(1);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&dropped);
        let spawned = thread::Builder::new().name("request-log".into()).spawn(move || {
            write_lines(&lines, out, &lost);
            drop(ended);
        });
        if let Err(error) = spawned {
            // The receiver went with the thread: every line counts as dropped.
            tracing::error!(%error, "the request log cannot be written");
        }
        Self { queue: Some(queue), writer: Mutex::new(writer), dropped }
    }

    /// Queues the line of a request; drops it if the queue is full.
    pub fn write(&self, record: &RequestRecord<'_>) {
        let queued = self.queue.as_ref().is_some_and(|q| q.try_send(line(record)).is_ok());
        if !queued {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many lines were lost.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Reads [`RequestLog::dropped`] without holding the log.
    pub fn dropped_reader(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let dropped = Arc::clone(&self.dropped);
        move || dropped.load(Ordering::Relaxed)
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        self.queue = None;
        if self.writer.get_mut().recv_timeout(FAREWELL) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the request log was not written to its end");
        }
    }
}

/// Writes until the last sender is gone; flushes whenever the queue is empty.
fn write_lines(lines: &Receiver<Vec<u8>>, out: impl Write, lost: &AtomicU64) {
    let mut out = BufWriter::with_capacity(64 * 1024, out);
    while let Ok(first) = lines.recv() {
        for line in std::iter::once(first).chain(lines.try_iter()) {
            if out.write_all(&line).is_err() {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        // What cannot be flushed stays in the buffer; when that is full, lines are lost.
        let _ = out.flush();
    }
}

fn line(record: &RequestRecord<'_>) -> Vec<u8> {
    let micros = u64::try_from(record.at.micros()).unwrap_or(0).min(END_OF_TIME);
    let at = humantime::format_rfc3339_micros(UNIX_EPOCH + Duration::from_micros(micros));
    let mut line = Line(Vec::with_capacity(640));
    line.raw("@timestamp", &format_args!("\"{at}\""));
    line.text("http.request.method", record.method);
    line.raw("http.response.status_code", &record.status);
    line.text("url.path", path(record.path));
    if let Some(peer) = record.peer {
        line.raw("source.ip", &format_args!("\"{peer}\""));
    }
    if let Some(client) = record.client {
        line.raw("client.ip", &format_args!("\"{client}\""));
    }
    line.some_text("user.id", record.user_id);
    line.some_text("user.name", record.user_name);
    line.text("http.request.id", record.request_id);
    line.raw("event.duration", &record.duration.as_nanos());
    line.some_text("portcullis.route", record.route);
    line.text("portcullis.decision", record.decision.as_str());
    line.text("portcullis.reason", record.reason);
    line.text("portcullis.credential", record.credential);
    line.some_text("portcullis.upstream", record.upstream);
    line.end()
}

/// Without the query, which may carry secrets, and not endless.
fn path(path: &str) -> &str {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let end = (0..=MAX_PATH.min(path.len())).rev().find(|at| path.is_char_boundary(*at));
    &path[..end.unwrap_or(0)]
}

/// A flat JSON object that is being written. Writing to memory cannot fail.
struct Line(Vec<u8>);

impl Line {
    fn key(&mut self, key: &'static str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        let _ = write!(self.0, "\"{key}\":");
    }

    /// A value that is JSON as it stands.
    fn raw(&mut self, key: &'static str, value: &dyn std::fmt::Display) {
        self.key(key);
        let _ = write!(self.0, "{value}");
    }

    /// Text of whatever origin.
    fn text(&mut self, key: &'static str, value: &str) {
        self.key(key);
        let _ = serde_json::to_writer(&mut self.0, value);
    }

    fn some_text(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
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

    fn text(record: &RequestRecord<'_>) -> String {
        String::from_utf8(line(record)).unwrap()
    }

    #[test]
    fn a_request_is_one_line_of_json() {
        let expected = concat!(
            r#"{"@timestamp":"2023-11-14T22:13:20.000042Z","http.request.method":"GET","#,
            r#""http.response.status_code":200,"url.path":"/app/x","source.ip":"192.0.2.1","#,
            r#""client.ip":"203.0.113.9","user.id":"7","user.name":"ada","http.request.id":"00ff","#,
            r#""event.duration":1500000,"portcullis.route":"/app","portcullis.decision":"allow","#,
            r#""portcullis.reason":"authenticated","portcullis.credential":"jwt","portcullis.upstream":"app"}"#,
            "\n"
        );
        assert_eq!(text(&sample()), expected);
    }

    #[test]
    fn what_clients_write_cannot_leave_its_place() {
        let nasty = "/a\"},{\n\r\t\u{1b}[31m\\\u{2028}é";
        let record =
            RequestRecord { path: nasty, method: "G\"T", user_name: Some(nasty), ..sample() };
        let line = text(&record);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains('\u{1b}'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["url.path"], nasty);
        assert_eq!(value["http.request.method"], "G\"T");
    }

    #[test]
    fn queries_are_left_out_and_long_paths_cut() {
        let value = |path: &str| {
            let line = text(&RequestRecord { path, ..sample() });
            serde_json::from_str::<serde_json::Value>(&line).unwrap()["url.path"].clone()
        };
        assert_eq!(value("/x?token=secret"), "/x");
        assert_eq!(value("/x#secret"), "/x");
        assert_eq!(value(&"é".repeat(1024)), "é".repeat(512));
        assert_eq!(value(&format!("/{}", "é".repeat(1024))), format!("/{}", "é".repeat(511)));
    }

    #[test]
    fn times_beyond_the_calendar_do_not_panic() {
        for micros in [i64::MIN, -1, i64::MAX] {
            let at = crate::model::Timestamp::from_micros(micros);
            let line = text(&RequestRecord { at, ..sample() });
            assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
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
