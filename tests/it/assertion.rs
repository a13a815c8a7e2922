//! The signed word about who asks: what an upstream gets, and what nobody gets in with.

use std::time::Duration;

use http::Method;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use portcullis::config::Settings;
use serde_json::{Value, json};

use crate::subject::{Ask, Subject};

const NAME: &str = "x-portcullis-assertion";

fn with_assertion(settings: &mut Settings) {
    settings.identity_headers.assertion = "X-Portcullis-Assertion".into();
}

/// What reached the upstream under the name.
async fn reached(subject: &Subject, ask: Ask) -> Option<String> {
    let answer = subject.ask(ask).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    answer.json()["headers"][NAME].as_str().map(str::to_owned)
}

fn get(path: &str) -> Ask {
    Ask::new(Method::GET, path)
}

/// Its claims, as an upstream of this name checks it with the public key set.
async fn checked(
    subject: &Subject,
    assertion: &str,
    audience: &str,
) -> jsonwebtoken::errors::Result<Value> {
    let set: JwkSet =
        serde_json::from_value(subject.get("/.well-known/jwks.json").await.json()).unwrap();
    let header = decode_header(assertion)?;
    assert_eq!(header.typ.as_deref(), Some("assertion+jwt"));
    let key = set.find(header.kid.as_deref().unwrap()).unwrap();
    let mut wanted = Validation::new(Algorithm::ES256);
    wanted.set_audience(&[audience]);
    wanted.set_issuer(&["portcullis"]);
    decode::<Value>(assertion, &DecodingKey::from_jwk(key)?, &wanted).map(|data| data.claims)
}

#[tokio::test]
async fn an_upstream_can_check_who_asks_with_the_public_keys() {
    let subject = Subject::with(with_assertion).await;
    let id = subject.register("ada").await;
    let (token, _) = subject.jwt("ada").await;
    let assertion = reached(&subject, get("/a").bearer(&token)).await.unwrap();
    let claims = checked(&subject, &assertion, "app").await.unwrap();
    assert_eq!(
        (&claims["sub"], &claims["preferred_username"]),
        (&json!(id.to_string()), &json!("ada"))
    );
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
    assert!(checked(&subject, &assertion, "other").await.is_err(), "it is for one upstream");
    // The same for half a minute, whichever route it is.
    assert_eq!(reached(&subject, get("/maybe/b").bearer(&token)).await, Some(assertion.clone()));
    subject.advance(Duration::from_secs(31)).await;
    assert_ne!(reached(&subject, get("/a").bearer(&token)).await.unwrap(), assertion);
}

#[tokio::test]
async fn nobody_else_can_say_it() {
    let subject = Subject::with(with_assertion).await;
    subject.register("ada").await;
    let token = subject.opaque("ada").await;
    let forged = |path: &str| {
        get(path)
            .header("X-Portcullis-Assertion", "forged")
            .header("X_Portcullis_Assertion", "forged")
    };
    assert_eq!(reached(&subject, forged("/public/a")).await, None);
    assert_eq!(reached(&subject, forged("/maybe/a")).await, None);
    let assertion = reached(&subject, forged("/a").bearer(&token)).await.unwrap();
    checked(&subject, &assertion, "app").await.unwrap();
}

#[tokio::test]
async fn an_assertion_is_no_way_in() {
    let subject = Subject::with(with_assertion).await;
    subject.register("ada").await;
    let (token, _) = subject.jwt("ada").await;
    let assertion = reached(&subject, get("/a").bearer(&token)).await.unwrap();
    let refused = subject.get_as("/a", &assertion).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["code"].as_str()),
        (401, Some("token_not_valid"))
    );
    let refreshed = subject.post("/auth/jwt/refresh/", json!({"refresh": assertion})).await;
    assert_eq!(refreshed.status, 401);
    let me = subject.get_as("/auth/users/me/", &assertion).await;
    assert_eq!(me.status, 401);
}

#[tokio::test]
async fn without_the_setting_nothing_is_signed() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let token = subject.opaque("ada").await;
    assert_eq!(reached(&subject, get("/a").bearer(&token)).await, None);
}
