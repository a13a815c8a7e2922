//! A raw HTTP/1.1 client and a scripted upstream, for tests that care about every byte.
//!
//! No library in between repairs what is sent or hides what comes back. Everything has a time
//! limit, every port is the system's choice. A test says `Client::connect`, `send` and
//! `answer`; an [`App`] answers as its script says and remembers what it was sent.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "shared by two test binaries: each takes what it needs, and helpers may fail a test"
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// Longer than anything a test waits for on purpose.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// One connection to the gateway.
pub(crate) struct Client {
    socket: TcpStream,
    unread: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In the order of the wire; names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The only value of a header; fails on several.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        only(&self.headers, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let socket = limited("connect", TcpStream::connect(address)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, unread: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        limited("send", self.socket.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Sends what the other side may no longer want.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = limited("send", self.socket.write_all(bytes.as_ref())).await;
    }

    /// The next final answer; 1xx before it are passed over, but for 101.
    pub(crate) async fn answer(&mut self) -> Answer {
        loop {
            let answer = self.next(Body::ByHead).await;
            if answer.status == 101 || answer.status >= 200 {
                return answer;
            }
        }
    }

    /// The next head, 1xx too, without a body.
    pub(crate) async fn head(&mut self) -> Answer {
        self.next(Body::None).await
    }

    pub(crate) async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Answer {
        self.send(bytes).await;
        self.answer().await
    }

    /// Whether the other side closes now, with nothing unread before it.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && !self.fill().await
    }

    /// Raw bytes, as on an upgraded connection.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            assert!(self.fill().await, "closed after {:?}", self.unread);
        }
        self.unread.drain(..count).collect()
    }

    /// Everything until the end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.unread)
    }

    pub(crate) async fn finish_sending(&mut self) {
        let _ = self.socket.shutdown().await;
    }

    async fn next(&mut self, body: Body) -> Answer {
        let head = self.until(b"\r\n\r\n").await;
        let (first, headers) = parse(&head);
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in {first:?}"));
        let mut answer = Answer { status, headers, body: Vec::new() };
        if body == Body::None || status < 200 || matches!(status, 204 | 304) {
            return answer;
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let line = self.until(b"\r\n").await;
                let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
                let piece = self.take(size + 2).await;
                answer.body.extend_from_slice(&piece[..size]);
                if size == 0 {
                    return answer;
                }
            }
        }
        if let Some(length) = answer.header("content-length") {
            answer.body = self.take(length.parse().unwrap()).await;
        } else {
            answer.body = self.rest().await;
        }
        answer
    }

    async fn until(&mut self, mark: &[u8]) -> String {
        loop {
            if let Some(at) = self.unread.windows(mark.len()).position(|bytes| bytes == mark) {
                let bytes: Vec<u8> = self.unread.drain(..at + mark.len()).collect();
                return String::from_utf8_lossy(&bytes).into_owned();
            }
            assert!(self.fill().await, "closed after {:?}", String::from_utf8_lossy(&self.unread));
        }
    }

    /// False at the end; a reset is an end.
    async fn fill(&mut self) -> bool {
        let read = limited("receive", self.socket.read_buf(&mut self.unread)).await;
        matches!(read, Ok(read) if read > 0)
    }
}

#[derive(PartialEq, Eq)]
enum Body {
    ByHead,
    None,
}

/// What an application was sent.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Counts the connections to the application.
    pub(crate) connection: usize,
    /// The request line.
    pub(crate) line: String,
    /// In the order of the wire; names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    /// The head byte for byte.
    pub(crate) raw: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// The only value of a header; fails on several.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        only(&self.headers, name)
    }
}

/// What an application does with a request.
pub(crate) enum Act {
    /// Sends these bytes and waits for the next request.
    Say(Vec<u8>),
    /// Sends these bytes and closes.
    Last(Vec<u8>),
    /// Says nothing and keeps the connection.
    Hang,
    /// Sends these bytes, then sends back whatever it gets.
    Echo(Vec<u8>),
}

impl Act {
    /// A 200 with a text.
    pub(crate) fn ok(text: &str) -> Self {
        let length = text.len();
        Self::Say(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}").into_bytes())
    }
}

/// An application behind the gateway.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    accepting: JoinHandle<()>,
}

impl App {
    /// Answers `ok` to everything.
    pub(crate) async fn plain() -> Self {
        Self::start(|_| Act::ok("ok")).await
    }

    pub(crate) async fn start(script: impl Fn(&Received) -> Act + Send + Sync + 'static) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), script).await
    }

    /// At an address of the caller's choice.
    pub(crate) async fn at(
        address: SocketAddr,
        script: impl Fn(&Received) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (script, log) = (Arc::new(script), Arc::clone(&received));
        let accepting = tokio::spawn(async move {
            // Ended with the application, as a process that is killed.
            let (mut connection, mut conversations) = (0, JoinSet::new());
            while let Ok((socket, _)) = listener.accept().await {
                connection += 1;
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                conversations.spawn(converse(socket, connection, script, log));
            }
        });
        Self { address, received, accepting }
    }

    /// Everything so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Comes back when so many requests have arrived.
    pub(crate) async fn until_received(&self, count: usize) {
        let arrived = async {
            while self.received.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        };
        limited("a request", arrived).await;
    }

    /// Comes back when so many more requests have arrived.
    pub(crate) async fn until_more(&self, count: usize) {
        let so_far = self.received.lock().unwrap().len();
        self.until_received(so_far + count).await;
    }

    /// Ends it with all of its connections, as if it were a process.
    pub(crate) async fn kill(&mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }

    /// The only request so far.
    pub(crate) fn only(&self) -> Received {
        let mut all = self.received();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn converse(
    socket: TcpStream,
    connection: usize,
    script: Arc<impl Fn(&Received) -> Act + Send + Sync + 'static>,
    log: Arc<Mutex<Vec<Received>>>,
) {
    let mut client = Client { socket, unread: Vec::new() };
    loop {
        while !client.unread.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            if !client.fill().await {
                return;
            }
        }
        let raw = client.until(b"\r\n\r\n").await.into_bytes();
        let (line, headers) = parse(&String::from_utf8_lossy(&raw));
        let mut request = Received { connection, line, headers, raw, body: Vec::new() };
        let is_continue = request.header("expect").is_some();
        if is_continue {
            client.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        if request.header("transfer-encoding") == Some("chunked") {
            loop {
                let line = client.until(b"\r\n").await;
                let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
                let piece = client.take(size + 2).await;
                request.body.extend_from_slice(&piece[..size]);
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) = request.header("content-length") {
            let length = length.parse().unwrap();
            while client.unread.len() < length {
                if !client.fill().await {
                    return;
                }
            }
            request.body = client.unread.drain(..length).collect();
        }
        let act = script(&request);
        log.lock().unwrap().push(request);
        match act {
            Act::Say(bytes) => client.try_send(bytes).await,
            Act::Last(bytes) => return client.try_send(bytes).await,
            Act::Hang => {
                while client.fill().await {
                    client.unread.clear();
                }
                return;
            }
            Act::Echo(bytes) => {
                client.try_send(bytes).await;
                loop {
                    let bytes = std::mem::take(&mut client.unread);
                    client.try_send(bytes).await;
                    if !client.fill().await {
                        return;
                    }
                }
            }
        }
    }
}

fn parse(head: &str) -> (String, Vec<(String, String)>) {
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    (first, headers.collect())
}

fn only<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut values = headers.iter().filter(|(have, _)| have == name);
    let first = values.next().map(|(_, value)| value.as_str());
    assert!(values.next().is_none(), "more than one {name}: {headers:?}");
    first
}

async fn limited<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what} took too long"))
}
