//! How a request came to us: what the accept loop knows and the phases need.
//!
//! Travels beside Pingora in a task local, because Pingora's session has no place for it and
//! runs all phases in the task that handed it the request.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderValue, Method, Uri};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::live::Live;
use super::record::Recorder;
use super::request::Request;
use super::wire::Turn;
use crate::gate::{Grounds, address_value};
use crate::model::Timestamp;

tokio::task_local! {
    static ARRIVAL: Arc<Arrival>;
}

/// What all requests of a connection have in common.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// The client, on a PROXY listener as the header names it; `None` on a unix socket.
    pub(super) peer: Option<IpAddr>,
    /// The client's address as it is told to others.
    pub(super) peer_text: Option<HeaderValue>,
    /// Our end of the connection.
    pub(super) local: Option<SocketAddr>,
    pub(super) scheme: &'static str,
    /// The name that the TLS client asked for.
    pub(super) server_name: Option<Arc<str>>,
}

impl Origin {
    /// Without TLS.
    pub(super) fn of(peer: Option<IpAddr>, local: Option<SocketAddr>) -> Self {
        let peer_text = peer.map(address_value);
        Self { peer, peer_text, local, scheme: "http", server_name: None }
    }
}

/// One request's arrival.
pub(super) struct Arrival {
    /// `None` on a unix socket.
    pub(super) peer: Option<IpAddr>,
    pub(super) peer_text: Option<HeaderValue>,
    /// Our end of the connection.
    pub(super) local: Option<SocketAddr>,
    pub(super) scheme: &'static str,
    pub(super) at: Timestamp,
    pub(super) since: Instant,
    reached: AtomicBool,
    abandoned: AtomicBool,
    stream: AtomicBool,
    /// The request, judged already, for whoever takes it over.
    handed_over: Mutex<Option<Box<Request>>>,
    /// What the passage of the request rests on, and who is to be asked about it.
    grounds: Mutex<Option<(Arc<Live>, Grounds)>>,
    /// There once its work is about to be dropped where it stands.
    last_words: Mutex<Option<Box<LastWords>>>,
    turn: Turn,
}

/// What it takes to tell of a request whose session is out of reach.
pub(super) struct LastWords {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) recorder: Recorder,
}

impl Arrival {
    pub(super) fn new(origin: &Origin, at: Timestamp) -> Self {
        let Origin { peer, local, scheme, .. } = *origin;
        let peer_text = origin.peer_text.clone();
        let (reached, abandoned) = (AtomicBool::new(false), AtomicBool::new(false));
        let (since, turn) = (Instant::now(), Turn::default());
        let (stream, grounds) = (AtomicBool::new(false), Mutex::new(None));
        let (handed_over, last_words) = (Mutex::new(None), Mutex::new(None));
        Self {
            peer,
            peer_text,
            local,
            scheme,
            at,
            since,
            reached,
            abandoned,
            stream,
            handed_over,
            grounds,
            last_words,
            turn,
        }
    }

    /// Of a request that nobody saw arrive: a stranger's.
    pub(super) fn unseen(at: Timestamp) -> Self {
        Self::new(&Origin::of(None, None), at)
    }

    /// The same, over a connection with this turn.
    pub(super) fn over(self, turn: Turn) -> Self {
        Self { turn, ..self }
    }

    /// Leaves the request to whoever takes it over.
    pub(super) fn hand_over(&self, request: Box<Request>) {
        *self.handed_over.lock() = Some(request);
    }

    /// The request that was left, if one was.
    pub(super) fn take_over(&self) -> Option<Box<Request>> {
        self.handed_over.lock().take()
    }

    /// The request has been read to its end: what the client sends now is its next one.
    pub(super) fn is_heard_out(&self) {
        self.turn.take();
    }

    /// The request passes on these grounds; they are asked about while it lasts.
    pub(super) fn passes_on(&self, live: &Arc<Live>, grounds: Grounds) {
        *self.grounds.lock() = Some((Arc::clone(live), grounds));
    }

    /// Nobody knows when the answer ends.
    pub(super) fn streams(&self) {
        self.stream.store(true, Ordering::Relaxed);
    }

    /// Whether that is so.
    pub(super) fn is_stream(&self) -> bool {
        self.stream.load(Ordering::Relaxed)
    }

    /// Whether these grounds still hold; without any, they do.
    pub(super) async fn still_passes(&self) -> bool {
        let grounds = self.grounds.lock().clone();
        match grounds {
            Some((live, grounds)) => live.gate.still_holds(&grounds).await,
            None => true,
        }
    }

    /// Ends what is under way on the connection.
    pub(super) fn cut(&self) {
        self.turn.cut();
    }

    /// Whether it was ended so.
    pub(super) fn is_cut(&self) -> bool {
        self.turn.is_cut()
    }

    /// Likewise where the connection goes on without it: its work is to be dropped now.
    pub(super) fn cut_saying(&self, words: LastWords) {
        self.cut();
        *self.last_words.lock() = Some(Box::new(words));
    }

    /// What was said at that, once.
    pub(super) fn last_words(&self) -> Option<Box<LastWords>> {
        if self.is_cut() { self.last_words.lock().take() } else { None }
    }

    /// The client went away before there was an answer.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Runs `work` so that its phases find this arrival.
    pub(super) async fn around<W: Future>(self: &Arc<Self>, work: W) -> W::Output {
        ARRIVAL.scope(Arc::clone(self), work).await
    }

    /// The arrival of the request that this task works on.
    pub(super) fn current() -> Option<Arc<Self>> {
        ARRIVAL.try_with(Arc::clone).ok()
    }

    /// The phases have begun.
    pub(super) fn reach_phases(&self) {
        self.reached.store(true, Ordering::Relaxed);
    }

    /// Whether the phases have begun. If not, Pingora itself refused the request.
    pub(super) fn has_reached_phases(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }
}
