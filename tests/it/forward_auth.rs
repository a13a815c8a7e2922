//! Other proxies ask whether a request may pass: the same rules, told in three dialects.

use http::{HeaderMap, Method, StatusCode};
use portcullis::config::{Access, Route, Settings};
use serde_json::json;

use crate::subject::{Answer, Ask, Subject};

/// A gateway that believes this machine, and that has no upstream at all.
async fn asked_by_this_machine() -> Subject {
    Subject::with(|settings| {
        settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        settings.upstreams.clear();
        settings.routes = vec![
            only_asked("/public/", Access::Anonymous),
            only_asked("/staff/", Access::Staff),
            only_asked("/", Access::Authenticated),
        ];
    })
    .await
}

fn only_asked(path: &str, access: Access) -> Route {
    Route { path: path.to_owned(), access, upstream: None, ..Route::default() }
}

/// Asks about a GET of this path in one of the dialects.
async fn ask(subject: &Subject, dialect: &str, path: &str, lines: &[(&str, &str)]) -> Answer {
    let mut ask = match dialect {
        "ext-authz" => Ask::new(Method::GET, &format!("/_portcullis/ext-authz{path}")),
        "auth-request" => Ask::new(Method::GET, "/_portcullis/auth-request")
            .header("X-Original-Method", "GET")
            .header("X-Original-URL", &format!("https://app.example{path}")),
        _ => Ask::new(Method::GET, "/_portcullis/forward-auth")
            .header("X-Forwarded-Method", "GET")
            .header("X-Forwarded-Host", "app.example")
            .header("X-Forwarded-Uri", path),
    };
    for (name, value) in lines {
        ask = ask.header(name, value);
    }
    subject.ask(ask).await
}

const DIALECTS: [&str; 3] = ["forward-auth", "auth-request", "ext-authz"];

fn identity(headers: &HeaderMap) -> [&str; 4] {
    ["x-forwarded-user", "x-forwarded-user-id", "x-forwarded-email", "x-forwarded-groups"]
        .map(|name| headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_pass_is_200_with_the_identity_and_every_name_is_written() {
    let subject = asked_by_this_machine().await;
    let id = subject.register("ada").await.to_string();
    let (opaque, (access, _)) = (subject.opaque("ada").await, subject.jwt("ada").await);
    for dialect in DIALECTS {
        for credential in [format!("Token {opaque}"), format!("Bearer {access}")] {
            let forged = [
                ("Authorization", credential.as_str()),
                ("X-Forwarded-User", "root"),
                ("X-Forwarded-Groups", "admins"),
            ];
            let answer = ask(&subject, dialect, "/things/?a=b", &forged).await;
            assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0), "{dialect}");
            // An unverified address is none; nothing that was forged comes back.
            assert_eq!(identity(&answer.headers), ["ada", &id, "", ""], "{dialect}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.header("authorization"), None);
        }
        let answer = ask(&subject, dialect, "/public/x", &[("X-Forwarded-User", "root")]).await;
        assert_eq!(answer.status, StatusCode::OK, "{dialect}");
        assert_eq!(identity(&answer.headers), [""; 4], "{dialect}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_pass_is_refused_as_if_we_had_forwarded() {
    let subject = asked_by_this_machine().await;
    subject.register("ada").await;
    let token = format!("Token {}", subject.opaque("ada").await);
    for dialect in DIALECTS {
        let none = ask(&subject, dialect, "/", &[]).await;
        assert_eq!(none.status, StatusCode::UNAUTHORIZED, "{dialect}");
        assert_eq!(none.header("www-authenticate"), Some("Bearer realm=\"api\""));
        let missing = "Authentication credentials were not provided.";
        assert_eq!(none.json(), json!({ "detail": missing }));
        assert_eq!(none.header("x-forwarded-user"), None);

        let bad = ask(&subject, dialect, "/", &[("Authorization", "Token wrong")]).await;
        assert_eq!(bad.status, StatusCode::UNAUTHORIZED, "{dialect}");
        assert_eq!(bad.json(), json!({"detail": "Invalid token."}));

        let staff = ask(&subject, dialect, "/staff/x", &[("Authorization", &token)]).await;
        assert_eq!(staff.status, StatusCode::FORBIDDEN, "{dialect}");
        assert_eq!(staff.json()["code"], json!("permission_denied"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_is_heard_of_by_the_next_question() {
    let subject = asked_by_this_machine().await;
    subject.register("ada").await;
    let token = format!("Token {}", subject.opaque("ada").await);
    let lines = [("Authorization", token.as_str())];
    for dialect in DIALECTS {
        assert_eq!(ask(&subject, dialect, "/", &lines).await.status, StatusCode::OK, "{dialect}");
    }
    let logout = Ask::new(Method::POST, "/auth/token/logout/").header("Authorization", &token);
    assert_eq!(subject.ask(logout).await.status, StatusCode::NO_CONTENT);
    for dialect in DIALECTS {
        let answer = ask(&subject, dialect, "/", &lines).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{dialect}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_with_two_readings_passes_nobody() {
    let subject = asked_by_this_machine().await;
    subject.register("ada").await;
    let token = format!("Token {}", subject.opaque("ada").await);
    for path in ["/public/../staff/", "/public/%2e%2e/staff/", "/public//x", "/public%2fx", "/a;b"]
    {
        for dialect in DIALECTS {
            let answer = ask(&subject, dialect, path, &[("Authorization", &token)]).await;
            let expected = if dialect == "auth-request" { 403 } else { 400 };
            assert_eq!(answer.status.as_u16(), expected, "{dialect} {path}");
            assert_eq!(answer.json()["code"], json!("bad_request"), "{dialect} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nginx_does_not_take_is_403_with_the_status_that_was_meant() {
    let subject = Subject::with(|settings: &mut Settings| {
        settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        settings.routes = vec![only_asked("/known/", Access::Authenticated)];
    })
    .await;
    let nowhere = ask(&subject, "auth-request", "/unknown/", &[]).await;
    assert_eq!(
        (nowhere.status.as_u16(), nowhere.header("x-portcullis-status")),
        (403, Some("404"))
    );
    let others = ask(&subject, "forward-auth", "/unknown/", &[]).await;
    assert_eq!((others.status.as_u16(), others.header("x-portcullis-status")), (404, None));
    let method = Ask::new(Method::GET, "/_portcullis/auth-request")
        .header("X-Original-Method", "TRACE")
        .header("X-Original-URL", "https://app.example/known/");
    let answer = subject.ask(method).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-portcullis-status")), (403, Some("405")));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_guessed_and_nothing_told_twice_is_believed() {
    let subject = asked_by_this_machine().await;
    subject.register("ada").await;
    let token = format!("Token {}", subject.opaque("ada").await);
    let forward = |lines: &[(&str, &str)]| {
        let mut ask = Ask::new(Method::GET, "/_portcullis/forward-auth");
        for (name, value) in lines.iter().chain(&[("Authorization", token.as_str())]) {
            ask = ask.header(name, value);
        }
        ask
    };
    let whole = [
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Host", "app.example"),
        ("X-Forwarded-Uri", "/"),
    ];
    assert_eq!(subject.ask(forward(&whole)).await.status, StatusCode::OK);
    for left_out in 0..whole.len() {
        let mut less = whole.to_vec();
        less.remove(left_out);
        let answer = subject.ask(forward(&less)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "without {:?}", whole[left_out]);
        let mut twice = whole.to_vec();
        twice.push(whole[left_out]);
        let answer = subject.ask(forward(&twice)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{:?} twice", whole[left_out]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_asks_learns_nothing() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let token = format!("Token {}", subject.opaque("ada").await);
    let nothing = json!({"detail": "Not found.", "code": "not_found"});
    for dialect in DIALECTS {
        for path in ["/", "/public/", "/staff/"] {
            for lines in [&[][..], &[("Authorization", token.as_str())]] {
                let answer = ask(&subject, dialect, path, lines).await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{dialect} {path}");
                assert_eq!(answer.json(), nothing, "{dialect} {path}");
                assert_eq!(answer.header("x-forwarded-user"), None);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_without_an_upstream_is_answered_about_and_never_forwarded() {
    let subject = asked_by_this_machine().await;
    subject.register("ada").await;
    let token = subject.opaque("ada").await;
    let lines = [("Authorization", &*format!("Token {token}"))];
    assert_eq!(ask(&subject, "forward-auth", "/x", &lines).await.status, StatusCode::OK);
    let direct = Ask::new(Method::GET, "/x").header("Authorization", &format!("Token {token}"));
    assert_eq!(subject.ask(direct).await.status, StatusCode::NOT_FOUND);
    assert_eq!(subject.reached(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_of_the_request_that_was_asked_about() {
    let subject = asked_by_this_machine().await;
    subject.register("ada").await;
    let token = format!("Token {}", subject.opaque("ada").await);
    ask(&subject, "auth-request", "/things/?secret=1", &[("Authorization", &token)]).await;
    let line = subject.logged(&["\"portcullis.asked_by\":\"auth-request\""]).await;
    for wanted in
        ["\"url.path\":\"/things/\"", "\"user.name\":\"ada\"", "\"portcullis.route\":\"/\""]
    {
        assert!(line.contains(wanted), "{line}");
    }
    assert!(!line.contains("secret"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_paths_pass_without_an_identity_but_not_the_questions_themselves() {
    let subject = asked_by_this_machine().await;
    for dialect in ["forward-auth", "auth-request"] {
        let answer = ask(&subject, dialect, "/auth/users/me/", &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{dialect}");
        assert_eq!(identity(&answer.headers), [""; 4]);
        let answer = ask(&subject, dialect, "/_portcullis/forward-auth", &[]).await;
        let expected = if dialect == "auth-request" { 403 } else { 404 };
        assert_eq!(answer.status.as_u16(), expected, "{dialect}");
    }
}
