//! `jwt/create/`, `jwt/refresh/` and `jwt/verify/`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use portcullis::model::UserId;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::world::{Answer, PASSWORD, World};

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

async fn refresh(world: &World, token: &str) -> Answer {
    world.post("/auth/jwt/refresh/", json!({ "refresh": token })).await
}

async fn verify(world: &World, token: &str) -> Answer {
    world.post("/auth/jwt/verify/", json!({ "token": token })).await
}

#[tokio::test]
async fn both_fields_are_required_and_a_failed_login_is_401() {
    let world = World::new().await;
    world.register("ada").await;
    let required = json!(["This field is required."]);
    let answer = world.post("/auth/jwt/create/", json!({})).await;
    answer.is(400, &json!({"username": required, "password": required}));
    let wanted = json!({"detail": "No active account found with the given credentials"});
    for (name, password) in [("ada", "wrong"), ("nobody", PASSWORD)] {
        let body = json!({"username": name, "password": password});
        let answer = world.post("/auth/jwt/create/", body).await;
        answer.is(401, &wanted);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"api\""));
    }
}

#[tokio::test]
async fn tokens_name_their_login_here_and_have_simplejwts_claims_with_djoser() {
    let world = World::new().await;
    world.register("ada").await;
    let (_, access) = world.log_in_jwt("ada").await;
    assert!(claims(&access)["sid"].is_string() && claims(&access)["gen"].is_i64());

    let djoser = World::djoser().await;
    let id = djoser.register("ada").await;
    let (refresh, access) = djoser.log_in_jwt("ada").await;
    for (token, kind, life) in [(refresh, "refresh", 86_400), (access, "access", 300)] {
        let claims = claims(&token);
        let now = djoser.clock.now().seconds();
        let jti = claims["jti"].clone();
        let wanted = json!({
            "token_type": kind, "iat": now, "exp": now + life, "jti": jti,
            "user_id": id.to_string(),
        });
        assert_eq!(claims, wanted);
    }
}

#[tokio::test]
async fn last_login_is_noted_only_if_the_settings_say_so() {
    for noted in [false, true] {
        for with_sid in [false, true] {
            let world = World::with(|settings| {
                settings.tokens.jwt.update_last_login = noted;
                if !with_sid {
                    settings.tokens.jwt.extra_claims.clear();
                }
            })
            .await;
            world.register("ada").await;
            world.log_in_jwt("ada").await;
            assert_eq!(world.user("ada").await.last_login.is_some(), noted);
        }
    }
}

#[tokio::test]
async fn a_refresh_token_works_again_and_again_without_rotation() {
    let world = World::new().await;
    world.register("ada").await;
    let (token, _) = world.log_in_jwt("ada").await;
    for _ in 0..2 {
        let answer = refresh(&world, &token).await;
        let access = answer.json()["access"].as_str().unwrap().to_owned();
        answer.is(200, &json!({ "access": access }));
        assert_eq!(world.me(&access).await.status, 200);
        assert_eq!(claims(&access)["sid"], claims(&token)["sid"]);
    }
}

#[tokio::test]
async fn a_rotated_refresh_token_is_good_once_if_it_is_blacklisted() {
    for blacklisted in [false, true] {
        let world = World::with(|settings| {
            settings.tokens.jwt.rotate_refresh_tokens = true;
            settings.tokens.jwt.blacklist_after_rotation = blacklisted;
            // With a login's name in them: see `rotation`.
            settings.tokens.jwt.extra_claims.clear();
        })
        .await;
        world.register("ada").await;
        let (token, _) = world.log_in_jwt("ada").await;
        let answer = refresh(&world, &token).await;
        let next = answer.json()["refresh"].as_str().unwrap().to_owned();
        assert_ne!(claims(&next)["jti"], claims(&token)["jti"]);
        let again = refresh(&world, &token).await;
        if blacklisted {
            let wanted = json!({"detail": "Token is blacklisted", "code": "token_not_valid"});
            again.is(401, &wanted);
            let wanted = json!({"non_field_errors": ["Token is blacklisted"]});
            verify(&world, &token).await.is(400, &wanted);
        } else {
            assert_eq!(again.status, 200);
        }
        assert_eq!(refresh(&world, &next).await.status, 200);
    }
}

#[tokio::test]
async fn what_is_no_refresh_token_is_401_in_simplejwts_words() {
    let world = World::new().await;
    world.register("ada").await;
    let (token, access) = world.log_in_jwt("ada").await;
    let opaque = world.log_in("ada").await;
    let cases = [
        (access.as_str(), "Token has wrong type"),
        (opaque.as_str(), "Token is invalid"),
        ("garbage", "Token is invalid"),
        ("a.b.c", "Token is invalid"),
    ];
    for (sent, detail) in cases {
        let wanted = json!({"detail": detail, "code": "token_not_valid"});
        refresh(&world, sent).await.is(401, &wanted);
    }
    world.pass(Duration::from_hours(24));
    let wanted = json!({"detail": "Token is expired", "code": "token_not_valid"});
    refresh(&world, &token).await.is(401, &wanted);
}

#[tokio::test]
async fn inactive_and_deleted_accounts_get_no_new_access_token() {
    let world = World::djoser().await;
    let wanted = json!({"detail": "No active account found for the given token."});
    world.register("ada").await;
    let (token, _) = world.log_in_jwt("ada").await;
    world.deactivate("ada").await;
    refresh(&world, &token).await.is(401, &wanted);
    world.register("bea").await;
    let (token, _) = world.log_in_jwt("bea").await;
    let id = world.user("bea").await.id;
    world.store.delete_user(id, world.clock.now()).await.unwrap();
    refresh(&world, &token).await.is(401, &wanted);
}

#[tokio::test]
async fn verify_answers_an_empty_object_for_a_good_token_of_any_type() {
    let world = World::new().await;
    world.register("ada").await;
    let (token, access) = world.log_in_jwt("ada").await;
    for good in [&token, &access] {
        verify(&world, good).await.is(200, &json!({}));
    }
    let wanted = json!({"detail": "Token is invalid", "code": "token_not_valid"});
    for bad in ["garbage", &format!("Bearer {access}")] {
        verify(&world, bad).await.is(401, &wanted);
    }
    let wanted = json!({"token": ["This field is required."]});
    world.post("/auth/jwt/verify/", json!({"access": access})).await.is(400, &wanted);
}

/// djoser's tokens say in which second they were issued, and no more.
#[tokio::test]
async fn a_login_in_the_second_of_a_cut_waits_for_the_next_one() {
    let world = World::djoser().await;
    let id = world.register("ada").await;
    let (_, old) = world.log_in_jwt("ada").await;
    world.store.cut_user(UserId(id), world.clock.now()).await.unwrap().unwrap();
    // The clock stands still: rather none than tokens that are dead.
    let body = json!({"username": "ada", "password": PASSWORD});
    let answer = world.post("/auth/jwt/create/", body).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("5")));
    let (login, ()) = tokio::join!(world.log_in_jwt("ada"), async {
        tokio::task::yield_now().await;
        world.pass(Duration::from_secs(1));
    });
    assert_eq!(world.me(&login.1).await.status, 200);
    assert_eq!(refresh(&world, &login.0).await.status, 200);
    assert_eq!(world.me(&old).await.status, 401);
}

/// `check_revoke_token` puts a digest of the stored hash into tokens.
#[tokio::test]
async fn tokens_of_a_login_that_renews_the_hash_are_good() {
    let world = World::with(|settings| settings.tokens.jwt.check_revoke_token = true).await;
    world.register("ada").await;
    let (_, before) = world.log_in_jwt("ada").await;
    assert_eq!(world.me(&before).await.status, 200);
    let user = world.user("ada").await;
    let imported = "pbkdf2_sha256$1000$salt$";
    let mut hash = [0; 32];
    aws_lc_rs::pbkdf2::derive(
        aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256,
        std::num::NonZeroU32::new(1000).unwrap(),
        b"salt",
        PASSWORD.as_bytes(),
        &mut hash,
    );
    let imported = format!("{imported}{}", STANDARD.encode(hash));
    let now = world.clock.now();
    world.store.rehash(user.id, user.password.expose_secret(), &imported, now).await.unwrap();
    let (fresh, access) = world.log_in_jwt("ada").await;
    assert_ne!(world.user("ada").await.password.expose_secret(), imported);
    assert_eq!(world.me(&access).await.status, 200);
    assert_eq!(refresh(&world, &fresh).await.status, 200);
}
