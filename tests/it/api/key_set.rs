//! `/.well-known/jwks.json`.

use http::Method;
use serde_json::json;

use super::world::{Ask, World};

const PATH: &str = "/.well-known/jwks.json";

#[tokio::test]
async fn a_shared_secret_is_never_shown() {
    let world = World::new().await;
    let answer = world.ask(Ask::get(PATH)).await;
    answer.is(200, &json!({"keys": []}));
    assert_eq!(answer.header("content-type"), Some("application/jwk-set+json"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
}

#[tokio::test]
async fn public_keys_are_shown_without_their_private_part() {
    let world = World::with(|settings| settings.tokens.jwt.algorithm = "ES256".into()).await;
    let keys = world.ask(Ask::get(PATH)).await.json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    assert_eq!(keys["keys"][0]["kty"], "EC");
    assert!(keys["keys"][0].get("d").is_none());
}

#[tokio::test]
async fn it_can_only_be_read() {
    let world = World::new().await;
    let answer = world.ask(Ask::new(Method::POST, PATH)).await;
    answer.is(405, &json!({"detail": "Method \"POST\" not allowed."}));
    assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    world.ask(Ask::new(Method::HEAD, PATH)).await.is_empty(200);
}
