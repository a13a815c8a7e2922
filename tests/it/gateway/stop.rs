//! A stop loses no request.

use std::time::Duration;

use super::{Gateway, get};
use crate::raw::{Act, App, Client};

#[tokio::test]
async fn requests_in_flight_are_finished_idle_connections_closed_and_new_ones_refused() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    let (address, telemetry) = (gateway.address(), gateway.running.telemetry.unwrap());
    let (mut idle, mut busy) = (gateway.client().await, gateway.client().await);
    assert_eq!(idle.ask(get("/public/a", "")).await.status, 200);
    let head =
        "PUT /public/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    busy.send(head).await;
    assert_eq!(busy.head().await.status, 100);

    let stopping = tokio::spawn(gateway.running.stop());
    assert!(idle.is_closed().await);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    let mut probe = Client::connect(telemetry).await;
    assert_eq!(probe.ask(get("/readyz", "")).await.status, 503);
    assert_eq!(probe.ask(get("/livez", "")).await.status, 200);

    let answer = busy.ask("abc").await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(busy.is_closed().await);
    tokio::time::timeout(Duration::from_secs(10), stopping).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn what_is_not_finished_in_time_is_cut() {
    let app = App::start(|_| Act::Hang).await;
    let more = "[server]\ndrain_timeout = \"200ms\"";
    let gateway = Gateway::with(&[app.address.to_string()], more).await;
    let mut client = gateway.client().await;
    client.send(get("/public/a", "")).await;
    app.until_received(1).await;
    tokio::time::timeout(Duration::from_secs(10), gateway.running.stop()).await.unwrap().unwrap();
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn while_the_stop_is_delayed_requests_are_served_and_clients_asked_to_leave() {
    let app = App::plain().await;
    let more = "[server]\nshutdown_delay = \"1s\"";
    let gateway = Gateway::with(&[app.address.to_string()], more).await;
    let mut probe = Client::connect(gateway.running.telemetry.unwrap()).await;
    assert_eq!(probe.ask(get("/readyz", "")).await.status, 200);
    let (address, mut client) = (gateway.address(), gateway.client().await);
    let before = client.ask(get("/public/a", "")).await;
    assert_eq!((before.status, before.header("connection")), (200, Some("keep-alive")));
    let stopping = tokio::spawn(gateway.running.stop());
    while probe.ask(get("/readyz", "")).await.status == 200 {}
    // Who holds a connection as well as who comes anew, an answer of the gateway's own as well.
    for (mut client, path, status) in [
        (client, "/public/a", 200),
        (Client::connect(address).await, "/public/a", 200),
        (Client::connect(address).await, "/api/a", 401),
    ] {
        let answer = client.ask(get(path, "")).await;
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")));
        assert!(client.is_closed().await);
    }
    tokio::time::timeout(Duration::from_secs(10), stopping).await.unwrap().unwrap().unwrap();
}
