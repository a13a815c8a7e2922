//! Each access rule with its allowed and its refused case, over real HTTP.

use http::{Method, StatusCode};
use portcullis::config::Access;
use serde_json::json;

use crate::subject::{Ask, Subject, route};

fn missing() -> serde_json::Value {
    json!({"detail": "Authentication credentials were not provided."})
}

#[tokio::test]
async fn an_anonymous_route_does_not_look_at_credentials() {
    let subject = Subject::start().await;
    let plain = subject.get("/public/x").await;
    assert_eq!(plain.status, StatusCode::OK);
    assert!(plain.json()["headers"]["x-forwarded-user"].is_null());
    let with = subject.get_as("/public/x", "no-such-token").await;
    assert_eq!(with.status, StatusCode::OK);
    assert_eq!(with.json()["headers"]["authorization"], "Bearer no-such-token");
    assert!(with.json()["headers"]["x-forwarded-user"].is_null());
}

#[tokio::test]
async fn an_optional_route_takes_none_or_a_good_credential_but_not_a_bad_one() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let token = subject.opaque("ada").await;
    assert_eq!(subject.get("/maybe/x").await.status, StatusCode::OK);
    let known = subject.get_as("/maybe/x", &token).await;
    assert_eq!(known.json()["headers"]["x-forwarded-user"], "ada");
    assert!(known.json()["headers"]["authorization"].is_null());
    let bad = subject.get_as("/maybe/x", "no-such-token").await;
    assert_eq!(bad.status, StatusCode::UNAUTHORIZED);
    assert_eq!(bad.json(), json!({"detail": "Invalid token."}));
}

#[tokio::test]
async fn an_authenticated_route_refuses_strangers() {
    let subject = Subject::start().await;
    let refused = subject.get("/x").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.json(), missing());
    assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"api\""));
    assert_eq!(subject.reached(), 0);
}

#[tokio::test]
async fn a_staff_route_refuses_other_users_with_403() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let token = subject.opaque("ada").await;
    let refused = subject.get_as("/staff/x", &token).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.json()["detail"], "You do not have permission to perform this action.");
    assert_eq!(subject.get("/staff/x").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(subject.reached(), 0);
}

#[tokio::test]
async fn a_denied_route_refuses_everybody() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let token = subject.opaque("ada").await;
    assert_eq!(subject.get_as("/never/x", &token).await.status, StatusCode::FORBIDDEN);
    assert_eq!(subject.get("/never/x").await.status, StatusCode::FORBIDDEN);
    assert_eq!(subject.reached(), 0);
}

#[tokio::test]
async fn what_no_route_matches_is_404() {
    let subject = Subject::with(|s| s.routes.retain(|r| r.path != "/")).await;
    let unknown = subject.get("/elsewhere").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(subject.reached(), 0);
}

#[tokio::test]
async fn a_route_may_forward_the_checked_credential() {
    let subject = Subject::with(|s| {
        let mut forwarding = route("/own-check/", Access::Authenticated);
        forwarding.forward_credential = true;
        s.routes.push(forwarding);
    })
    .await;
    subject.register("ada").await;
    let token = subject.opaque("ada").await;
    let seen = subject.get_as("/own-check/x", &token).await.json();
    assert_eq!(seen["headers"]["authorization"], format!("Bearer {token}"));
    assert_eq!(seen["headers"]["x-forwarded-user"], "ada");
}

#[tokio::test]
async fn a_header_that_claims_an_identity_never_reaches_the_upstream() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let token = subject.opaque("ada").await;
    for name in [
        "X-Forwarded-User",
        "x-forwarded-user",
        "X_Forwarded_User",
        "X-Forwarded.User",
        "X-Forwarded-Groups",
        "Remote-User",
        "X-Portcullis-Assertion",
        "X-Auth-Request-User",
    ] {
        for path in ["/x", "/public/x", "/maybe/x"] {
            let ask = Ask::new(Method::GET, path).bearer(&token).header(name, "forged");
            let seen = subject.ask(ask).await;
            assert_eq!(seen.status, StatusCode::OK, "{name} on {path}");
            assert!(!seen.json()["headers"].to_string().contains("forged"), "{name} on {path}");
        }
    }
}

#[tokio::test]
async fn a_missing_upstream_is_502_in_json() {
    let subject = Subject::with(|s| s.upstreams[0].servers = vec!["127.0.0.1:1".into()]).await;
    let answer = subject.get("/public/x").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.json()["detail"].is_string() && answer.json()["code"].is_string());
}

/// djoser's own documents set `AUTH_HEADER_TYPES = ("JWT",)`.
#[tokio::test]
async fn a_jwt_follows_the_word_that_the_settings_name() {
    let subject = Subject::with(|settings| {
        settings.tokens.jwt.auth_header_types = vec!["JWT".to_owned()];
    })
    .await;
    subject.register("ada").await;
    let (access, _) = subject.jwt("ada").await;
    let opaque = subject.opaque("ada").await;
    let said = |path: &str, words: String| {
        subject.ask(Ask::new(Method::GET, path).header("authorization", &words))
    };
    let passed = said("/x", format!("JWT {access}")).await;
    assert_eq!(passed.json()["headers"]["x-forwarded-user"], "ada");
    assert!(passed.json()["headers"]["authorization"].is_null());
    assert_eq!(said("/auth/users/me/", format!("JWT {access}")).await.status, StatusCode::OK);
    assert_eq!(said("/x", format!("Token {opaque}")).await.status, StatusCode::OK);
    for words in [format!("Bearer {access}"), format!("JWT {opaque}")] {
        let refused = said("/x", words).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
}
