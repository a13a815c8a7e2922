//! Ends what lasts when its credential does: a WebSocket, a stream of events, a long body.
//!
//! A request is judged when it begins. A stream is judged again, twice a second, by the same
//! gate: whoever logs out, is deactivated or loses a group is out of every open stream within a
//! second, and a token that runs out takes its streams with it. Whatever else is under way for
//! long counts as one, too; a request that is merely slow gets its answer, although its token
//! runs out meanwhile. Most requests are over before the first look and pay for a note in a
//! timer that is there anyway. It must not know what is sent.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::arrival::Arrival;
use super::head::Alarm;

/// How often it is looked whether a request still may go on.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// From then on a request is a stream whatever it looks like: a long body, most likely.
const SLOW: Duration = Duration::from_secs(10);

/// Works on a request to its end, or to that of its credential: `None`, and it is not finished.
pub(super) async fn watched<W: Future>(
    mut work: Pin<&mut W>,
    arrival: &Arrival,
    alarm: &mut Alarm,
) -> Option<W::Output> {
    // A request that has just begun needs no second look at the clock.
    let mut from = arrival.since;
    loop {
        alarm.set(from + LOOK_EVERY);
        if let Some(done) = alarm.within(work.as_mut()).await {
            return Some(done);
        }
        from = Instant::now();
        if !arrival.is_stream() && arrival.since.elapsed() < SLOW {
            continue;
        }
        let goes_on = tokio::select! {
            biased;
            done = work.as_mut() => return Some(done),
            goes_on = arrival.still_passes() => goes_on,
        };
        if !goes_on {
            tracing::info!("a request was ended that had outlived its credential");
            return None;
        }
    }
}
