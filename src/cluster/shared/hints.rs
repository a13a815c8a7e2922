//! Word to the other replicas that the log has grown, and from them.
//!
//! A hint says "look" and nothing else, so it need not be believed: the log is the truth. One
//! that is lost costs a tick, one that is forged costs a look. Every new connection is a hint
//! too, for nobody knows what was missed. It must not know what is in the log.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::RedisResult;
use redis::aio::PubSub;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::address::Dialer;
use super::cache::SharedCache;
use super::link::{Link, Seen};
use crate::identity::told_to_stop;
use crate::model::{Change, LogEntry};

/// What connecting and subscribing may take.
const DIAL: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(1);

/// How often a connection on which nothing comes is asked whether it is alive.
const SILENCE: Duration = Duration::from_secs(2);

/// Announcements that may wait to be told. What comes on top the others find by themselves.
const WAITING: usize = 1024;
const AT_ONCE: usize = 256;

/// Takes announcements; never waits.
#[derive(Clone)]
pub struct Herald(mpsc::Sender<Vec<LogEntry>>);

/// Tells the other replicas.
pub(super) struct HeraldTask {
    waiting: mpsc::Receiver<Vec<LogEntry>>,
    link: Arc<Link>,
    cache: SharedCache,
    channel: String,
    sender: String,
}

/// Listens to the other replicas.
pub(super) struct HintListener {
    dialer: Dialer,
    channel: String,
    sender: String,
    wake: Arc<Notify>,
    seen: Seen,
}

/// `sender`: what this replica calls itself, so that it need not listen to itself.
pub(super) fn herald(
    link: Arc<Link>,
    cache: SharedCache,
    channel: String,
    sender: String,
) -> (Herald, HeraldTask) {
    let (send, waiting) = mpsc::channel(WAITING);
    (Herald(send), HeraldTask { waiting, link, cache, channel, sender })
}

// === impl Herald ===

impl Herald {
    /// Has the other replicas told. Returns at once.
    pub(in crate::cluster) fn tell(&self, entries: &[LogEntry]) {
        // Full: those that wait will be told of as one, and this with them.
        let _ = self.0.try_send(entries.to_vec());
    }
}

// === impl HeraldTask ===

impl HeraldTask {
    /// Tells until `stop` says `true` or goes away.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut entries = Vec::new();
        loop {
            tokio::select! {
                () = told_to_stop(&mut stop) => return,
                taken = self.waiting.recv_many(&mut entries, AT_ONCE) => {
                    if taken == 0 {
                        return;
                    }
                    self.tell(entries.drain(..).flatten()).await;
                }
            }
        }
    }

    async fn tell(&self, entries: impl Iterator<Item = LogEntry>) {
        let _: Option<()> = self
            .link
            .call(|mut redis| async move {
                let mut command = redis::cmd("PUBLISH");
                command.arg(&self.channel).arg(&self.sender).query_async(&mut redis).await
            })
            .await;
        // After the hint: what they would find here is asked for what has ended all the same.
        for entry in entries {
            if let Change::UserCut { user, .. } | Change::ProfileChanged { user, .. } = entry.change
            {
                self.cache.remove(self.cache.user_name(user)).await;
            }
        }
    }
}

// === impl HintListener ===

impl HintListener {
    pub(super) fn new(
        dialer: Dialer,
        channel: String,
        sender: String,
        wake: Arc<Notify>,
        seen: Seen,
    ) -> Self {
        seen("redis_hints", false);
        Self { dialer, channel, sender, wake, seen }
    }

    /// Listens until `stop` says `true` or goes away.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = told_to_stop(&mut stop) => {}
            () = self.listen() => {}
        }
    }

    async fn listen(&mut self) {
        loop {
            if let Ok(Ok(subscribed)) = timeout(DIAL, self.subscribe()).await {
                // Whatever was said before is lost.
                self.wake.notify_one();
                (self.seen)("redis_hints", true);
                self.follow(subscribed).await;
                (self.seen)("redis_hints", false);
            }
            sleep(PAUSE).await;
        }
    }

    async fn subscribe(&mut self) -> RedisResult<PubSub> {
        let mut connection = self.dialer.listen().await?;
        connection.subscribe(&self.channel).await?;
        Ok(connection)
    }

    /// Until the connection dies, or seems to.
    async fn follow(&self, connection: PubSub) {
        let (mut asking, mut hints) = connection.split();
        loop {
            match timeout(SILENCE, hints.next()).await {
                Ok(Some(hint)) if hint.get_payload_bytes() == self.sender.as_bytes() => {}
                Ok(Some(_)) => self.wake.notify_one(),
                Ok(None) => return,
                Err(_) => match timeout(SILENCE, asking.ping::<redis::Value>()).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(_)) | Err(_) => return,
                },
            }
        }
    }
}
