//! What holds on every path: order of checks, `Allow`, redirects, headers.

use http::Method;
use serde_json::json;

use super::world::{Ask, World};

const POST_ONLY: [&str; 12] = [
    "/auth/users/reset_password/",
    "/auth/users/reset_password_confirm/",
    "/auth/users/reset_username/",
    "/auth/users/reset_username_confirm/",
    "/auth/users/activation/",
    "/auth/users/resend_activation/",
    "/auth/token/login/",
    "/auth/token/logout/",
    "/auth/jwt/create/",
    "/auth/jwt/refresh/",
    "/auth/jwt/verify/",
    "/auth/jwt/blacklist/",
];

fn stale() -> &'static str {
    "0123456789abcdef0123456789abcdef01234567"
}

#[tokio::test]
async fn an_unknown_path_is_404() {
    let world = World::new().await;
    for path in ["/auth/Users/me/", "/auth/nothing/", "/auth/users/me/x/", "/"] {
        world.ask(Ask::get(path)).await.is(404, &json!({"detail": "Not found."}));
    }
}

#[tokio::test]
async fn users_without_the_slash_is_redirected_and_the_query_goes_along() {
    let world = World::new().await;
    let moved = world.ask(Ask::get("/auth/users/me?a=b")).await;
    moved.is_empty(301);
    assert_eq!(moved.header("location"), Some("/auth/users/me/?a=b"));
    let moved = world.ask(Ask::new(Method::POST, "/auth/users").json(&json!({}))).await;
    moved.is_empty(308);
    assert_eq!(moved.header("location"), Some("/auth/users/"));
}

#[tokio::test]
async fn tokens_and_jwts_need_no_final_slash() {
    let world = World::new().await;
    world.register("ada").await;
    let body = json!({"username": "ada", "password": super::world::PASSWORD});
    for path in ["/auth/token/login", "/auth/jwt/create"] {
        assert_eq!(world.post(path, body.clone()).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn allow_is_on_every_answer_and_names_what_is_there() {
    let world = World::new().await;
    for path in POST_ONLY {
        for method in [Method::POST, Method::GET, Method::OPTIONS] {
            let answer = world.ask(Ask::new(method, path)).await;
            assert_eq!(answer.header("allow"), Some("POST, OPTIONS"), "{path}");
        }
    }
    let me = world.ask(Ask::get("/auth/users/me/")).await;
    assert_eq!(me.header("allow"), Some("GET, PUT, PATCH, DELETE, HEAD, OPTIONS"));
}

#[tokio::test]
async fn allow_names_what_only_known_callers_may_do() {
    let world = World::new().await;
    for (path, allowed) in [
        ("/auth/", "GET, HEAD, OPTIONS"),
        ("/auth/users/", "GET, POST, HEAD, OPTIONS"),
        ("/auth/users/7/", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"),
        ("/auth/users/set_password/", "POST, OPTIONS"),
        ("/auth/users/set_username/", "POST, OPTIONS"),
        ("/auth/users/me/logout_all/", "POST, OPTIONS"),
        ("/auth/users/me/logins/", "GET, DELETE, HEAD, OPTIONS"),
        ("/auth/users/me/logins/00/", "DELETE, OPTIONS"),
    ] {
        let answer = world.ask(Ask::get(path)).await;
        let missing = json!({"detail": "Authentication credentials were not provided."});
        answer.is(401, &missing);
        assert_eq!(answer.header("allow"), Some(allowed), "{path}");
        let bare = path.trim_end_matches('/');
        assert_eq!(world.ask(Ask::get(bare)).await.header("location"), Some(path));
    }
}

#[tokio::test]
async fn the_root_names_the_collection_on_a_host_that_is_ours() {
    let world = World::with(|settings| {
        settings.server.allowed_hosts = vec!["app.example.org".into()];
    })
    .await;
    world.register("ada").await;
    let token = world.log_in("ada").await;
    for host in ["app.example.org", "evil.example"] {
        let answer = world.ask(Ask::get("/auth/").bearer(&token).from("192.0.2.1", host)).await;
        answer.is(200, &json!({"users": "https://app.example.org/auth/users/"}));
    }
}

#[tokio::test]
async fn security_headers_and_no_store_are_on_every_answer() {
    let world = World::new().await;
    for path in ["/auth/users/me/", "/auth/jwt/create/"] {
        let answer = world.ask(Ask::get(path)).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
        assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let unknown = world.ask(Ask::get("/auth/nothing/")).await;
    assert_eq!(unknown.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn accept_is_looked_at_before_credentials() {
    let world = World::new().await;
    let ask = Ask::get("/auth/users/me/").header("accept", "text/html").bearer(stale());
    let wanted = json!({"detail": "Could not satisfy the request Accept header."});
    world.ask(ask).await.is(406, &wanted);
}

#[tokio::test]
async fn a_wrong_method_is_401_to_strangers_where_only_post_is_open() {
    let world = World::new().await;
    let missing = json!({"detail": "Authentication credentials were not provided."});
    for path in &POST_ONLY[..6] {
        for method in [Method::GET, Method::OPTIONS, Method::DELETE] {
            let answer = world.ask(Ask::new(method, path)).await;
            answer.is(401, &missing);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"api\""));
        }
    }
    world.register("ada").await;
    let token = world.log_in("ada").await;
    let known = world.ask(Ask::get(POST_ONLY[0]).bearer(&token)).await;
    known.is(405, &json!({"detail": "Method \"GET\" not allowed."}));
}

#[tokio::test]
async fn a_wrong_method_is_405_where_all_are_open_made_up_ones_too() {
    let world = World::new().await;
    let brew = Method::from_bytes(b"BREW").unwrap();
    let answer = world.ask(Ask::new(brew, "/auth/token/login/")).await;
    answer.is(405, &json!({"detail": "Method \"BREW\" not allowed."}));
    world.ask(Ask::new(Method::HEAD, "/auth/token/login/")).await.is_empty(405);
}

#[tokio::test]
async fn a_stale_token_is_refused_even_where_none_is_needed_but_not_by_jwt() {
    let world = World::new().await;
    for path in POST_ONLY {
        let answer = world.ask(Ask::new(Method::POST, path).bearer(stale())).await;
        if path.starts_with("/auth/jwt/") {
            assert_eq!(answer.status, 400, "{path}");
        } else {
            answer.is(401, &json!({"detail": "Invalid token."}));
        }
    }
}

#[tokio::test]
async fn credentials_are_read_as_recorded() {
    let world = World::new().await;
    world.register("ada").await;
    let token = world.log_in("ada").await;
    for good in [format!("Token {token}"), format!("bearer   {token}"), format!("TOKEN {token}")] {
        let answer = world.ask(Ask::get("/auth/users/me/").header("authorization", &good)).await;
        assert_eq!(answer.status, 200, "{good}");
    }
    let cases = [
        ("Basic dXNlcjpwYXNz", "Authentication credentials were not provided."),
        ("", "Authentication credentials were not provided."),
        ("Bearer", "Invalid token header. No credentials provided."),
        ("Bearer a b", "Invalid token header. Token string should not contain spaces."),
        ("Bearer garbage", "Invalid token."),
        ("Token a.b.c", "Invalid token."),
    ];
    for (sent, detail) in cases {
        let answer = world.ask(Ask::get("/auth/users/me/").header("authorization", sent)).await;
        answer.is(401, &json!({ "detail": detail }));
    }
    let twice = Ask::get("/auth/users/me/").bearer(&token).bearer(&token);
    assert_eq!(world.ask(twice).await.status, 400);
}

#[tokio::test]
async fn options_describes_and_head_answers_without_a_body() {
    let world = World::new().await;
    world.register("ada").await;
    let token = world.log_in("ada").await;
    for path in ["/auth/jwt/create/", "/auth/users/me/"] {
        let answer = world.ask(Ask::new(Method::OPTIONS, path).bearer(&token)).await;
        assert_eq!(answer.status, 200);
        assert!(answer.json()["name"].is_string() && answer.json()["description"].is_string());
    }
    world.ask(Ask::new(Method::HEAD, "/auth/users/me/").bearer(&token)).await.is_empty(200);
    world.ask(Ask::new(Method::HEAD, "/auth/users/me/")).await.is_empty(401);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413() {
    let world = World::new().await;
    let body = format!("{{\"username\":\"{}\"}}", "a".repeat(70_000));
    let ask = Ask::new(Method::POST, "/auth/jwt/create/")
        .header("content-type", "application/json")
        .body(body);
    let wanted = json!({"detail": "Request body is too large.", "code": "body_too_large"});
    world.ask(ask).await.is(413, &wanted);
}

#[tokio::test]
async fn no_body_makes_an_endpoint_fail() {
    let world = World::new().await;
    let bodies: [&[u8]; 6] = [
        b"{\"username\":\"\\ud800\",\"refresh\":\"\\ud800\"}",
        b"{\"username\":{\"$ne\":null},\"password\":[\"a\"],\"email\":1,\"token\":{},\"uid\":7}",
        b"{\"username\":\"a\\u0000b\",\"email\":\"a\\u0000@example.org\",\"uid\":\"\\u0000\"}",
        b"{\"uid\":12,\"token\":13,\"new_password\":1e400,\"email\":\"a@b.org\\r\\nBcc: c@d.org\"}",
        b"\xff\xfe",
        b"[[[[",
    ];
    for path in POST_ONLY.iter().chain(&["/auth/users/"]) {
        for body in bodies {
            let ask = Ask::new(Method::POST, path)
                .header("content-type", "application/json")
                .body(body.to_vec());
            let status = world.ask(ask).await.status;
            assert!(status.is_client_error(), "{path} {status}");
        }
    }
}
