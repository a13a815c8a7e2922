//! POST `users/`.

use portcullis::config::{Rate, Registration};
use serde_json::{Value, json};
use std::time::Duration;

use http::Method;

use super::world::{Ask, PASSWORD, World};

fn form(name: &str, email: &str, password: &str) -> Value {
    json!({"username": name, "email": email, "password": password, "re_password": password})
}

async fn registered(world: &World, body: Value) -> super::world::Answer {
    world.post("/auth/users/", body).await
}

#[tokio::test]
async fn a_registration_answers_the_account_and_nothing_more() {
    let world = World::new().await;
    let body = form("ada", "Ada@EXAMPLE.org", PASSWORD);
    let answer = registered(&world, body).await;
    let id = answer.json()["id"].clone();
    answer.is(201, &json!({"email": "Ada@example.org", "username": "ada", "id": id}));
    assert!(world.mails().await.is_empty());
    assert!(!world.user("ada").await.email_verified);
}

#[tokio::test]
async fn rights_cannot_be_registered() {
    let world = World::new().await;
    let mut body = form("ada", "", PASSWORD);
    body["is_staff"] = json!(true);
    body["is_superuser"] = json!(true);
    body["is_active"] = json!(false);
    assert_eq!(registered(&world, body).await.status, 201);
    let user = world.user("ada").await;
    assert!(!user.is_staff && !user.is_superuser && user.is_active);
}

#[tokio::test]
async fn the_faults_of_all_fields_come_at_once_a_taken_name_among_them() {
    let world = World::new().await;
    world.register("ada").await;
    let body = json!({"username": "ada", "email": "nonsense", "password": null});
    let wanted = json!({
        "username": ["A user with that username already exists."],
        "email": ["Enter a valid email address."],
        "password": ["This field may not be null."],
        "re_password": ["This field is required."],
    });
    registered(&world, body).await.is(400, &wanted);
}

#[tokio::test]
async fn a_weak_password_is_told_before_a_mismatch() {
    let world = World::new().await;
    let body = json!({"username": "ada", "password": "short", "re_password": "other"});
    let short = "This password is too short. It must contain at least 8 characters.";
    registered(&world, body).await.is(400, &json!({ "password": [short] }));
    let body = json!({"username": "ada", "password": PASSWORD, "re_password": "other"});
    let wanted = json!({"non_field_errors": ["The two password fields didn't match."]});
    registered(&world, body).await.is(400, &wanted);
}

#[tokio::test]
async fn the_password_is_typed_twice_here_and_once_with_djoser() {
    let body = json!({"username": "ada", "password": PASSWORD});
    let world = World::new().await;
    let wanted = json!({"re_password": ["This field is required."]});
    registered(&world, body.clone()).await.is(400, &wanted);
    let djoser = World::djoser().await;
    assert_eq!(registered(&djoser, body.clone()).await.status, 201);
    let mut differing = body;
    differing["username"] = json!("bea");
    differing["re_password"] = json!("not looked at");
    assert_eq!(registered(&djoser, differing).await.status, 201);
}

#[tokio::test]
async fn a_name_taken_only_in_its_stored_form_is_told_in_a_bare_list() {
    let world = World::new().await;
    world.register("fiona").await;
    let answer = registered(&world, form("ﬁona", "", PASSWORD)).await;
    answer.is(400, &json!(["Unable to create account."]));
    let answer = registered(&world, form("Fiona", "", PASSWORD)).await;
    assert_eq!(answer.status, 201, "names are case-sensitive");
}

#[tokio::test]
async fn an_address_is_unique_in_any_spelling_here_and_shared_with_djoser() {
    let world = World::new().await;
    world.register("ada").await;
    let body = form("bea", "ADA@example.org", PASSWORD);
    let wanted = json!({"email": ["A user with that email already exists."]});
    registered(&world, body.clone()).await.is(400, &wanted);
    let djoser = World::djoser().await;
    djoser.register("ada").await;
    assert_eq!(registered(&djoser, body).await.status, 201);
}

#[tokio::test]
async fn no_address_is_no_fault_however_often() {
    let world = World::new().await;
    for name in ["ada", "bea"] {
        assert_eq!(registered(&world, form(name, "", PASSWORD)).await.status, 201);
    }
}

#[tokio::test]
async fn the_name_of_a_deleted_account_stays_taken_here_and_is_free_with_djoser() {
    for (world, status) in [(World::new().await, 400), (World::djoser().await, 201)] {
        world.register("ada").await;
        let id = world.user("ada").await.id;
        world.store.delete_user(id, world.clock.now()).await.unwrap();
        let answer = registered(&world, form("ada", "", PASSWORD)).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        if status == 400 {
            let taken = "A user with that username already exists.";
            answer.is(400, &json!({ "username": [taken] }));
        }
    }
}

#[tokio::test]
async fn similarity_is_judged_by_its_threshold() {
    // 2·8 / (8 + 14) = 0.727…
    let body = form("abcdefgh", "", "abcdefgh!Z9x?Q");
    let world = World::new().await;
    assert_eq!(registered(&world, body.clone()).await.status, 201);
    let djoser = World::djoser().await;
    let wanted = json!({"password": ["The password is too similar to the username."]});
    registered(&djoser, body).await.is(400, &wanted);
}

#[tokio::test]
async fn space_around_a_password_counts_here_and_not_with_djoser() {
    let spaced = format!(" {PASSWORD} ");
    let world = World::new().await;
    assert_eq!(registered(&world, form("ada", "", &spaced)).await.status, 201);
    assert_eq!(world.try_log_in("ada", &spaced).await.status, 200);
    assert_eq!(world.try_log_in("ada", PASSWORD).await.status, 400);
    let djoser = World::djoser().await;
    assert_eq!(registered(&djoser, form("ada", "", &spaced)).await.status, 201);
    assert_eq!(djoser.try_log_in("ada", &spaced).await.status, 200);
    assert_eq!(djoser.try_log_in("ada", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn white_space_is_no_password_in_either() {
    let blank = json!(["This field may not be blank."]);
    for world in [World::new().await, World::djoser().await] {
        let answer = registered(&world, form("ada", "", "          ")).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["password"], blank);
    }
}

#[tokio::test]
async fn a_closed_door_says_so_before_it_reads_the_form() {
    let closed = |settings: &mut portcullis::config::Settings| {
        settings.accounts.registration = Registration::Closed;
    };
    let world = World::with(closed).await;
    let wanted = json!({"detail": "Registration is closed.", "code": "registration_closed"});
    registered(&world, form("ada", "", PASSWORD)).await.is(403, &wanted);
    registered(&world, json!([])).await.is(403, &wanted);
}

#[tokio::test]
async fn only_good_forms_use_up_the_registrations_of_an_address() {
    let world = World::with(|settings| {
        settings.limits.throttling = true;
        settings.limits.registration_per_address = Rate { count: 1, per: Duration::from_hours(1) };
    })
    .await;
    let ask = |name: &str, password: &str| {
        Ask::new(Method::POST, "/auth/users/")
            .json(&form(name, "", password))
            .from("192.0.2.1", "localhost")
    };
    for _ in 0..5 {
        assert_eq!(world.ask(ask("ada", "short")).await.status, 400);
    }
    assert_eq!(world.ask(ask("ada", PASSWORD)).await.status, 201);
    let refused = world.ask(ask("bea", PASSWORD)).await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some());
    let elsewhere = Ask::new(Method::POST, "/auth/users/")
        .json(&form("bea", "", PASSWORD))
        .from("192.0.2.2", "localhost");
    assert_eq!(world.ask(elsewhere).await.status, 201);
}
