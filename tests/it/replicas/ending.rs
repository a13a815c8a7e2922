//! What ends on one replica ends on the other: by a hint, by the tick, and across a restart.

use std::time::Duration;

use http::{Method, StatusCode};
use portcullis::config::Period;
use serde_json::json;

use super::world::{OwnRedis, World, get_opaque, log_out, refused, until, wait_for};
use crate::subject::{Ask, PASSWORD, Subject};

async fn logout_spreads(one: &Subject, other: &Subject) -> Duration {
    one.register("ada").await;
    let (token, kept) = (one.opaque("ada").await, one.opaque("ada").await);
    assert_eq!(get_opaque(other, "/", &token).await.status, StatusCode::OK);
    log_out(one, &token).await;
    assert_eq!(get_opaque(one, "/", &token).await.status, StatusCode::UNAUTHORIZED);
    let took = refused(other, &token).await;
    assert_eq!(
        get_opaque(other, "/", &token).await.json(),
        json!({"detail": "Invalid token."}),
        "as for a token that never was"
    );
    assert_eq!(get_opaque(other, "/", &kept).await.status, StatusCode::OK, "another login");
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_reaches_the_other_replica_by_a_hint_through_redis() {
    let world = World { listen: false, ..World::new().await };
    let (one, other) = (world.replica().await, world.replica().await);
    logout_spreads(&one, &other).await;
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_reaches_the_other_replica_by_a_hint_from_the_database() {
    let world = World { redis: String::new(), ..World::new().await };
    let (one, other) = (world.replica().await, world.replica().await);
    logout_spreads(&one, &other).await;
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_reaches_the_other_replica_by_the_tick_when_redis_is_dead() {
    let mut redis = OwnRedis::start().await;
    let world = World {
        listen: false,
        redis: redis.url(),
        tick: Period::millis(200),
        ..World::new().await
    };
    let (one, other) = (world.replica().await, world.replica().await);
    redis.kill();
    wait_for(&one, "redis", 0).await;
    wait_for(&other, "redis", 0).await;
    logout_spreads(&one, &other).await;
    for replica in [&one, &other] {
        assert_eq!(replica.probe("/readyz").await.status, StatusCode::OK);
    }
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_s_jwts_end_on_the_other_replica() {
    let world = World { listen: false, ..World::new().await };
    let (one, other) = (world.replica().await, world.replica().await);
    one.register("ada").await;
    let (access, _) = one.jwt("ada").await;
    assert_eq!(other.get_as("/", &access).await.status, StatusCode::OK);
    let (mine, _) = one.jwt("ada").await;
    let ask = Ask::new(Method::DELETE, "/auth/users/me/")
        .bearer(&mine)
        .json(&json!({"current_password": PASSWORD}));
    let answer = one.ask(ask).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.json());
    until("the JWT is refused", async || {
        other.get_as("/", &access).await.status == StatusCode::UNAUTHORIZED
    })
    .await;
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_while_a_replica_was_down_is_refused_from_its_first_request_on() {
    let world = World::new().await;
    let (one, other) = (world.replica().await, world.replica().await);
    one.register("ada").await;
    let (token, kept) = (one.opaque("ada").await, one.opaque("ada").await);
    for token in [&token, &kept] {
        assert_eq!(get_opaque(&other, "/", token).await.status, StatusCode::OK);
    }
    other.stop().await;
    log_out(&one, &token).await;
    let other = world.unconnected(|_| {}).await;
    assert_eq!(get_opaque(&other, "/", &token).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(get_opaque(&other, "/", &kept).await.status, StatusCode::OK);
    world.remove().await;
}

/// Not a bound but a figure: `scripts/test cargo -- replicas::ending --nocapture` shows it.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_logouts_are_each_heard_of_before_a_tick_is_over() {
    for (way, listen, with_redis) in
        [("redis", false, true), ("database", true, false), ("both", true, true)]
    {
        let mut world = World { listen, ..World::new().await };
        if !with_redis {
            world.redis = String::new();
        }
        let unhindered =
            |settings: &mut portcullis::config::Settings| settings.limits.throttling = false;
        let (one, other) =
            (world.replica_with(unhindered).await, world.replica_with(unhindered).await);
        one.register("ada").await;
        let mut took = Vec::new();
        for _ in 0..200 {
            let token = one.opaque("ada").await;
            assert_eq!(get_opaque(&other, "/", &token).await.status, StatusCode::OK);
            log_out(&one, &token).await;
            took.push(refused(&other, &token).await);
        }
        took.sort();
        let (median, p99, most) = (took[100], took[198], took[199]);
        eprintln!("logout to refusal by {way}: median {median:?}, p99 {p99:?}, most {most:?}");
        assert!(most < Duration::from_millis(1500), "{way}: {most:?}");
        world.remove().await;
    }
}
