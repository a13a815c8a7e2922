//! `users/set_password/`.

use portcullis::model::MailPurpose;
use serde_json::{Value, json};

use super::world::{Answer, OTHER_PASSWORD, PASSWORD, World};

async fn set(world: &World, token: &str, body: Value) -> Answer {
    world.post_as(token, "/auth/users/set_password/", body).await
}

fn change() -> Value {
    json!({"current_password": PASSWORD, "new_password": OTHER_PASSWORD})
}

#[tokio::test]
async fn a_new_password_ends_every_login_here_and_none_with_djoser() {
    let world = World::new().await;
    world.register("ada").await;
    let (opaque, (_, access)) = (world.log_in("ada").await, world.log_in_jwt("ada").await);
    set(&world, &opaque, change()).await.is_empty(204);
    world.me(&opaque).await.is(401, &json!({"detail": "Invalid token."}));
    assert_eq!(world.me(&access).await.status, 401);
    assert_eq!(world.try_log_in("ada", PASSWORD).await.status, 400);
    assert_eq!(world.try_log_in("ada", OTHER_PASSWORD).await.status, 200);

    let world = World::djoser().await;
    world.register("ada").await;
    let (opaque, (_, access)) = (world.log_in("ada").await, world.log_in_jwt("ada").await);
    set(&world, &opaque, change()).await.is_empty(204);
    for token in [&opaque, &access] {
        assert_eq!(world.me(token).await.status, 200);
    }
}

#[tokio::test]
async fn a_wrong_present_password_hides_what_is_weak_about_the_new_one() {
    let world = World::new().await;
    world.register("ada").await;
    let token = world.log_in("ada").await;
    let wrong = json!({"current_password": ["Invalid password."]});
    for new in [OTHER_PASSWORD, "1"] {
        let body = json!({"current_password": "wrong", "new_password": new});
        set(&world, &token, body).await.is(400, &wrong);
    }
    let body = json!({"current_password": PASSWORD, "new_password": "12345"});
    let wanted = json!({"new_password": [
        "This password is too short. It must contain at least 8 characters.",
        "This password is too common.",
        "This password is entirely numeric.",
    ]});
    set(&world, &token, body).await.is(400, &wanted);
    let body = json!({"current_password": PASSWORD, "new_password": "ada@example.org"});
    let wanted = json!({"new_password": ["The password is too similar to the email address."]});
    set(&world, &token, body).await.is(400, &wanted);
    world.log_in("ada").await;
}

#[tokio::test]
async fn both_fields_are_required_and_where_set_the_third() {
    let world = World::with(|settings| settings.accounts.set_password_retype = true).await;
    world.register("ada").await;
    let token = world.log_in("ada").await;
    let required = json!(["This field is required."]);
    let wanted = json!({
        "current_password": required, "new_password": required, "re_new_password": required,
    });
    set(&world, &token, json!({})).await.is(400, &wanted);
    let mut body = change();
    body["re_new_password"] = json!("another");
    let wanted = json!({"non_field_errors": ["The two password fields didn't match."]});
    set(&world, &token, body.clone()).await.is(400, &wanted);
    body["re_new_password"] = json!(OTHER_PASSWORD);
    set(&world, &token, body).await.is_empty(204);
}

#[tokio::test]
async fn a_mail_tells_of_the_change_if_the_settings_say_so() {
    for told in [false, true] {
        let world = World::with(|settings| {
            settings.accounts.password_changed_email_confirmation = told;
        })
        .await;
        world.register("ada").await;
        let token = world.log_in("ada").await;
        set(&world, &token, change()).await.is_empty(204);
        let wanted = [(MailPurpose::PasswordChanged, "ada@example.org".to_owned())];
        assert_eq!(world.promised().await, &wanted[..usize::from(told)]);
    }
}
