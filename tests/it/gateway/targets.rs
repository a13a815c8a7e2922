//! The path that the rules see is the path that the application sees, or there is none.

use super::{Gateway, get};
use crate::raw::App;

#[tokio::test]
async fn targets_with_two_readings_are_400_for_everybody() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    for target in [
        "//api/a",
        "/public/../api/a",
        "/public/%2e%2e/api/a",
        "/public/%2E%2E/api/a",
        "/public/a%2fb",
        "/public/a%5cb",
        "/public/\\api",
        "/public/..;/api/a",
        "/public;v=1/a",
        "/public/%00",
        "/public/%252e%252e/api",
        "/public/%zz",
        "/public/\u{e9}",
        "/public/a#b",
        "public/a",
    ] {
        let answer = gateway.client().await.ask(get(target, "")).await;
        assert_eq!(answer.status, 400, "{target}");
        assert_eq!(answer.json()["code"], "bad_request", "{target}");
    }
    assert_eq!(app.received().len(), 0);
}

#[tokio::test]
async fn absolute_form_is_forwarded_as_origin_form_if_the_host_agrees() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    let mut client = gateway.client().await;
    let answer = client
        .ask("GET http://gate.example/public/a?b HTTP/1.1\r\nHost: gate.example\r\n\r\n")
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(app.only().line, "GET /public/a?b HTTP/1.1");
    let answer = client
        .ask("GET http://other.example/public/a HTTP/1.1\r\nHost: gate.example\r\n\r\n")
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(app.received().len(), 1);
}

#[tokio::test]
async fn prefixes_end_on_segment_borders() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    let mut client = gateway.client().await;
    assert_eq!(client.ask(get("/publicx", "")).await.status, 404);
    assert_eq!(client.ask(get("/public/a%20b?q=%2e%2e//", "")).await.status, 200);
    assert_eq!(app.only().line, "GET /public/a%20b?q=%2e%2e// HTTP/1.1");
}
