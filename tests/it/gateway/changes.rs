//! What a route changes on the way to the application and back.

use super::{Gateway, get, post};
use crate::raw::{Act, App};

/// A gateway with a route `/shop/` for everybody.
async fn gateway(app: &App, more: &str) -> Gateway {
    let text = format!(
        "[[routes]]\npath = \"/public/\"\naccess = \"anonymous\"\nupstream = \"app\"\n\
         [[routes]]\npath = \"/shop/\"\naccess = \"anonymous\"\nupstream = \"app\"\n{more}"
    );
    Gateway::with(&[app.address.to_string()], &text).await
}

#[tokio::test]
async fn a_prefix_stays_here_and_is_told_to_the_application() {
    let app = App::plain().await;
    let gateway = gateway(&app, "strip_prefix = \"/shop\"").await;
    let mut client = gateway.client().await;
    for (target, line) in [
        ("/shop/a?b=/shop/c", "GET /a?b=/shop/c HTTP/1.1"),
        ("/shop/", "GET / HTTP/1.1"),
        ("/shop", "GET / HTTP/1.1"),
        ("/shop?a", "GET /?a HTTP/1.1"),
        ("/shop/shop/a", "GET /shop/a HTTP/1.1"),
    ] {
        let lines = "X-Forwarded-Prefix: /evil\r\n";
        assert_eq!(client.ask(get(target, lines)).await.status, 200, "{target}");
        let received = app.received().pop().unwrap();
        assert_eq!(received.line, line);
        assert_eq!(received.header("x-forwarded-prefix"), Some("/shop"));
    }
    // What is ambiguous with the prefix is so without it.
    for target in ["/shop//a", "/shop/../public/a", "/shop/%2e%2e/a", "/shop/%2fa"] {
        assert_eq!(gateway.client().await.ask(get(target, "")).await.status, 400, "{target}");
    }
}

#[tokio::test]
async fn headers_are_set_and_removed_both_ways() {
    let app = App::start(|_| {
        Act::Say(
            b"HTTP/1.1 200 OK\r\nServer: app/1\r\nX-Frame-Options: ALLOW\r\nX-Kept: a\r\n\
              Content-Length: 2\r\n\r\nok"
                .to_vec(),
        )
    })
    .await;
    let gateway = gateway(
        &app,
        "set_request_headers = [\"X-Env: prod\", \"X-Given: ours\"]\n\
         remove_request_headers = [\"Cookie\"]\n\
         set_response_headers = [\"X-Frame-Options: DENY\", \"X-New: b\"]\n\
         remove_response_headers = [\"Server\"]\n",
    )
    .await;
    let mut client = gateway.client().await;
    let lines = "X-Given: theirs\r\nX-Given: theirs\r\nCookie: a=b\r\nX-Kept: c\r\n";
    let answer = client.ask(get("/shop/a", lines)).await;
    assert_eq!((answer.header("server"), answer.header("x-kept")), (None, Some("a")));
    assert_eq!(
        (answer.header("x-frame-options"), answer.header("x-new")),
        (Some("DENY"), Some("b"))
    );
    let received = app.only();
    assert_eq!(
        (received.header("x-env"), received.header("x-given")),
        (Some("prod"), Some("ours"))
    );
    assert_eq!((received.header("cookie"), received.header("x-kept")), (None, Some("c")));
}

#[tokio::test]
async fn a_route_has_bounds_of_its_own() {
    let app = App::start(
        |received| {
            if received.line.contains("/slow") { Act::Hang } else { Act::ok("ok") }
        },
    )
    .await;
    let gateway = gateway(
        &app,
        "body_bytes = 4\nupstream_read_timeout = \"200ms\"\n[limits]\nbody_bytes = 2",
    )
    .await;
    let status = async |request: String| gateway.client().await.ask(request).await.status;
    assert_eq!(status(post("/shop/a", "1234")).await, 200);
    assert_eq!(status(post("/shop/a", "12345")).await, 413);
    assert_eq!(status(post("/public/a", "12")).await, 200);
    assert_eq!(status(post("/public/a", "123")).await, 413);
    assert_eq!(status(get("/shop/slow", "")).await, 504);
}

#[tokio::test]
async fn an_application_that_wants_its_own_name_as_host_gets_it() {
    let app = App::plain().await;
    let servers = format!("localhost:{}", app.address.port());
    let more = format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{servers}\"]\npreserve_host = false\n"
    );
    let gateway = Gateway::with(&[], &more).await;
    assert_eq!(gateway.client().await.ask(get("/public/a", "")).await.status, 200);
    let received = app.only();
    assert_eq!(received.header("host"), Some(servers.as_str()));
    assert_eq!(received.header("x-forwarded-host"), Some("gate.example"));
}
