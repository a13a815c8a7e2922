//! Connections to servers that are kept for the next request, of one worker.
//!
//! Pingora's own pool starts a task for every connection that is put back, to watch it; here
//! somebody looks at all of them once a second, and each is looked at when it is taken. It must not
//! know what they are used for.

use std::time::Duration;

use foldhash::HashMap;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use pingora::protocols::Stream;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep};

use crate::gateway::head::Alarm;
use crate::gateway::upstreams::Peer;

/// How often those are closed that nobody needed, or that their server has closed.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A connection to a server, and its one timer.
pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) alarm: Alarm,
}

impl Connection {
    /// One that was just made.
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, alarm: Alarm::new(Instant::now()) }
    }
}

/// The connections that one worker keeps.
#[derive(Default)]
pub(in crate::gateway) struct Kept {
    all: Mutex<Shelf>,
    most: usize,
}

#[derive(Default)]
struct Shelf {
    /// By what they may be used for: [`Peer::key`].
    idle: HashMap<u64, Vec<Idle>>,
    /// Of all together, so that nobody has to count them for each request.
    count: usize,
}

struct Idle {
    connection: Connection,
    until: Instant,
}

impl Kept {
    /// `most`: to all servers together.
    pub(in crate::gateway) fn new(most: usize) -> Self {
        Self { all: Mutex::default(), most }
    }

    /// One to this peer, the one used last, if there is one that still stands.
    pub(super) fn take(&self, peer: &Peer) -> Option<Connection> {
        let mut all = self.all.lock();
        let Shelf { idle, count } = &mut *all;
        let here = idle.get_mut(&peer.key)?;
        let now = Instant::now();
        loop {
            let mut last = here.pop()?;
            *count -= 1;
            if last.until > now && is_quiet(&mut last.connection.stream) {
                return Some(last.connection);
            }
        }
    }

    /// Keeps one for as long as the peer's are kept.
    pub(super) fn put(&self, peer: &Peer, connection: Connection) {
        let mut all = self.all.lock();
        if all.count < self.most {
            let until = Instant::now() + peer.times.idle;
            all.idle.entry(peer.key).or_default().push(Idle { connection, until });
            all.count += 1;
        }
    }

    /// Closes what has come to its end, for ever.
    pub(in crate::gateway) async fn sweep(&self) {
        loop {
            sleep(SWEEP_EVERY).await;
            let now = Instant::now();
            self.all.lock().close_ended(now);
        }
    }
}

impl Shelf {
    fn close_ended(&mut self, now: Instant) {
        self.idle.retain(|_, here| {
            here.retain_mut(|idle| idle.until > now && is_quiet(&mut idle.connection.stream));
            !here.is_empty()
        });
        self.count = self.idle.values().map(Vec::len).sum();
    }
}

/// Whether its server has neither closed it nor said anything out of turn.
fn is_quiet(stream: &mut Stream) -> bool {
    let mut byte = [0; 1];
    tokio::task::unconstrained(stream.read(&mut byte)).now_or_never().is_none()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pingora::protocols::l4::stream::Stream as SocketStream;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::{Settings, Upstream};
    use crate::gateway::upstreams::Upstreams;
    use crate::telemetry::Metrics;

    fn peer(port: u16, idle: Duration) -> Arc<Peer> {
        let upstream = Upstream {
            name: "app".into(),
            servers: vec![format!("127.0.0.1:{port}")],
            ..Upstream::default()
        };
        let mut settings = Settings { upstreams: vec![upstream], ..Settings::default() };
        settings.limits.upstream_idle_timeout.0 = idle;
        let upstreams = Upstreams::new(&settings, &Metrics::new()).unwrap();
        let picked = upstreams.get("app").unwrap().pick(&[], None).unwrap();
        Arc::clone(picked.peer())
    }

    /// A connection, and its other end.
    async fn connection(listener: &TcpListener) -> (Stream, TcpStream) {
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (theirs, _) = listener.accept().await.unwrap();
        (Box::new(SocketStream::from(ours)), theirs)
    }

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_connection_is_kept_for_its_peer_and_taken_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (kept, here, elsewhere) = (Kept::new(2), peer(1, LONG), peer(2, LONG));
        let (ours, _theirs) = connection(&listener).await;
        kept.put(&here, Connection::new(ours));
        assert!(kept.take(&elsewhere).is_none());
        assert!(kept.take(&here).is_some());
        assert!(kept.take(&here).is_none());
    }

    #[tokio::test]
    async fn one_that_its_server_has_closed_or_spoken_on_is_not_used() {
        use tokio::io::AsyncWriteExt as _;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (kept, here) = (Kept::new(2), peer(1, LONG));
        let (closed, theirs) = connection(&listener).await;
        drop(theirs);
        let (spoken_on, mut theirs) = connection(&listener).await;
        theirs.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
        kept.put(&here, Connection::new(closed));
        kept.put(&here, Connection::new(spoken_on));
        let took = async {
            while kept.all.lock().count > 0 {
                // Whatever has not been heard of yet is given back as good.
                match kept.take(&here) {
                    Some(stream) => kept.put(&here, stream),
                    None => return,
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, took).await.expect("they are found out");
    }

    #[tokio::test]
    async fn none_is_kept_beyond_its_time_or_the_most_that_there_may_be() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (kept, here) = (Kept::new(1), peer(1, Duration::ZERO));
        let (ours, _theirs) = connection(&listener).await;
        kept.put(&here, Connection::new(ours));
        assert!(kept.take(&here).is_none());
        let here = peer(1, LONG);
        let mut others = Vec::new();
        for _ in 0..2 {
            let (ours, theirs) = connection(&listener).await;
            kept.put(&here, Connection::new(ours));
            others.push(theirs);
        }
        assert_eq!(kept.all.lock().count, 1);
        // Room again, once it is used or swept away.
        assert!(kept.take(&here).is_some());
        let (ours, _theirs) = connection(&listener).await;
        kept.put(&here, Connection::new(ours));
        kept.all.lock().close_ended(Instant::now() + 2 * LONG);
        assert_eq!(kept.all.lock().count, 0);
        assert!(kept.take(&here).is_none());
    }
}
