//! What lasts on one replica ends when its credential ends on the other.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use tokio::time::Instant;

use super::world::{World, log_out};
use crate::raw::{Act, App, Client};
use crate::subject::{Ask, PASSWORD, Subject};

/// A second, and something for a machine that is busy.
const BOUND: Duration = Duration::from_secs(3);

async fn endless() -> App {
    App::start(|_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                    Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n";
        Act::Echo(head.as_bytes().to_vec())
    })
    .await
}

async fn before(world: &World, app: &App) -> Subject {
    let address = app.address.to_string();
    world.replica_with(|settings| settings.upstreams[0].servers = vec![address]).await
}

/// A stream of events on `replica`, its first event read.
async fn events(replica: &Subject, token: &str) -> Client {
    let mut client = Client::connect(replica.address).await;
    client
        .send(format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"))
        .await;
    assert_eq!(client.head().await.status, 200);
    client.take(14).await;
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_on_one_replica_ends_with_a_logout_on_the_other() {
    let (world, app) = (World::new().await, endless().await);
    let (one, other) = (before(&world, &app).await, before(&world, &app).await);
    one.register("ada").await;
    let token = one.opaque("ada").await;
    let mut stream = events(&other, &token).await;
    log_out(&one, &token).await;
    let since = Instant::now();
    assert!(stream.is_closed().await);
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_on_one_replica_ends_with_a_new_password_on_the_other() {
    let (world, app) = (World::new().await, endless().await);
    let (one, other) = (before(&world, &app).await, before(&world, &app).await);
    one.register("ada").await;
    let ((access, _), mine) = (one.jwt("ada").await, one.opaque("ada").await);
    let mut stream = events(&other, &access).await;
    let new = "another-horse-battery";
    let body = json!({"current_password": PASSWORD, "new_password": new, "re_new_password": new});
    let ask = Ask::new(Method::POST, "/auth/users/set_password/").bearer(&mine).json(&body);
    assert_eq!(one.ask(ask).await.status, StatusCode::NO_CONTENT);
    let since = Instant::now();
    assert!(stream.is_closed().await);
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
    world.remove().await;
}
