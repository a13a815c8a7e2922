//! `users/` and `users/{id}/`: accounts of others.

use http::Method;
use serde_json::{Value, json};

use super::world::{Answer, Ask, OTHER_PASSWORD, PASSWORD, World};

async fn send(world: &World, method: Method, token: &str, id: i64, body: Value) -> Answer {
    let path = format!("/auth/users/{id}/");
    world.ask(Ask::new(method, &path).bearer(token).json(&body)).await
}

fn shown(name: &str, id: i64) -> Value {
    json!({"email": format!("{name}@example.org"), "id": id, "username": name})
}

fn not_found() -> Value {
    json!({"detail": "Not found."})
}

fn forbidden() -> Value {
    json!({"detail": "You do not have permission to perform this action."})
}

#[tokio::test]
async fn users_see_themselves_in_the_list_and_staff_sees_all() {
    for world in [World::new().await, World::djoser().await] {
        let (ada, bea) = (register(&world, "ada").await, register(&world, "bea").await);
        let token = world.log_in("ada").await;
        world.get(&token, "/auth/users/").await.is(200, &json!([shown("ada", ada)]));
        world.promote("bea").await;
        let staff = world.log_in("bea").await;
        let all = json!([shown("ada", ada), shown("bea", bea)]);
        world.get(&staff, "/auth/users/").await.is(200, &all);
    }
}

async fn register(world: &World, name: &str) -> i64 {
    let body = json!({
        "username": name, "email": format!("{name}@example.org"),
        "password": PASSWORD, "re_password": PASSWORD,
    });
    world.post("/auth/users/", body).await.json()["id"].as_i64().unwrap()
}

#[tokio::test]
async fn a_list_of_many_pages_is_one_array_without_gaps_or_repeats() {
    let world = World::with(|settings| settings.accounts.hide_users = false).await;
    let mut ids = vec![world.register("ada").await];
    let hash = world.user("ada").await.password;
    for number in 0..401 {
        let name = format!("user{number}");
        ids.push(world.insert(&name, &hash).await);
    }
    let token = world.log_in("ada").await;
    let answer = world.get(&token, "/auth/users/").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let listed = answer.json();
    let listed: Vec<_> = listed.as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(
        listed,
        ids.iter().map(|id| json!(id)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn ones_own_account_is_shown_changed_and_removed_by_its_id() {
    let world = World::new().await;
    let id = world.register("ada").await;
    let token = world.log_in("ada").await;
    send(&world, Method::GET, &token, id, json!({})).await.is(200, &shown("ada", id));
    let changed = json!({"email": "new@example.org", "id": id, "username": "ada"});
    let body = json!({"email": "new@example.org"});
    send(&world, Method::PATCH, &token, id, body).await.is(200, &changed);
    let body = json!({"current_password": PASSWORD});
    send(&world, Method::DELETE, &token, id, body).await.is_empty(204);
    world.me(&token).await.is(401, &json!({"detail": "Invalid token."}));
}

#[tokio::test]
async fn anothers_account_answers_as_one_that_is_not_there() {
    let world = World::new().await;
    world.register("ada").await;
    let bea = world.register("bea").await;
    let token = world.log_in("ada").await;
    for id in [bea, 999_999] {
        for method in [Method::GET, Method::PUT, Method::PATCH] {
            send(&world, method, &token, id, json!({"email": "x@example.org"}))
                .await
                .is(404, &not_found());
        }
        let body = json!({"current_password": PASSWORD});
        send(&world, Method::DELETE, &token, id, body).await.is(403, &forbidden());
    }
    assert_eq!(world.user("bea").await.email, "bea@example.org");
}

#[tokio::test]
async fn where_nobody_is_hidden_anothers_account_is_forbidden() {
    let world = World::with(|settings| settings.accounts.hide_users = false).await;
    world.register("ada").await;
    let bea = world.register("bea").await;
    let token = world.log_in("ada").await;
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let body = json!({"current_password": PASSWORD});
        send(&world, method, &token, bea, body).await.is(403, &forbidden());
    }
    send(&world, Method::GET, &token, 999_999, json!({})).await.is(404, &not_found());
    world.get(&token, "/auth/users/abc/").await.is(404, &not_found());
}

#[tokio::test]
async fn staff_changes_and_removes_others_at_the_word_of_its_own_password() {
    let world = World::new().await;
    let ada = world.register("ada").await;
    world.register("bea").await;
    world.promote("bea").await;
    let (token, staff) = (world.log_in("ada").await, world.log_in("bea").await);
    let changed = json!({"email": "ada@example.net", "id": ada, "username": "ada"});
    let body = json!({"email": "ada@example.net"});
    send(&world, Method::PATCH, &staff, ada, body).await.is(200, &changed);
    let wrong = json!({"current_password": ["Invalid password."]});
    let body = json!({"current_password": OTHER_PASSWORD});
    send(&world, Method::DELETE, &staff, ada, body).await.is(400, &wrong);
    let body = json!({"current_password": PASSWORD});
    send(&world, Method::DELETE, &staff, ada, body).await.is_empty(204);
    world.me(&token).await.is(401, &json!({"detail": "Invalid token."}));
    send(&world, Method::GET, &staff, ada, json!({})).await.is(404, &not_found());
}

#[tokio::test]
async fn accounts_may_be_shown_and_looked_up_by_their_username() {
    let world = World::with(|settings| settings.accounts.user_id_field = "username".into()).await;
    let body = json!({
        "username": "zoë", "email": "z@example.org", "password": PASSWORD, "re_password": PASSWORD,
    });
    let wanted = json!({"email": "z@example.org", "username": "zoë"});
    world.post("/auth/users/", body).await.is(201, &wanted);
    let token = world.log_in("zoë").await;
    world.get(&token, "/auth/users/zo%C3%AB/").await.is(200, &wanted);
    world.get(&token, "/auth/users/1/").await.is(404, &not_found());
}
