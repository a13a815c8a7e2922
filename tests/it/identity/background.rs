//! What happens beside the requests: notes of use, the log, compaction.

use std::sync::Arc;
use std::time::Duration;

use portcullis::cluster::Compaction;
use portcullis::config::Settings;

use super::replica::{Replica, within_reason};

#[tokio::test]
async fn a_use_is_noted_beside_the_request() {
    let replica = Replica::alone(&Settings::default()).await;
    let user = replica.user("ada").await;
    let (token, login) = replica.log_in_opaque(&user).await;
    replica.pass(Duration::from_hours(2));
    replica.opaque(&token).await.unwrap();
    let now = replica.clock.now();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writer = tokio::spawn(replica.last_used.run(stopped));
    within_reason(async || replica.store.login(login).await.unwrap().unwrap().last_used == now)
        .await;
    stop.send(true).unwrap();
    writer.await.unwrap();
}

#[tokio::test]
async fn a_follower_reads_the_log_when_it_is_woken_and_stops_when_told() {
    let settings = Settings::default();
    let one = Replica::alone(&settings).await;
    let other = Replica::start(&settings, &one.store, &one.clock).await;
    let user = one.user("ada").await;
    let (_, login) = one.log_in_jwt(&user).await;
    let (wake, (stop, stopped)) = (other.follower.waker(), tokio::sync::watch::channel(false));
    let follower = tokio::spawn(other.follower.run(stopped));
    one.end_login(login).await;
    wake.notify_one();
    within_reason(async || other.revocations.len() == 1).await;
    drop(stop);
    follower.await.unwrap();
}

#[tokio::test]
async fn compaction_drops_what_is_old_in_memory_and_in_the_database() {
    let settings = Settings::default();
    let replica = Replica::alone(&settings).await;
    let user = replica.user("ada").await;
    let (_, login) = replica.log_in_jwt(&user).await;
    replica.end_login(login).await;
    let (store, clock) = (replica.store.clone(), replica.clock.clone());
    let compaction = Compaction::new(&settings, store, clock, Arc::clone(&replica.revocations));
    replica.pass(Duration::from_mins(5));
    compaction.compact().await;
    assert_eq!(replica.revocations.len(), 1, "an access token may still be alive");
    replica.pass(Duration::from_hours(1));
    compaction.compact().await;
    assert_eq!(replica.revocations.len(), 0);
    let restarted = Replica::start(&settings, &replica.store, &replica.clock).await;
    assert_eq!(restarted.revocations.len(), 0);
}
