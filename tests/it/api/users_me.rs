//! `users/me/`.

use http::Method;
use serde_json::{Value, json};

use super::world::{Answer, Ask, PASSWORD, World};

async fn change(world: &World, method: Method, token: &str, body: Value) -> Answer {
    world.ask(Ask::new(method, "/auth/users/me/").bearer(token).json(&body)).await
}

async fn remove(world: &World, token: &str, body: Value) -> Answer {
    change(world, Method::DELETE, token, body).await
}

#[tokio::test]
async fn both_kinds_of_token_show_the_account() {
    let world = World::new().await;
    let id = world.register("ada").await;
    let wanted = json!({"email": "ada@example.org", "id": id, "username": "ada"});
    world.me(&world.log_in("ada").await).await.is(200, &wanted);
    world.me(&world.log_in_jwt("ada").await.1).await.is(200, &wanted);
}

#[tokio::test]
async fn a_name_may_be_changed_here_and_the_login_goes_on() {
    let world = World::new().await;
    let id = world.register("ada").await;
    let token = world.log_in("ada").await;
    let wanted = json!({"email": "ada@example.org", "id": id, "username": "countess"});
    change(&world, Method::PUT, &token, json!({"username": "countess"})).await.is(200, &wanted);
    world.me(&token).await.is(200, &wanted);
    assert_eq!(world.try_log_in("countess", PASSWORD).await.status, 200);
    assert_eq!(world.try_log_in("ada", PASSWORD).await.status, 400);
}

#[tokio::test]
async fn the_former_name_stays_taken_for_others_and_may_be_taken_back() {
    let world = World::new().await;
    world.register("ada").await;
    world.register("bea").await;
    let (ada, bea) = (world.log_in("ada").await, world.log_in("bea").await);
    assert_eq!(change(&world, Method::PUT, &ada, json!({"username": "eve"})).await.status, 200);
    let wanted = json!({"username": ["A user with that username already exists."]});
    change(&world, Method::PUT, &bea, json!({"username": "ada"})).await.is(400, &wanted);
    assert_eq!(change(&world, Method::PUT, &ada, json!({"username": "ada"})).await.status, 200);
}

#[tokio::test]
async fn a_new_name_follows_the_rules_of_registration() {
    let world = World::new().await;
    world.register("ada").await;
    world.register("bea").await;
    let token = world.log_in("ada").await;
    let cases = [
        (json!("bea"), "A user with that username already exists."),
        (json!(""), "This field may not be blank."),
        (json!(null), "This field may not be null."),
        (json!(["x"]), "Not a valid string."),
    ];
    for (name, message) in cases {
        let answer = change(&world, Method::PATCH, &token, json!({ "username": name })).await;
        answer.is(400, &json!({ "username": [message] }));
    }
    let own = change(&world, Method::PATCH, &token, json!({"username": "ada"})).await;
    assert_eq!(own.status, 200, "one's own name is not taken");
}

#[tokio::test]
async fn with_djoser_a_name_is_accepted_and_ignored_taken_or_invalid() {
    let world = World::djoser().await;
    let id = world.register("ada").await;
    world.register("bea").await;
    let token = world.log_in("ada").await;
    let wanted = json!({"email": "new@EXAMPLE.org", "id": id, "username": "ada"});
    for name in [json!("bea"), json!("!!"), json!(null), json!("free")] {
        let body = json!({"username": name, "email": "new@EXAMPLE.org"});
        change(&world, Method::PUT, &token, body).await.is(200, &wanted);
    }
}

#[tokio::test]
async fn a_changed_address_is_unverified_and_an_unchanged_one_stays_as_it_is() {
    let world = World::new().await;
    world.register("ada").await;
    let token = world.log_in("ada").await;
    let id = world.user("ada").await.id;
    world.store.set_email_verified(id, true, world.clock.now()).await.unwrap();
    let same = json!({"email": "ada@example.org"});
    assert_eq!(change(&world, Method::PUT, &token, same).await.status, 200);
    assert!(world.user("ada").await.email_verified);
    let other = json!({"email": "lovelace@example.org"});
    assert_eq!(change(&world, Method::PUT, &token, other).await.status, 200);
    assert!(!world.user("ada").await.email_verified);
}

#[tokio::test]
async fn another_accounts_address_is_refused_here_and_taken_with_djoser() {
    let body = json!({"email": "BEA@example.org"});
    let world = World::new().await;
    world.register("ada").await;
    world.register("bea").await;
    let token = world.log_in("ada").await;
    let wanted = json!({"email": ["A user with that email already exists."]});
    change(&world, Method::PUT, &token, body.clone()).await.is(400, &wanted);
    let djoser = World::djoser().await;
    djoser.register("ada").await;
    djoser.register("bea").await;
    let token = djoser.log_in("ada").await;
    assert_eq!(change(&djoser, Method::PUT, &token, body).await.status, 200);
}

#[tokio::test]
async fn an_empty_object_changes_nothing_and_rights_cannot_be_changed() {
    let world = World::new().await;
    let id = world.register("ada").await;
    let token = world.log_in("ada").await;
    let wanted = json!({"email": "ada@example.org", "id": id, "username": "ada"});
    for body in [json!({}), json!({"is_staff": true, "is_superuser": true, "id": 1})] {
        for method in [Method::PUT, Method::PATCH] {
            change(&world, method, &token, body.clone()).await.is(200, &wanted);
        }
    }
    let user = world.user("ada").await;
    assert!(!user.is_staff && !user.is_superuser);
    let emptied = json!({"email": "", "id": id, "username": "ada"});
    change(&world, Method::PUT, &token, json!({"email": ""})).await.is(200, &emptied);
}

#[tokio::test]
async fn the_right_password_removes_the_account_and_everything_of_it() {
    let world = World::new().await;
    world.register("ada").await;
    let token = world.log_in("ada").await;
    let (refresh, access) = world.log_in_jwt("ada").await;
    remove(&world, &token, json!({"current_password": PASSWORD})).await.is_empty(204);
    world.me(&token).await.is(401, &json!({"detail": "Invalid token."}));
    let gone = json!({"detail": "User not found", "code": "user_not_found"});
    world.me(&access).await.is(401, &gone);
    let answer = world.post("/auth/jwt/refresh/", json!({ "refresh": refresh })).await;
    assert_eq!(answer.status, 401);
    assert_eq!(world.try_log_in("ada", PASSWORD).await.status, 400);
}

#[tokio::test]
async fn a_wrong_password_removes_nothing() {
    let world = World::new().await;
    world.register("ada").await;
    let token = world.log_in("ada").await;
    let wanted = json!({"current_password": ["Invalid password."]});
    remove(&world, &token, json!({"current_password": "wrong"})).await.is(400, &wanted);
    let wanted = json!({"current_password": ["This field is required."]});
    remove(&world, &token, json!({})).await.is(400, &wanted);
    assert_eq!(world.me(&token).await.status, 200);
}
