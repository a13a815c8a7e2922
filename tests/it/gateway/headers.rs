//! What applications are told of who asks, and what clients cannot tell them.

use super::{Gateway, get};
use crate::raw::{Act, App};

const IDENTITY: [&str; 4] =
    ["X-Forwarded-User", "X-Forwarded-User-Id", "X-Forwarded-Email", "X-Forwarded-Groups"];

#[tokio::test]
async fn the_application_learns_who_asks_and_never_sees_the_credential() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    let token = gateway.token().await;
    let answer = gateway
        .client()
        .await
        .ask(get("/api/a?b=c", &format!("Authorization: Bearer {token}\r\n")))
        .await;
    assert_eq!(answer.status, 200);
    let received = app.only();
    assert_eq!(received.line, "GET /api/a?b=c HTTP/1.1");
    assert_eq!(received.header("x-forwarded-user"), Some("ada"));
    assert!(received.header("x-forwarded-user-id").unwrap().parse::<u64>().is_ok());
    assert_eq!(received.header("authorization"), None);
    assert_eq!(received.header("host"), Some("gate.example"));
    assert_eq!(received.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(received.header("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(received.header("x-forwarded-proto"), Some("http"));
    assert_eq!(received.header("x-forwarded-host"), Some("gate.example"));
    assert_eq!(received.header("x-forwarded-port"), Some("80"));
    assert_eq!(received.header("x-request-id"), answer.header("x-request-id"));
}

#[tokio::test]
async fn client_sent_identity_headers_never_reach_the_application() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    let token = gateway.token().await;
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let mut client = gateway.client().await;
    for name in IDENTITY {
        for spelled in
            [name.to_owned(), name.to_lowercase(), name.replace('-', "_"), name.replace('-', ".")]
        {
            for (target, credential) in [("/api/a", bearer.as_str()), ("/public/a", "")] {
                let lines = format!("{spelled}: evil\r\n{spelled}: evil2\r\n{credential}");
                assert_eq!(client.ask(get(target, &lines)).await.status, 200, "{spelled}");
            }
        }
    }
    for received in app.received() {
        let head = String::from_utf8_lossy(&received.raw).into_owned();
        assert!(!head.contains("evil"), "{head}");
        let want = received.line.starts_with("GET /api").then_some("ada");
        assert_eq!(received.header("x-forwarded-user"), want, "{head}");
    }
}

#[tokio::test]
async fn a_strangers_forwarding_headers_are_replaced_and_underscores_dropped() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    let lines = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Host: evil\r\nForwarded: for=evil\r\n\
                 X-Real-IP: evil\r\nX-Original-URL: /evil\r\nX_Custom: evil\r\nX-Request-Id: evil\r\n\
                 X-Kept: yes\r\n";
    gateway.client().await.ask(get("/public/a", lines)).await;
    let received = app.only();
    assert!(!String::from_utf8_lossy(&received.raw).contains("evil"));
    assert_eq!(received.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(received.header("x-kept"), Some("yes"));
}

#[tokio::test]
async fn an_anonymous_route_passes_authorization_as_it_is() {
    let app = App::plain().await;
    let gateway = Gateway::before(&app).await;
    gateway.client().await.ask(get("/public/a", "Authorization: Basic eDp5\r\n")).await;
    let received = app.only();
    assert_eq!(received.header("authorization"), Some("Basic eDp5"));
    assert_eq!(received.header("x-forwarded-user"), None);
}

#[tokio::test]
async fn hop_by_hop_headers_stop_at_the_gateway_in_both_directions() {
    let app = App::start(|_| {
        Act::Say(
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Inner\r\nKeep-Alive: timeout=5\r\nX-Inner: a\r\n\
              X-Forwarded-User: ada\r\nX-Portcullis-Debug: a\r\nX-App: b\r\nContent-Length: 2\r\n\r\nok"
                .to_vec(),
        )
    })
    .await;
    let gateway = Gateway::before(&app).await;
    let lines = "Connection: close, X-Hop\r\nX-Hop: a\r\nTE: trailers\r\nKeep-Alive: 5\r\n\
                 Proxy-Connection: a\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\n";
    let answer = gateway.client().await.ask(get("/public/a", lines)).await;
    let names: Vec<_> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    for gone in ["keep-alive", "x-inner", "x-forwarded-user", "x-portcullis-debug"] {
        assert!(!names.contains(&gone), "{names:?}");
    }
    assert_eq!((answer.text().as_str(), answer.header("x-app")), ("ok", Some("b")));
    assert_eq!(answer.header("connection"), Some("close"));
    let received = app.only();
    for gone in
        ["connection", "x-hop", "te", "keep-alive", "proxy-connection", "upgrade", "http2-settings"]
    {
        assert_eq!(received.header(gone), None, "{received:?}");
    }
}

#[tokio::test]
async fn scripts_of_allowed_origins_may_read_refusals() {
    let app = App::plain().await;
    let more = "[cors]\nallowed_origins = [\"https://app.example\"]";
    let gateway = Gateway::with(&[app.address.to_string()], more).await;
    let mut client = gateway.client().await;
    let origin = "Origin: https://app.example\r\n";
    let answer = client.ask(get("/api/a", origin)).await;
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!((answer.status, allowed), (401, Some("https://app.example")));
    let answer = client.ask(get("/api/a", "Origin: https://evil.example\r\n")).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let preflight = format!(
        "OPTIONS /auth/users/ HTTP/1.1\r\nHost: a\r\n{origin}Access-Control-Request-Method: POST\r\n\r\n"
    );
    let answer = client.ask(preflight).await;
    assert_eq!(answer.status, 204);
    assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));
}
