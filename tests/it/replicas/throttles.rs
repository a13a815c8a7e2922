//! Throttles of two replicas: together as long as there is Redis, each by itself without it.

use http::StatusCode;
use portcullis::config::{Period, Rate, Settings};
use serde_json::json;

use super::world::{OwnRedis, World, wait_for};
use crate::subject::{Answer, PASSWORD, Subject};

const COUNT: u32 = 3;

fn limited(settings: &mut Settings) {
    let rate = Rate { count: COUNT, per: *Period::seconds(600) };
    settings.limits.login_per_account = rate;
    settings.limits.reset_per_account = rate;
    settings.limits.exempt = Vec::new();
}

/// DRF's own words, and how long to wait.
fn is_throttled(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.json());
    let wait: u64 = answer.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=200).contains(&wait), "{wait}");
    let text = format!("Request was throttled. Expected available in {wait} seconds.");
    assert_eq!(answer.json(), json!({"detail": text}));
}

async fn log_in(replica: &Subject, name: &str, password: &str) -> Answer {
    replica.post("/auth/token/login/", json!({"username": name, "password": password})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_replica_counts_for_itself_when_redis_is_away() {
    let mut redis = OwnRedis::start().await;
    let world = World { redis: redis.url(), ..World::new().await };
    let (one, other) = (world.replica_with(limited).await, world.replica_with(limited).await);
    one.register("ada").await;
    for replica in [&one, &other, &one] {
        assert_eq!(log_in(replica, "ada", "wrong").await.status, StatusCode::BAD_REQUEST);
    }
    for replica in [&one, &other] {
        is_throttled(&log_in(replica, "Ada", PASSWORD).await);
    }
    redis.kill();
    for replica in [&one, &other] {
        wait_for(replica, "redis", 0).await;
        for _ in 0..COUNT {
            assert_eq!(log_in(replica, "ada", "wrong").await.status, StatusCode::BAD_REQUEST);
        }
        is_throttled(&log_in(replica, "ADA", PASSWORD).await);
        let form = json!({"username": "ada", "password": PASSWORD});
        is_throttled(&replica.post("/auth/jwt/create/", form).await);
    }
    redis.run().await;
    for replica in [&one, &other] {
        wait_for(replica, "redis", 1).await;
    }
    for replica in [&one, &other, &one] {
        assert_eq!(log_in(replica, "ada", "wrong").await.status, StatusCode::BAD_REQUEST);
    }
    for replica in [&one, &other] {
        is_throttled(&log_in(replica, "ada", PASSWORD).await);
    }
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_of_an_account_count_for_all_replicas_together_in_every_spelling() {
    let world = World::new().await;
    let (one, other) = (world.replica_with(limited).await, world.replica_with(limited).await);
    one.register("ada").await;
    let reset = async |replica: &Subject, email: &str| {
        replica.post("/auth/users/reset_password/", json!({"email": email})).await
    };
    for (replica, email) in
        [(&one, "ada@example.org"), (&other, "ADA@example.org"), (&one, "Ada@Example.org")]
    {
        assert_eq!(reset(replica, email).await.status, StatusCode::NO_CONTENT, "{email}");
    }
    for replica in [&one, &other] {
        is_throttled(&reset(replica, "ada@example.org").await);
        assert_eq!(reset(replica, "bob@example.org").await.status, StatusCode::NO_CONTENT);
    }
    world.remove().await;
}
