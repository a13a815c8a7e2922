//! One line of JSON for each request, in the words of the Elastic Common Schema.
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
use std::time::{Duration, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};

use super::record::RequestRecord;
use crate::config::LinkPage;
use crate::model::Timestamp;

/// Longer paths are cut: nobody reads them, and a flood of them should not fill a disk.
const MAX_PATH: usize = 1024;

/// How long lines gather before they are written. Waking the writer and asking the system once
/// for each line would cost a busy gateway more than checking a credential does.
const GATHER: Duration = Duration::from_millis(10);

/// A buffer that a burst made larger than this is given back.
const KEPT_BYTES: usize = 1 << 20;

/// How long the last lines may take to be written at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// The last second that RFC 3339 can write.
const END_OF_TIME: u64 = 253_402_300_799_999_999;

const MICROS: u64 = 1_000_000;

thread_local! {
    /// The second of a thread's last line, as it is written.
    static SECOND: RefCell<(Option<u64>, String)> = const { RefCell::new((None, String::new())) };
    /// Where a thread writes its lines before they are queued.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The request log. Dropping it writes what is queued, for two seconds at most.
#[derive(Debug)]
pub struct RequestLog {
    queue: Arc<Queue>,
    /// Ends when the writer has. The lock is never contended: only dropping looks at it.
    writer: Mutex<Receiver<()>>,
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
        Self { queue, writer: Mutex::new(writer) }
    }

    /// Queues the line of a request; drops it if the queue is full.
    pub fn write(&self, record: &RequestRecord<'_>) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            write_line(line, record);
            self.queue.push(line);
        });
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

fn write_line(line: &mut Vec<u8>, record: &RequestRecord<'_>) {
    let mut line = Line(line);
    line.word("{\"@timestamp\":\"");
    line.time(record.at);
    line.text("\",\"http.request.method\":", record.method);
    line.number(",\"http.response.status_code\":", record.status);
    line.text(",\"url.path\":", path(record.path));
    line.some_text(",\"source.ip\":", record.peer);
    line.some_text(",\"client.ip\":", record.client);
    line.some_text(",\"user.id\":", record.user_id);
    line.some_text(",\"user.name\":", record.user_name);
    line.text(",\"http.request.id\":", record.request_id);
    let nanos = u64::try_from(record.duration.as_nanos()).unwrap_or(u64::MAX);
    line.number(",\"event.duration\":", nanos);
    line.some_text(",\"portcullis.route\":", record.route);
    line.text(",\"portcullis.decision\":", record.decision.as_str());
    line.text(",\"portcullis.reason\":", record.reason);
    line.some_text(",\"portcullis.mode\":", record.is_observed.then_some("observe"));
    line.text(",\"portcullis.credential\":", record.credential);
    line.some_text(",\"portcullis.tier\":", record.check.map(|check| check.tier.as_str()));
    line.some_text(",\"portcullis.asked_by\":", record.asked_by);
    line.some_text(",\"portcullis.upstream\":", record.upstream);
    line.word("}\n");
}

/// Without the query, which may carry secrets, without the token of a mailed link, and not endless.
fn path(path: &str) -> &str {
    let end = memchr::memchr2(b'?', b'#', path.as_bytes()).unwrap_or(path.len());
    let end = link(path).map_or(end, |link| link.min(end));
    let end = (0..=MAX_PATH.min(end)).rev().find(|at| path.is_char_boundary(*at));
    &path[..end.unwrap_or(0)]
}

/// Where the rest of a page's path begins: who has it can set a password. However the path was
/// mangled, as far as it shows the page.
fn link(path: &str) -> Option<usize> {
    memchr::memmem::find(path.as_bytes(), b"/pages/")?;
    let begins = |page: LinkPage| Some(path.find(page.path())? + page.path().len());
    LinkPage::ALL.into_iter().filter_map(begins).min().filter(|at| &path[*at..] != "done/")
}

/// A flat JSON object that is being written. Writing to memory cannot fail.
struct Line<'a>(&'a mut Vec<u8>);

impl Line<'_> {
    /// Punctuation and keys, as they stand.
    fn word(&mut self, word: &'static str) {
        self.0.extend_from_slice(word.as_bytes());
    }

    fn number(&mut self, before: &'static str, value: impl itoa::Integer) {
        self.word(before);
        self.0.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// As RFC 3339 has it, to the microsecond. The second is written out once, not for each line.
    fn time(&mut self, at: Timestamp) {
        let micros = u64::try_from(at.micros()).unwrap_or(0).min(END_OF_TIME);
        let (second, micros) = (micros / MICROS, micros % MICROS);
        SECOND.with_borrow_mut(|(written, text)| {
            if *written != Some(second) {
                let moment = UNIX_EPOCH + Duration::from_secs(second);
                *text = humantime::format_rfc3339_seconds(moment).to_string();
                text.pop(); // the Z
                *written = Some(second);
            }
            self.0.extend_from_slice(text.as_bytes());
        });
        // A one in front keeps the zeros.
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(MICROS + micros);
        self.word(".");
        self.0.extend_from_slice(&digits.as_bytes()[1..]);
        self.word("Z");
    }

    /// Text of whatever origin.
    fn text(&mut self, before: &'static str, value: &str) {
        self.word(before);
        let _ = serde_json::to_writer(&mut *self.0, value);
    }

    fn some_text(&mut self, before: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(before, value);
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

    fn text(record: &RequestRecord<'_>) -> String {
        let mut line = Vec::new();
        write_line(&mut line, record);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_request_is_one_line_of_json() {
        let expected = concat!(
            r#"{"@timestamp":"2023-11-14T22:13:20.000042Z","http.request.method":"GET","#,
            r#""http.response.status_code":200,"url.path":"/app/x","source.ip":"192.0.2.1","#,
            r#""client.ip":"203.0.113.9","user.id":"7","user.name":"ada","http.request.id":"00ff","#,
            r#""event.duration":1500000,"portcullis.route":"/app","portcullis.decision":"allow","#,
            r#""portcullis.reason":"authenticated","portcullis.credential":"jwt","portcullis.tier":"l1","#,
            r#""portcullis.upstream":"app"}"#,
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
    fn the_token_of_a_mailed_link_is_left_out() {
        for (requested, written) in [
            ("/auth/pages/password/MQ/diqrgt-0123/", "/auth/pages/password/"),
            ("/auth/pages/activation/MQ/diqrgt-0123", "/auth/pages/activation/"),
            ("//auth//x/../pages/username/MQ/a-b/?c", "//auth//x/../pages/username/"),
            ("/auth/pages/password/", "/auth/pages/password/"),
            ("/auth/pages/password/done/", "/auth/pages/password/done/"),
            ("/pages/about/us", "/pages/about/us"),
        ] {
            assert_eq!(path(requested), written, "{requested}");
        }
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
            let at = Timestamp::from_micros(micros);
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
