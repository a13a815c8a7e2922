//! Rotation of refresh tokens, `jwt/blacklist/`, and the names of claims.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::world::{Answer, World};

async fn rotating() -> World {
    World::with(|settings| {
        settings.tokens.jwt.rotate_refresh_tokens = true;
        settings.tokens.jwt.blacklist_after_rotation = true;
    })
    .await
}

async fn refresh(world: &World, token: &str) -> Answer {
    world.post("/auth/jwt/refresh/", json!({"refresh": token})).await
}

async fn next(world: &World, token: &str) -> String {
    let answer = refresh(world, token).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["refresh"].as_str().unwrap().to_owned()
}

fn blacklisted() -> Value {
    json!({"detail": "Token is blacklisted", "code": "token_not_valid"})
}

#[tokio::test]
async fn two_refreshes_at_once_are_both_good_and_so_are_their_successors() {
    let world = rotating().await;
    world.register("ada").await;
    let (token, _) = world.log_in_jwt("ada").await;
    let (one, other) = (next(&world, &token).await, next(&world, &token).await);
    world.pass(Duration::from_secs(10));
    next(&world, &token).await;
    for successor in [one, other] {
        next(&world, &successor).await;
    }
}

#[tokio::test]
async fn a_used_token_that_comes_back_later_ends_the_whole_login() {
    let world = rotating().await;
    world.register("ada").await;
    let (token, access) = world.log_in_jwt("ada").await;
    let elsewhere = world.log_in("ada").await;
    let successor = next(&world, &token).await;
    world.pass(Duration::from_secs(11));
    refresh(&world, &token).await.is(401, &blacklisted());
    refresh(&world, &successor).await.is(401, &blacklisted());
    assert_eq!(world.me(&access).await.status, 401);
    assert_eq!(world.me(&elsewhere).await.status, 200);
}

#[tokio::test]
async fn verify_knows_a_used_token_and_asking_ends_nothing() {
    let world = rotating().await;
    world.register("ada").await;
    let (token, _) = world.log_in_jwt("ada").await;
    let successor = next(&world, &token).await;
    world.pass(Duration::from_secs(11));
    let wanted = json!({"non_field_errors": ["Token is blacklisted"]});
    world.post("/auth/jwt/verify/", json!({"token": token})).await.is(400, &wanted);
    next(&world, &successor).await;
}

#[tokio::test]
async fn a_login_lives_as_long_as_its_newest_refresh_token() {
    for blacklist in [false, true] {
        let world = World::with(|settings| {
            settings.tokens.jwt.rotate_refresh_tokens = true;
            settings.tokens.jwt.blacklist_after_rotation = blacklist;
        })
        .await;
        world.register("ada").await;
        let (token, _) = world.log_in_jwt("ada").await;
        world.pass(Duration::from_hours(20));
        next(&world, &token).await;
        let id = world.user("ada").await.id;
        let login = world.store.logins_of(id).await.unwrap().remove(0);
        let end = world.clock.now().plus(Duration::from_hours(24));
        assert_eq!((login.expires, login.last_used), (Some(end), world.clock.now()));
    }
}

#[tokio::test]
async fn blacklisting_ends_the_login_here_and_the_refresh_token_alone_with_djoser() {
    for (world, access_then) in [(World::new().await, 401), (World::djoser().await, 200)] {
        let body = json!({
            "username": "ada", "password": super::world::PASSWORD,
            "re_password": super::world::PASSWORD,
        });
        assert_eq!(world.post("/auth/users/", body).await.status, 201);
        let (token, access) = world.log_in_jwt("ada").await;
        let body = json!({"refresh": token});
        world.post("/auth/jwt/blacklist/", body.clone()).await.is(200, &json!({}));
        world.post("/auth/jwt/blacklist/", body).await.is(401, &blacklisted());
        refresh(&world, &token).await.is(401, &blacklisted());
        assert_eq!(world.me(&access).await.status, access_then);
        let wrong = json!({"detail": "Token has wrong type", "code": "token_not_valid"});
        let (_, access) = world.log_in_jwt("ada").await;
        world.post("/auth/jwt/blacklist/", json!({"refresh": access})).await.is(401, &wrong);
        let required = json!({"refresh": ["This field is required."]});
        world.post("/auth/jwt/blacklist/", json!({})).await.is(400, &required);
    }
}

#[tokio::test]
async fn claims_have_the_names_that_the_settings_give_them() {
    let world = World::with(|settings| {
        let jwt = &mut settings.tokens.jwt;
        jwt.user_id_claim = "uid".into();
        jwt.token_type_claim = "use".into();
        jwt.jti_claim = "id".into();
        jwt.extra_claims.clear();
    })
    .await;
    world.register("ada").await;
    let (token, access) = world.log_in_jwt("ada").await;
    let claims = URL_SAFE_NO_PAD.decode(access.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let names: Vec<_> = claims.as_object().unwrap().keys().collect();
    assert_eq!(names, ["exp", "iat", "id", "uid", "use"]);
    assert_eq!(world.me(&access).await.status, 200);
    assert_eq!(refresh(&world, &token).await.status, 200);
    let body = json!({"refresh": token});
    world.post("/auth/jwt/blacklist/", body).await.is(200, &json!({}));
    refresh(&world, &token).await.is(401, &blacklisted());
}

#[tokio::test]
async fn a_token_lives_longer_by_the_leeway() {
    let world = World::with(|settings| {
        settings.tokens.jwt.leeway = portcullis::config::Period::seconds(30);
    })
    .await;
    world.register("ada").await;
    let (_, access) = world.log_in_jwt("ada").await;
    world.pass(Duration::from_secs(329));
    assert_eq!(world.me(&access).await.status, 200);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.me(&access).await.status, 401);
}
