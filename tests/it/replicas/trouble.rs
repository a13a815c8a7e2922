//! Redis away, slow and back: nothing fails but the speed, and it recovers by itself.

use std::time::Duration;

use http::StatusCode;
use portcullis::config::Period;
use tokio::time::Instant;

use super::world::{OwnRedis, World, get_opaque, log_out, metrics, refused, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_stands_still_costs_its_timeout_once() {
    let redis = OwnRedis::start().await;
    let patience = Duration::from_secs(1);
    let world = World { redis: redis.url(), timeout: Period::seconds(1), ..World::new().await };
    let (one, other) = (world.replica().await, world.replica().await);
    one.register("ada").await;
    let mut tokens = Vec::new();
    for _ in 0..20 {
        tokens.push(one.opaque("ada").await);
    }
    redis.signal("STOP");
    let since = Instant::now();
    for token in &tokens {
        assert_eq!(get_opaque(&other, "/", token).await.status, StatusCode::OK);
    }
    let took = since.elapsed();
    // Once for the request that finds out, or for the ping that does; never twenty times.
    assert!(took < 4 * patience, "{took:?}");
    wait_for(&other, "redis", 0).await;
    assert_eq!(other.probe("/readyz").await.status, StatusCode::OK);
    // Logging in and out goes on as well, and the database says so.
    let token = one.opaque("ada").await;
    assert_eq!(get_opaque(&other, "/", &token).await.status, StatusCode::OK);
    log_out(&one, &token).await;
    refused(&other, &token).await;

    redis.signal("CONT");
    wait_for(&one, "redis", 1).await;
    wait_for(&other, "redis", 1).await;
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_at_the_start_is_used_when_it_comes() {
    let mut redis = OwnRedis::absent();
    let mut world = World { redis: redis.url(), listen: false, ..World::new().await };
    let (one, other) = (world.unconnected(|_| {}).await, world.unconnected(|_| {}).await);
    assert_eq!(one.probe("/readyz").await.status, StatusCode::OK);
    one.register("ada").await;
    let token = one.opaque("ada").await;
    assert_eq!(get_opaque(&other, "/", &token).await.status, StatusCode::OK);
    assert!(metrics(&one).await.contains("dependency_up{dependency=\"redis\"} 0"));

    redis.run().await;
    for replica in [&one, &other] {
        wait_for(replica, "redis", 1).await;
        wait_for(replica, "redis_hints", 1).await;
    }
    // Nobody listens to the database and nobody ticks: this is Redis' word.
    log_out(&one, &token).await;
    refused(&other, &token).await;

    // And again after it died.
    redis.kill();
    wait_for(&one, "redis", 0).await;
    wait_for(&other, "redis_hints", 0).await;
    let token = one.opaque("ada").await;
    assert_eq!(get_opaque(&other, "/", &token).await.status, StatusCode::OK);
    log_out(&one, &token).await;
    redis.run().await;
    // The new connection is a hint by itself.
    refused(&other, &token).await;
    world.redis.clear();
    world.remove().await;
}
