//! The database down, frozen and read-only, and Redis with it.

use http::StatusCode;
use portcullis::config::Period;
use tokio::time::Instant;

use super::redis::sharing;
use super::traffic::{LONGEST, Traffic, is_our_trouble, readiness, soon};
use crate::replicas::world::{OwnRedis, World, get_opaque, metrics, wait_for};
use crate::servers::OwnPostgres;

/// Known credentials pass, what is not known is 503, and soon; nothing is written.
async fn without_the_database(traffic: &Traffic, unseen: &str) {
    let since = Instant::now();
    is_our_trouble(&get_opaque(&traffic.other, "/", unseen).await, "not seen before");
    assert!(since.elapsed() < LONGEST, "{:?}", since.elapsed());
    traffic.nothing_is_written().await;
    for replica in [&traffic.one, &traffic.other] {
        wait_for(replica, "database", 0).await;
        readiness(replica, StatusCode::SERVICE_UNAVAILABLE).await;
        assert_eq!(replica.probe("/livez").await.status, StatusCode::OK);
    }
    let text = metrics(&traffic.one).await;
    assert!(text.contains("portcullis_degraded{dependency=\"database\"} 1"), "{text}");
    let age = text.lines().find_map(|line| {
        line.strip_prefix("portcullis_revocation_set_age_seconds ")?.parse::<f64>().ok()
    });
    assert!(age.is_some(), "{text}");
    traffic.go_on().await;
}

async fn with_the_database_again(traffic: &Traffic, unseen: &str) {
    for replica in [&traffic.one, &traffic.other] {
        readiness(replica, StatusCode::OK).await;
        wait_for(replica, "database", 1).await;
        soon(StatusCode::OK, async || get_opaque(replica, "/", unseen).await).await;
    }
    traffic.one_comes_and_goes().await;
    traffic.go_on().await;
}

async fn outage(trouble: &str, relief: &str) {
    let mut server = OwnPostgres::start();
    let world = World {
        redis: String::new(),
        tick: Period::millis(200),
        ..World::on(server.database().await).await
    };
    let traffic = Traffic::start(&world).await;
    traffic.one_comes_and_goes().await;
    let unseen = traffic.one.opaque("ada").await;
    server.order(trouble);
    without_the_database(&traffic, &unseen).await;
    server.order(relief);
    with_the_database_again(&traffic, &unseen).await;
    for replica in [&traffic.one, &traffic.other] {
        wait_for(replica, "database_hints", 1).await;
    }
    traffic.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn database_down() {
    outage("kill", "start").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn database_paused() {
    outage("freeze", "thaw").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn database_read_only() {
    let world = World { redis: String::new(), tick: Period::millis(200), ..World::new().await };
    let traffic = Traffic::start(&world).await;
    let unseen = traffic.one.opaque("ada").await;
    world.database.set_read_only(true).await;
    for replica in [&traffic.one, &traffic.other] {
        readiness(replica, StatusCode::OK).await;
        // Connections were ended with the change.
        soon(StatusCode::OK, async || get_opaque(replica, "/", &unseen).await).await;
    }
    traffic.nothing_is_written().await;
    let logout = crate::subject::Ask::new(http::Method::POST, "/auth/token/logout/")
        .header("Authorization", &format!("Token {unseen}"));
    is_our_trouble(&traffic.one.ask(logout).await, "logout");
    assert_eq!(get_opaque(&traffic.one, "/", &unseen).await.status, StatusCode::OK, "not ended");
    traffic.go_on().await;
    world.database.set_read_only(false).await;
    with_the_database_again(&traffic, &unseen).await;
    traffic.end().await;
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_down() {
    let (mut server, mut redis) = (OwnPostgres::start(), OwnRedis::start().await);
    let world = sharing(World::on(server.database().await).await, &redis);
    let traffic = Traffic::start(&world).await;
    traffic.one_comes_and_goes().await;
    let unseen = traffic.one.opaque("ada").await;
    server.order("kill");
    redis.kill();
    for replica in [&traffic.one, &traffic.other] {
        wait_for(replica, "redis", 0).await;
    }
    without_the_database(&traffic, &unseen).await;
    server.order("start");
    redis.run().await;
    with_the_database_again(&traffic, &unseen).await;
    for replica in [&traffic.one, &traffic.other] {
        wait_for(replica, "redis", 1).await;
        wait_for(replica, "redis_hints", 1).await;
    }
    traffic.end().await;
}
