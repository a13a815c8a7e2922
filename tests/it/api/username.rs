//! `users/set_username/`, `users/reset_username/`, `users/reset_username_confirm/`.

use portcullis::model::MailPurpose::{UsernameChanged, UsernameReset};
use serde_json::{Value, json};

use super::world::{Answer, PASSWORD, World};

async fn set(world: &World, token: &str, password: &str, name: &str) -> Answer {
    let body = json!({"current_password": password, "new_username": name});
    world.post_as(token, "/auth/users/set_username/", body).await
}

async fn confirm(world: &World, body: Value) -> Answer {
    world.post("/auth/users/reset_username_confirm/", body).await
}

fn taken() -> Value {
    json!({"new_username": ["A user with that username already exists."]})
}

fn ada() -> String {
    "ada@example.org".to_owned()
}

#[tokio::test]
async fn a_new_name_is_set_at_the_word_of_the_password_and_the_login_goes_on() {
    for world in [World::new().await, World::djoser().await] {
        let body = json!({
            "username": "ada", "email": ada(), "password": PASSWORD, "re_password": PASSWORD,
        });
        let id = world.post("/auth/users/", body).await.json()["id"].clone();
        let token = world.log_in("ada").await;
        set(&world, &token, PASSWORD, "countess").await.is_empty(204);
        let wanted = json!({"email": ada(), "id": id, "username": "countess"});
        world.me(&token).await.is(200, &wanted);
        assert_eq!(world.try_log_in("ada", PASSWORD).await.status, 400);
    }
}

#[tokio::test]
async fn a_name_that_somebody_has_is_taken_ones_own_too() {
    let world = World::new().await;
    world.register("ada").await;
    world.register("bea").await;
    let token = world.log_in("ada").await;
    for name in ["ada", "bea"] {
        set(&world, &token, PASSWORD, name).await.is(400, &taken());
    }
    let mut both = taken();
    both["current_password"] = json!(["Invalid password."]);
    set(&world, &token, "wrong", "bea").await.is(400, &both);
}

#[tokio::test]
async fn the_former_name_of_another_is_taken_here_and_free_with_djoser() {
    for (world, status) in [(World::new().await, 400), (World::djoser().await, 204)] {
        for name in ["ada", "bea"] {
            let body = json!({"username": name, "password": PASSWORD, "re_password": PASSWORD});
            assert_eq!(world.post("/auth/users/", body).await.status, 201);
        }
        let (ada, bea) = (world.log_in("ada").await, world.log_in("bea").await);
        set(&world, &ada, PASSWORD, "countess").await.is_empty(204);
        assert_eq!(set(&world, &bea, PASSWORD, "ada").await.status, status);
    }
}

#[tokio::test]
async fn names_are_retyped_where_the_settings_say_so() {
    let world = World::with(|settings| {
        settings.accounts.set_username_retype = true;
        settings.accounts.username_reset_confirm_retype = true;
    })
    .await;
    world.register("ada").await;
    let token = world.log_in("ada").await;
    let required = json!({"re_new_username": ["This field is required."]});
    set(&world, &token, PASSWORD, "countess").await.is(400, &required);
    let differ = json!({"non_field_errors": ["The two username fields didn't match."]});
    let (uid, link) = world.link("ada", UsernameReset).await;
    let body = json!({
        "uid": uid, "token": link, "new_username": "countess", "re_new_username": "x",
        "current_password": PASSWORD,
    });
    world.post_as(&token, "/auth/users/set_username/", body.clone()).await.is(400, &differ);
    confirm(&world, body).await.is(400, &differ);
}

#[tokio::test]
async fn a_link_is_mailed_to_active_accounts_of_the_address() {
    let world = World::new().await;
    world.register("ada").await;
    world.register("idle").await;
    world.deactivate("idle").await;
    for email in ["ada@example.org", "idle@example.org", "nobody@example.org"] {
        let body = json!({"email": email});
        world.post("/auth/users/reset_username/", body).await.is_empty(204);
    }
    assert_eq!(world.promised().await, [(UsernameReset, ada())]);
}

#[tokio::test]
async fn a_link_sets_a_name_once_and_verifies_the_address() {
    let world = World::with(|settings| {
        settings.accounts.username_changed_email_confirmation = true;
    })
    .await;
    world.register("ada").await;
    let (uid, token) = world.link("ada", UsernameReset).await;
    let body = |name: &str| json!({"uid": uid, "token": token, "new_username": name});
    confirm(&world, body("countess")).await.is_empty(204);
    assert_eq!(world.promised().await, [(UsernameChanged, ada())]);
    assert!(world.user("countess").await.email_verified);
    let used = json!({"token": ["Invalid token for given user."]});
    confirm(&world, body("another")).await.is(400, &used);
}

#[tokio::test]
async fn a_link_that_is_not_there_is_told_what_a_bad_one_is_told() {
    let (here, djoser) = (World::new().await, World::djoser().await);
    let required = json!({"new_username": ["This field is required."]});
    let bad_token = json!({"token": ["Invalid token for given user."]});
    let bad_uid = json!({"uid": ["Invalid user id or user doesn't exist."]});
    for (world, nobody) in [(&here, &bad_token), (&djoser, &bad_uid)] {
        confirm(world, json!({})).await.is(400, &required);
        confirm(world, json!({"new_username": "countess"})).await.is(400, nobody);
    }
    here.register("ada").await;
    let (uid, token) = here.reset_link("ada").await;
    let other = json!({"uid": uid, "token": token, "new_username": "countess"});
    confirm(&here, other).await.is(400, &bad_token);
}

#[tokio::test]
async fn either_name_or_address_logs_in_where_the_settings_say_so() {
    let world = World::with(|settings| settings.accounts.login_field = "either".into()).await;
    world.register("ada").await;
    for name in ["ada", "ada@example.org", "ADA@example.org"] {
        assert_eq!(world.try_log_in(name, PASSWORD).await.status, 200, "{name}");
        world.log_in_jwt(name).await;
    }
    assert_eq!(world.try_log_in("ADA", PASSWORD).await.status, 400);
}

#[tokio::test]
async fn nobody_takes_anothers_way_in_by_taking_his_address_for_a_name() {
    let world = World::with(|settings| settings.accounts.login_field = "either".into()).await;
    let id = world.register("ada").await;
    let ada = world.user("ada").await.id;
    world.store.set_email_verified(ada, true, world.clock.now()).await.unwrap();
    let body = json!({
        "username": "ada@example.org", "password": "Qzr-Plum?Vex4", "re_password": "Qzr-Plum?Vex4",
    });
    assert_eq!(world.post("/auth/users/", body).await.status, 201);
    let token = world.log_in("ada@example.org").await;
    world
        .me(&token)
        .await
        .is(200, &json!({"email": "ada@example.org", "id": id, "username": "ada"}));
}
