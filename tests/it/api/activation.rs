//! `users/activation/`, `users/resend_activation/`, and what activation changes elsewhere.

use http::Method;
use portcullis::model::MailPurpose::{Activation, Confirmation};
use serde_json::{Value, json};

use super::world::{Answer, Ask, PASSWORD, World};

async fn world() -> World {
    World::with(|settings| {
        settings.accounts.send_activation_email = true;
        settings.accounts.send_confirmation_email = true;
    })
    .await
}

async fn activate(world: &World, name: &str) -> Answer {
    let (uid, token) = world.link(name, Activation).await;
    world.post("/auth/users/activation/", json!({"uid": uid, "token": token})).await
}

async fn resend(world: &World, email: &str) -> Answer {
    world.post("/auth/users/resend_activation/", json!({"email": email})).await
}

fn ada() -> String {
    "ada@example.org".to_owned()
}

fn bad_token() -> Value {
    json!({"token": ["Invalid token for given user."]})
}

#[tokio::test]
async fn an_account_begins_with_the_mailed_link_and_its_address_is_verified() {
    let world = world().await;
    world.register("ada").await;
    assert_eq!(world.promised().await, [(Activation, ada())]);
    assert_eq!(world.try_log_in("ada", PASSWORD).await.status, 400);
    activate(&world, "ada").await.is_empty(204);
    let promised = world.promised().await;
    assert_eq!(promised, [(Confirmation, ada())]);
    assert!(world.user("ada").await.email_verified);
    world.log_in("ada").await;
}

#[tokio::test]
async fn a_link_activates_once() {
    let world = world().await;
    world.register("ada").await;
    activate(&world, "ada").await.is_empty(204);
    activate(&world, "ada").await.is(403, &json!({"detail": "Stale token for given user."}));
}

#[tokio::test]
async fn a_bad_link_activates_nobody() {
    let world = world().await;
    world.register("ada").await;
    let (uid, token) = world.reset_link("ada").await;
    for (uid, token) in [(uid.as_str(), token.as_str()), (&uid, "x"), ("%%%", &token)] {
        let body = json!({"uid": uid, "token": token});
        world.post("/auth/users/activation/", body).await.is(400, &bad_token());
    }
    let required = json!(["This field is required."]);
    let answer = world.post("/auth/users/activation/", json!({})).await;
    answer.is(400, &json!({"uid": required, "token": required}));
    assert!(!world.user("ada").await.is_active);
}

#[tokio::test]
async fn an_account_that_an_operator_deactivated_is_not_activated_by_an_old_link() {
    let world = world().await;
    world.register("ada").await;
    let (uid, token) = world.link("ada", Activation).await;
    activate(&world, "ada").await.is_empty(204);
    world.mails().await;
    world.deactivate("ada").await;
    let body = json!({"uid": uid, "token": token});
    world.post("/auth/users/activation/", body).await.is(400, &bad_token());
    resend(&world, "ada@example.org").await.is_empty(204);
    assert_eq!(world.promised().await, []);
}

#[tokio::test]
async fn the_link_is_mailed_again_to_accounts_that_were_never_active_only() {
    let world = world().await;
    world.register("ada").await;
    world.mails().await;
    for email in ["ada@example.org", "nobody@example.org"] {
        resend(&world, email).await.is_empty(204);
    }
    assert_eq!(world.promised().await, [(Activation, ada())]);
    let wanted = json!({"email": ["Enter a valid email address."]});
    resend(&world, "x").await.is(400, &wanted);
}

#[tokio::test]
async fn without_activation_there_is_nothing_to_mail_again() {
    for world in [World::new().await, World::djoser().await] {
        resend(&world, "ada@example.org").await.is_empty(400);
    }
}

#[tokio::test]
async fn a_changed_address_deactivates_until_the_link_mailed_there_is_used() {
    let world = world().await;
    let id = world.register("ada").await;
    activate(&world, "ada").await.is_empty(204);
    let (opaque, (_, access)) = (world.log_in("ada").await, world.log_in_jwt("ada").await);
    world.mails().await;
    let body = json!({"email": "new@example.org"});
    let ask = Ask::new(Method::PATCH, "/auth/users/me/").bearer(&opaque).json(&body);
    let wanted = json!({"email": "new@example.org", "id": id, "username": "ada"});
    world.ask(ask).await.is(200, &wanted);
    assert_eq!(world.promised().await, [(Activation, "new@example.org".to_owned())]);
    world.me(&opaque).await.is(401, &json!({"detail": "User inactive or deleted."}));
    let inactive = json!({"detail": "User is inactive", "code": "user_inactive"});
    world.me(&access).await.is(401, &inactive);
    activate(&world, "ada").await.is_empty(204);
    world.log_in("ada").await;
    assert_eq!(world.me(&opaque).await.status, 401, "what ended stays ended");
}

#[tokio::test]
async fn who_is_to_be_activated_must_have_an_address() {
    let world = world().await;
    let mut body = json!({"username": "ada", "password": PASSWORD, "re_password": PASSWORD});
    let wanted = json!({"email": ["This field is required."]});
    world.post("/auth/users/", body.clone()).await.is(400, &wanted);
    body["email"] = json!("");
    let wanted = json!({"email": ["This field may not be blank."]});
    world.post("/auth/users/", body).await.is(400, &wanted);
}

#[tokio::test]
async fn without_activation_the_confirmation_follows_the_registration() {
    let world = World::with(|settings| settings.accounts.send_confirmation_email = true).await;
    world.register("ada").await;
    assert_eq!(world.promised().await, [(Confirmation, ada())]);
}
