//! Redis down, slow and flushed: nothing fails but the speed.

use http::StatusCode;
use portcullis::config::Period;
use redis::AsyncTypedCommands as _;
use tokio::time::Instant;

use super::traffic::{LONGEST, Traffic, readiness};
use crate::replicas::world::{OwnRedis, World, get_opaque, metrics, until, wait_for};

async fn with(redis: &OwnRedis) -> World {
    sharing(World::new().await, redis)
}

/// Nobody listens to the database: Redis is the only one to give hints.
pub(super) fn sharing(world: World, redis: &OwnRedis) -> World {
    World {
        redis: redis.url(),
        listen: false,
        tick: Period::millis(200),
        timeout: Period::millis(500),
        ..world
    }
}

async fn without_redis(traffic: &Traffic) {
    for replica in [&traffic.one, &traffic.other] {
        wait_for(replica, "redis", 0).await;
        wait_for(replica, "redis_hints", 0).await;
        readiness(replica, StatusCode::OK).await;
        let metrics = metrics(replica).await;
        assert!(metrics.contains("portcullis_degraded{dependency=\"redis\"} 1"), "{metrics}");
    }
    traffic.one_comes_and_goes().await;
    traffic.go_on().await;
}

async fn with_redis_again(traffic: &Traffic) {
    for replica in [&traffic.one, &traffic.other] {
        wait_for(replica, "redis", 1).await;
        wait_for(replica, "redis_hints", 1).await;
    }
    traffic.one_comes_and_goes().await;
    traffic.go_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_down() {
    let mut redis = OwnRedis::start().await;
    let world = with(&redis).await;
    let traffic = Traffic::start(&world).await;
    traffic.one_comes_and_goes().await;
    redis.kill();
    without_redis(&traffic).await;
    redis.run().await;
    with_redis_again(&traffic).await;
    traffic.end().await;
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_slow() {
    let redis = OwnRedis::start().await;
    let world = with(&redis).await;
    let traffic = Traffic::start(&world).await;
    let mut unseen = Vec::new();
    for _ in 0..20 {
        unseen.push(traffic.one.opaque("ada").await);
    }
    redis.signal("STOP");
    let since = Instant::now();
    for token in &unseen {
        assert_eq!(get_opaque(&traffic.other, "/", token).await.status, StatusCode::OK);
    }
    // Each by itself would have waited for half a second.
    assert!(since.elapsed() < LONGEST, "{:?}", since.elapsed());
    without_redis(&traffic).await;
    redis.signal("CONT");
    with_redis_again(&traffic).await;
    traffic.end().await;
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_flushed() {
    let redis = OwnRedis::start().await;
    let world = with(&redis).await;
    let traffic = Traffic::start(&world).await;
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for _ in 0..5 {
        connection.flushall().await.unwrap();
        traffic.one_comes_and_goes().await;
        traffic.go_on().await;
    }
    let never = "portcullis_token_cache_requests_total{result=\"away\",tier=\"redis\"} 0";
    for replica in [&traffic.one, &traffic.other] {
        wait_for(replica, "redis", 1).await;
        readiness(replica, StatusCode::OK).await;
        assert!(metrics(replica).await.lines().any(|line| line == never), "it was never away");
    }
    until("another's end was heard of, and how late", async || {
        metrics(&traffic.other).await.lines().any(|line| {
            let count = line.strip_prefix("portcullis_revocation_propagation_seconds_count ");
            count.is_some_and(|count| count.parse::<u64>().unwrap() >= 5)
        })
    })
    .await;
    traffic.end().await;
    world.remove().await;
}
