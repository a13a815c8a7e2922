//! Three replicas with everything happening to them, one thing after the other.

use std::sync::Arc;

use http::StatusCode;
use portcullis::config::Period;

use super::redis::sharing;
use super::traffic::{Traffic, readiness, soon};
use crate::replicas::world::{OwnRedis, World, get_opaque, log_out, wait_for};
use crate::servers::OwnPostgres;

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_outlive_the_loss_of_everything_they_share() {
    let (mut server, mut redis) = (OwnPostgres::start(), OwnRedis::start().await);
    let world = sharing(World::on(server.database().await).await, &redis);
    let traffic = Traffic::of(&world, 3).await;
    traffic.one_comes_and_goes().await;

    redis.signal("STOP");
    traffic.one_comes_and_goes().await;
    redis.signal("CONT");
    redis.kill();
    traffic.one_comes_and_goes().await;

    server.order("freeze");
    traffic.go_on().await;
    server.order("thaw");
    traffic.one_comes_and_goes().await;
    server.order("kill");
    traffic.go_on().await;
    server.order("start");
    redis.run().await;

    for replica in &traffic.all {
        readiness(replica, StatusCode::OK).await;
        wait_for(replica, "redis", 1).await;
        wait_for(replica, "redis_hints", 1).await;
    }
    traffic.one_comes_and_goes().await;
    traffic.go_on().await;
    traffic.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_comes_later_knows_what_ended_on_those_that_went() {
    let world = World::new().await;
    let (one, other, third) = (world.replica().await, world.replica().await, world.replica().await);
    one.register("ada").await;
    let (first, second, kept) =
        (one.opaque("ada").await, one.opaque("ada").await, one.opaque("ada").await);
    for token in [&first, &second, &kept] {
        assert_eq!(get_opaque(&third, "/", token).await.status, StatusCode::OK);
    }
    // Dropped in the middle of everything, as by a kill: nobody says farewell.
    drop(third);
    log_out(&one, &first).await;
    drop(one);
    log_out(&other, &second).await;
    drop(other);

    for replica in [Arc::new(world.unconnected(|_| {}).await), Arc::new(world.replica().await)] {
        for token in [&first, &second] {
            let answer = get_opaque(&replica, "/", token).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        }
        soon(StatusCode::OK, async || get_opaque(&replica, "/", &kept).await).await;
    }
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_read_the_log_for_too_long_vouches_for_nobody_and_the_others_go_on() {
    let world = World { redis: String::new(), tick: Period::millis(200), ..World::new().await };
    let (one, other) = (world.replica().await, world.replica().await);
    one.register("ada").await;
    let token = one.opaque("ada").await;
    for replica in [&one, &other] {
        assert_eq!(get_opaque(replica, "/", &token).await.status, StatusCode::OK);
    }
    world.database.close_to_connections().await;
    for replica in [&one, &other] {
        wait_for(replica, "database", 0).await;
    }
    let staleness = std::time::Duration::from_mins(1);
    other.clock.set(other.clock.now().plus(staleness * 2));
    let refused = get_opaque(&other, "/", &token).await;
    super::traffic::is_our_trouble(&refused, "the log was not read");
    readiness(&other, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(get_opaque(&one, "/", &token).await.status, StatusCode::OK, "a minute is left");

    world.database.open_to_connections().await;
    for replica in [&one, &other] {
        readiness(replica, StatusCode::OK).await;
        soon(StatusCode::OK, async || get_opaque(replica, "/", &token).await).await;
    }
    world.remove().await;
}
