//! Routes that take a name and a password with every request, over real HTTP.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use portcullis::config::{Access, Rate, Route, Scheme, Settings};
use serde_json::{Value, json};

use crate::subject::{Answer, Ask, PASSWORD, Subject, route};

const BEARER: &str = "Bearer realm=\"api\"";
const BASIC: &str = "Basic realm=\"api\", charset=\"UTF-8\"";

fn taking(path: &str, access: Access, credentials: &[Scheme]) -> Route {
    Route { credentials: credentials.to_vec(), ..route(path, access) }
}

fn routes(settings: &mut Settings) {
    let both = [Scheme::Bearer, Scheme::Basic];
    settings.routes.extend([
        taking("/dav/", Access::Authenticated, &both),
        taking("/git/", Access::Authenticated, &both[1..]),
        taking("/open/", Access::Optional, &both),
        taking("/team/", Access::Staff, &both),
        Route { forward_credential: true, ..taking("/own/", Access::Authenticated, &both) },
    ]);
}

async fn start() -> Subject {
    Subject::with(routes).await
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

async fn get(subject: &Subject, path: &str, authorization: &str) -> Answer {
    subject.ask(Ask::new(Method::GET, path).header("Authorization", authorization)).await
}

fn challenges(answer: &Answer) -> Vec<&str> {
    let all = answer.headers.get_all("www-authenticate").iter();
    all.map(|value| value.to_str().unwrap()).collect()
}

fn wrong() -> Value {
    json!({"detail": "Invalid username/password."})
}

#[tokio::test]
async fn a_right_password_passes_and_the_upstream_sees_who_it_is_but_not_the_password() {
    let subject = start().await;
    let id = subject.register("ada").await;
    for path in ["/dav/x", "/git/x", "/open/x"] {
        for _ in 0..2 {
            let seen = get(&subject, path, &basic("ada", PASSWORD)).await;
            assert_eq!(seen.status, StatusCode::OK, "{path}");
            let headers = &seen.json()["headers"];
            assert_eq!(headers["x-forwarded-user"], "ada");
            assert_eq!(headers["x-forwarded-user-id"], id.to_string());
            assert!(headers["authorization"].is_null());
        }
    }
    let credential = basic("ada", PASSWORD);
    let seen = get(&subject, "/own/x", &credential).await.json();
    assert_eq!(seen["headers"]["authorization"], credential);
}

#[tokio::test]
async fn unknown_names_and_wrong_passwords_get_the_same_answer_and_both_challenges() {
    let subject = start().await;
    subject.register("ada").await;
    for credential in [
        basic("ada", "wrong"),
        basic("nobody", PASSWORD),
        basic("", PASSWORD),
        basic("ada", ""),
        basic("ada", &format!("{PASSWORD} ")),
        basic("ada", &"x".repeat(5000)),
        basic("ada", &"x".repeat(12_000)),
        basic(&"a".repeat(2000), PASSWORD),
        basic("ada", "eyJhbGciOiJub25lIn0.e30."),
        basic("ada", &"0".repeat(40)),
    ] {
        for path in ["/dav/x", "/open/x"] {
            let refused = get(&subject, path, &credential).await;
            let short = &credential[..credential.len().min(40)];
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{short}");
            assert_eq!(refused.json(), wrong(), "{short}");
            assert_eq!(challenges(&refused), [BEARER, BASIC]);
        }
        // The throttle is not what this is about.
        subject.advance(std::time::Duration::from_mins(10)).await;
    }
    assert_eq!(subject.reached(), 0);
}

#[tokio::test]
async fn malformed_credentials_are_401_whatever_is_wrong_with_them() {
    let subject = start().await;
    let encoding = "Invalid basic header. Credentials not correctly base64 encoded.";
    let empty = "Invalid basic header. No credentials provided.";
    let spaces = "Invalid basic header. Credentials string should not contain spaces.";
    let nul = basic("ada", "a\0b");
    let no_colon = format!("Basic {}", STANDARD.encode("ada"));
    let latin = format!("Basic {}", STANDARD.encode(b"ad\xe9:x"));
    for (sent, detail) in [
        ("Basic", empty),
        ("Basic YTpi YTpi", spaces),
        ("Basic %%%", encoding),
        ("Basic YTp", encoding),
        ("Basic YTpi=", encoding),
        (&*nul, encoding),
        (&*no_colon, encoding),
        (&*latin, encoding),
    ] {
        let refused = get(&subject, "/dav/x", sent).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{sent}");
        assert_eq!(refused.json(), json!({ "detail": detail }), "{sent}");
        assert_eq!(challenges(&refused), [BEARER, BASIC], "{sent}");
    }
    let twice = Ask::new(Method::GET, "/dav/x").header("Authorization", "Basic YTpi");
    let twice = subject.ask(twice.bearer("x")).await;
    assert_eq!(twice.status, StatusCode::BAD_REQUEST);
    assert_eq!(subject.reached(), 0);
}

#[tokio::test]
async fn each_route_takes_what_it_lists_and_does_not_see_the_rest() {
    let subject = start().await;
    subject.register("ada").await;
    let missing = json!({"detail": "Authentication credentials were not provided."});
    let token = format!("Bearer {}", subject.opaque("ada").await);
    let password = basic("ada", PASSWORD);
    for (path, sent, wanted, told) in [
        ("/x", &password, StatusCode::UNAUTHORIZED, &[BEARER][..]),
        ("/git/x", &token, StatusCode::UNAUTHORIZED, &[BASIC][..]),
        ("/x", &token, StatusCode::OK, &[][..]),
        ("/dav/x", &token, StatusCode::OK, &[][..]),
    ] {
        let answer = get(&subject, path, sent).await;
        assert_eq!(answer.status, wanted, "{path}");
        assert_eq!(challenges(&answer), told, "{path}");
        assert!(wanted == StatusCode::OK || answer.json() == missing, "{path}");
    }
    let nothing = subject.get("/git/x").await;
    assert_eq!((nothing.status, challenges(&nothing)), (StatusCode::UNAUTHORIZED, vec![BASIC]));
    assert_eq!(subject.get("/open/x").await.status, StatusCode::OK);
    let forbidden = get(&subject, "/team/x", &password).await;
    assert_eq!((forbidden.status, challenges(&forbidden)), (StatusCode::FORBIDDEN, vec![]));
}

#[tokio::test]
async fn the_api_takes_no_password_in_a_header() {
    let subject = start().await;
    subject.register("ada").await;
    let refused = get(&subject, "/auth/users/me/", &basic("ada", PASSWORD)).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(challenges(&refused), [BEARER]);
}

#[tokio::test]
async fn a_password_that_was_reset_ends_at_once_and_the_new_one_passes() {
    for log_out in [true, false] {
        let subject = Subject::with(|settings| {
            routes(settings);
            settings.accounts.logout_on_password_change = log_out;
        })
        .await;
        subject.register("ada").await;
        let old = basic("ada", PASSWORD);
        assert_eq!(get(&subject, "/dav/x", &old).await.status, StatusCode::OK);
        let mail = json!({"email": "ada@example.org"});
        let asked = subject.post("/auth/users/reset_password/", mail).await;
        assert_eq!(asked.status, StatusCode::NO_CONTENT);
        let (uid, token) = subject.next_link().await;
        let new = "another-good-passphrase";
        let confirm = json!({"uid": uid, "token": token, "new_password": new});
        let done = subject.post("/auth/users/reset_password_confirm/", confirm).await;
        assert_eq!(done.status, StatusCode::NO_CONTENT, "{}", done.json());
        let refused = get(&subject, "/dav/x", &old).await;
        assert_eq!((refused.status, refused.json()), (StatusCode::UNAUTHORIZED, wrong()));
        assert_eq!(get(&subject, "/dav/x", &basic("ada", new)).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_token_goes_in_the_passwords_place_and_ends_with_its_logout() {
    let subject = start().await;
    subject.register("ada").await;
    let (access, _) = subject.jwt("ada").await;
    let opaque = subject.opaque("ada").await;
    for token in [&access, &opaque] {
        for name in ["ada", "x-token-auth", ""] {
            let seen = get(&subject, "/git/x", &basic(name, token)).await;
            assert_eq!(seen.json()["headers"]["x-forwarded-user"], "ada", "{name}");
        }
        let other = get(&subject, "/git/x", &basic("eve", token)).await;
        assert_eq!((other.status, other.json()), (StatusCode::UNAUTHORIZED, wrong()));
        let out = Ask::new(Method::POST, "/auth/token/logout/").bearer(token);
        assert_eq!(subject.ask(out).await.status, StatusCode::NO_CONTENT);
        let ended = get(&subject, "/git/x", &basic("ada", token)).await;
        assert_eq!((ended.status, ended.json()), (StatusCode::UNAUTHORIZED, wrong()));
    }
}

#[tokio::test]
async fn too_many_wrong_passwords_are_throttled_with_the_logins_and_a_known_one_is_not() {
    let subject = Subject::with(|settings| {
        routes(settings);
        settings.limits.login_per_address = "5/h".parse::<Rate>().unwrap();
    })
    .await;
    subject.register("ada").await;
    let right = basic("ada", PASSWORD);
    assert_eq!(get(&subject, "/dav/x", &right).await.status, StatusCode::OK);
    for attempt in 0..4 {
        let refused = get(&subject, "/dav/x", &basic(&format!("n{attempt}"), "wrong")).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
    let refused = get(&subject, "/dav/x", &basic("n5", "wrong")).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.json()["code"], "throttled");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(seconds > 0);
    let login = json!({"username": "ada", "password": PASSWORD});
    let login = subject.post("/auth/token/login/", login).await;
    assert_eq!(login.status, StatusCode::TOO_MANY_REQUESTS, "they are counted together");
    assert_eq!(get(&subject, "/dav/x", &right).await.status, StatusCode::OK);
}

#[tokio::test]
async fn blanks_around_a_password_are_dropped_where_logins_drop_them() {
    let subject = Subject::with(|settings| {
        routes(settings);
        settings.accounts.trim_passwords = true;
    })
    .await;
    subject.register("ada").await;
    let padded = basic(" ada ", &format!(" {PASSWORD} "));
    assert_eq!(get(&subject, "/dav/x", &padded).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_name_passes_in_another_spelling_where_logins_know_it() {
    for normalize in [true, false] {
        let subject = Subject::with(|settings| {
            routes(settings);
            settings.accounts.normalize_login = normalize;
        })
        .await;
        subject.register("ada").await;
        let answer = get(&subject, "/dav/x", &basic("ａｄａ", PASSWORD)).await;
        let wanted = if normalize { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        assert_eq!(answer.status, wanted);
    }
}

#[tokio::test]
async fn log_and_metrics_say_basic_and_never_the_password() {
    let subject = start().await;
    subject.register("ada").await;
    let seen = get(&subject, "/dav/x", &basic("ada", PASSWORD)).await;
    assert_eq!(seen.status, StatusCode::OK);
    let line = subject.logged(&["/dav/x"]).await;
    assert!(line.contains(r#""portcullis.credential":"basic""#), "{line}");
    assert!(line.contains(r#""portcullis.reason":"authenticated""#), "{line}");
    assert!(!line.contains(PASSWORD) && !line.contains(&basic("ada", PASSWORD)[6..]), "{line}");
    let refused = get(&subject, "/dav/y", &basic("ada", "wrong")).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let line = subject.logged(&["/dav/y"]).await;
    assert!(line.contains(r#""portcullis.reason":"wrong_password""#), "{line}");
    let counted = r#"credential="basic",decision="allow",mode="enforce",reason="authenticated",route="/dav/"} 1"#;
    let metrics = subject.metrics().await;
    assert!(metrics.contains(counted), "{metrics}");
}
