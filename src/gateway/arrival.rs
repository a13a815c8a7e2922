//! How a request came to us: what the accept loop knows and the phases need.
//!
//! Travels beside Pingora in a task local, because Pingora's session has no place for it and
//! runs all phases in the task that handed it the request.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use super::conn::Turn;
use crate::model::Timestamp;

tokio::task_local! {
    static ARRIVAL: Arc<Arrival>;
}

/// One request's arrival.
#[derive(Debug)]
pub(super) struct Arrival {
    /// `None` on a unix socket.
    pub(super) peer: Option<IpAddr>,
    /// Our end of the connection.
    pub(super) local: Option<SocketAddr>,
    pub(super) scheme: &'static str,
    pub(super) at: Timestamp,
    pub(super) since: Instant,
    reached: AtomicBool,
    turn: Turn,
}

impl Arrival {
    pub(super) fn new(
        peer: Option<IpAddr>,
        local: Option<SocketAddr>,
        scheme: &'static str,
        at: Timestamp,
    ) -> Self {
        let (reached, turn) = (AtomicBool::new(false), Turn::default());
        Self { peer, local, scheme, at, since: Instant::now(), reached, turn }
    }

    /// The same, over a connection with this turn.
    pub(super) fn over(self, turn: Turn) -> Self {
        Self { turn, ..self }
    }

    /// The request has been read to its end: what the client sends now is its next one.
    pub(super) fn is_heard_out(&self) {
        self.turn.take();
    }

    /// Runs `work` so that its phases find this arrival.
    pub(super) async fn around<W: Future>(self: &Arc<Self>, work: W) -> W::Output {
        ARRIVAL.scope(Arc::clone(self), work).await
    }

    /// The arrival of the request that this task works on; marks that its phases have begun.
    pub(super) fn current() -> Option<Arc<Self>> {
        let arrival = ARRIVAL.try_with(Arc::clone).ok()?;
        arrival.reached.store(true, Ordering::Relaxed);
        Some(arrival)
    }

    /// Whether the phases have begun. If not, Pingora itself refused the request.
    pub(super) fn has_reached_phases(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }
}
