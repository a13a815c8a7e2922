//! `token/login/` and `token/logout/`.

use http::Method;
use portcullis::config::Rate;
use serde_json::json;
use std::time::Duration;

use super::world::{Answer, Ask, PASSWORD, World};

async fn log_out(world: &World, token: &str) -> Answer {
    world.ask(Ask::new(Method::POST, "/auth/token/logout/").bearer(token)).await
}

#[tokio::test]
async fn every_failed_login_has_the_same_answer() {
    let world = World::new().await;
    world.register("ada").await;
    world.register("idle").await;
    world.deactivate("idle").await;
    let wanted = json!({"non_field_errors": ["Unable to log in with provided credentials."]});
    for (name, password) in [
        ("ada", "wrong"),
        ("nobody", PASSWORD),
        ("idle", PASSWORD),
        ("ADA", PASSWORD),
        ("ada@example.org", PASSWORD),
        ("ada", "k".repeat(20_000).as_str()),
        ("' OR 1=1 --", PASSWORD),
    ] {
        world.try_log_in(name, password).await.is(400, &wanted);
    }
    for body in [json!({}), json!({"username": "ada"}), json!({"password": PASSWORD})] {
        world.post("/auth/token/login/", body).await.is(400, &wanted);
    }
}

#[tokio::test]
async fn a_login_sets_last_login() {
    let world = World::new().await;
    world.register("ada").await;
    assert_eq!(world.user("ada").await.last_login, None);
    world.log_in("ada").await;
    assert_eq!(world.user("ada").await.last_login, Some(world.clock.now()));
}

#[tokio::test]
async fn each_login_has_a_token_of_its_own_here_and_shares_one_with_djoser() {
    let world = World::new().await;
    world.register("ada").await;
    let (phone, laptop) = (world.log_in("ada").await, world.log_in("ada").await);
    assert_ne!(phone, laptop);
    log_out(&world, &phone).await.is_empty(204);
    assert_eq!(world.me(&phone).await.status, 401);
    assert_eq!(world.me(&laptop).await.status, 200);

    let djoser = World::djoser().await;
    djoser.register("ada").await;
    let first = djoser.log_in("ada").await;
    assert_eq!(djoser.log_in("ada").await, first);
    log_out(&djoser, &first).await.is_empty(204);
    assert_eq!(djoser.me(&first).await.status, 401);
    assert_ne!(djoser.log_in("ada").await, first);
}

#[tokio::test]
async fn a_name_logs_in_as_it_was_typed_at_registration_but_with_djoser_only_as_stored() {
    for (world, wanted) in [(World::new().await, 200), (World::djoser().await, 400)] {
        let form = json!({"username": "⁰⁴⁵₀₁₂", "email": "ada@example.org",
            "password": PASSWORD, "re_password": PASSWORD});
        let registered = world.post("/auth/users/", form).await;
        assert_eq!(registered.json()["username"], "045012");
        for (path, refused) in [("/auth/token/login/", 400), ("/auth/jwt/create/", 401)] {
            let log_in = async |name: &str, password: &str| {
                let form = json!({"username": name, "password": password});
                world.post(path, form).await.status.as_u16()
            };
            let wanted = if wanted == 200 { 200 } else { refused };
            assert_eq!(log_in("⁰⁴⁵₀₁₂", PASSWORD).await, wanted, "{path}");
            assert_eq!(log_in("045012", PASSWORD).await, 200, "{path}");
            assert_eq!(log_in("⁰⁴⁵₀₁₂", "wrong").await, refused, "{path}");
            assert_eq!(log_in("⁰⁴⁵₀₁₃", PASSWORD).await, refused, "{path}");
        }
    }
}

#[tokio::test]
async fn a_second_logout_is_refused_and_the_body_is_never_read() {
    let world = World::new().await;
    world.register("ada").await;
    let token = world.log_in("ada").await;
    let ask = Ask::new(Method::POST, "/auth/token/logout/")
        .header("content-type", "application/xml")
        .bearer(&token)
        .body("{");
    world.ask(ask).await.is_empty(204);
    log_out(&world, &token).await.is(401, &json!({"detail": "Invalid token."}));
}

#[tokio::test]
async fn logout_with_a_jwt_ends_that_login_alone() {
    let world = World::new().await;
    world.register("ada").await;
    let opaque = world.log_in("ada").await;
    let (refresh, access) = world.log_in_jwt("ada").await;
    let (_, other) = world.log_in_jwt("ada").await;
    log_out(&world, &access).await.is_empty(204);
    let ended = json!({
        "detail": "Given token not valid for any token type",
        "code": "token_not_valid",
        "messages": [{
            "token_class": "AccessToken",
            "token_type": "access",
            "message": "Token is blacklisted",
        }],
    });
    world.me(&access).await.is(401, &ended);
    let refused = world.post("/auth/jwt/refresh/", json!({ "refresh": refresh })).await;
    refused.is(401, &json!({"detail": "Token is blacklisted", "code": "token_not_valid"}));
    assert_eq!(world.me(&other).await.status, 200);
    assert_eq!(world.me(&opaque).await.status, 200);
}

#[tokio::test]
async fn with_djoser_logout_with_a_jwt_ends_the_opaque_token_and_not_the_jwt() {
    let world = World::djoser().await;
    world.register("ada").await;
    let opaque = world.log_in("ada").await;
    let (_, access) = world.log_in_jwt("ada").await;
    log_out(&world, &access).await.is_empty(204);
    assert_eq!(world.me(&opaque).await.status, 401);
    assert_eq!(world.me(&access).await.status, 200);
}

#[tokio::test]
async fn a_jwt_that_names_no_login_is_ended_by_itself() {
    let world = World::with(|settings| settings.tokens.jwt.extra_claims.clear()).await;
    world.register("ada").await;
    let (_, access) = world.log_in_jwt("ada").await;
    let (_, other) = world.log_in_jwt("ada").await;
    log_out(&world, &access).await.is_empty(204);
    assert_eq!(world.me(&access).await.status, 401);
    assert_eq!(world.me(&other).await.status, 200);
}

#[tokio::test]
async fn guessing_is_throttled_and_known_addresses_are_spared() {
    let world = World::with(|settings| {
        settings.limits.throttling = true;
        settings.limits.login_per_account = Rate { count: 3, per: Duration::from_mins(1) };
    })
    .await;
    world.register("ada").await;
    let attempt = |password: &str, address: &str| {
        Ask::new(Method::POST, "/auth/token/login/")
            .json(&json!({"username": "ada", "password": password}))
            .from(address, "localhost")
    };
    assert_eq!(world.ask(attempt(PASSWORD, "192.0.2.1")).await.status, 200);
    let mut last = 400;
    for _ in 0..20 {
        last = world.ask(attempt("wrong", "192.0.2.66")).await.status.as_u16();
    }
    assert_eq!(last, 429);
    let refused = world.ask(attempt(PASSWORD, "192.0.2.66")).await;
    assert_eq!(refused.status, 429);
    let text = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(text.starts_with("Request was throttled. Expected available in "), "{text}");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(world.ask(attempt(PASSWORD, "192.0.2.1")).await.status, 200);
}

#[tokio::test]
async fn an_address_may_be_the_login_field() {
    let world = World::with(|settings| settings.accounts.login_field = "email".into()).await;
    world.register("ada").await;
    let body = json!({"email": "Ada@example.org", "password": PASSWORD});
    assert_eq!(world.post("/auth/token/login/", body.clone()).await.status, 200);
    assert_eq!(world.post("/auth/jwt/create/", body).await.status, 200);
    let body = json!({"username": "ada", "password": PASSWORD});
    assert_eq!(world.post("/auth/token/login/", body).await.status, 400);
}
