//! `users/reset_password/` and `users/reset_password_confirm/`.

use std::time::Duration;

use http::Method;
use portcullis::config::Settings;
use portcullis::model::{MailPurpose, Site};
use serde_json::{Value, json};

use super::world::{Answer, Ask, OTHER_PASSWORD, PASSWORD, World};

async fn request(world: &World, email: &str) -> Answer {
    world.post("/auth/users/reset_password/", json!({ "email": email })).await
}

async fn confirm(world: &World, link: &(String, String), password: &str) -> Answer {
    let body = json!({"uid": link.0, "token": link.1, "new_password": password});
    world.post("/auth/users/reset_password_confirm/", body).await
}

fn bad_token() -> Value {
    json!({"token": ["Invalid token for given user."]})
}

#[tokio::test]
async fn known_and_unknown_addresses_get_the_same_answer_and_only_one_a_mail() {
    let world = World::new().await;
    world.register("ada").await;
    request(&world, "nobody@example.org").await.is_empty(204);
    assert!(world.mails().await.is_empty());
    request(&world, " ada@example.org ").await.is_empty(204);
    let mails = world.mails().await;
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].purpose, MailPurpose::PasswordReset);
    assert_eq!(mails[0].address, "ada@example.org");
}

#[tokio::test]
async fn inactive_accounts_and_those_without_a_password_get_no_mail() {
    let world = World::new().await;
    world.register("idle").await;
    world.deactivate("idle").await;
    world.register("bare").await;
    world.forbid_passwords("bare").await;
    for email in ["idle@example.org", "bare@example.org"] {
        request(&world, email).await.is_empty(204);
        assert!(world.mails().await.is_empty(), "{email}");
    }
}

#[tokio::test]
async fn the_spelling_of_an_address_matters_with_djoser_only() {
    let world = World::new().await;
    world.register("ada").await;
    request(&world, "ADA@Example.org").await.is_empty(204);
    assert_eq!(world.mails().await[0].address, "ada@example.org", "to the stored address");
    let djoser = World::djoser().await;
    djoser.register("ada").await;
    request(&djoser, "ADA@Example.org").await.is_empty(204);
    assert!(djoser.mails().await.is_empty());
}

#[tokio::test]
async fn each_account_of_a_shared_address_gets_a_mail() {
    let world = World::djoser().await;
    for name in ["ada", "bea"] {
        let body = json!({"username": name, "email": "both@example.org", "password": PASSWORD});
        assert_eq!(world.post("/auth/users/", body).await.status, 201);
    }
    request(&world, "both@example.org").await.is_empty(204);
    assert_eq!(world.mails().await.len(), 2);
}

#[tokio::test]
async fn an_unknown_address_is_told_only_where_the_settings_want_it() {
    for either in [true, false] {
        let world = World::with(|settings| {
            settings.accounts.password_reset_show_email_not_found = either;
            settings.accounts.username_reset_show_email_not_found = !either;
        })
        .await;
        let wanted = json!(["User with given email does not exist."]);
        request(&world, "nobody@example.org").await.is(400, &wanted);
    }
}

#[tokio::test]
async fn field_faults_are_told() {
    let world = World::new().await;
    let cases = [
        (json!({}), "This field is required."),
        (json!({"email": ""}), "This field may not be blank."),
        (json!({"email": "nonsense"}), "Enter a valid email address."),
        (json!({"email": ["a@example.org"]}), "Enter a valid email address."),
    ];
    for (body, message) in cases {
        let answer = world.post("/auth/users/reset_password/", body).await;
        answer.is(400, &json!({ "email": [message] }));
    }
}

#[tokio::test]
async fn the_host_of_a_request_leads_a_link_only_if_it_is_listed() {
    let listed = |settings: &mut Settings| {
        settings.server.allowed_hosts = vec!["app.example.org".to_owned()];
    };
    let world = World::with(listed).await;
    world.register("ada").await;
    let wanted = Some(Site { scheme: "https".to_owned(), host: "app.example.org".to_owned() });
    for host in ["app.example.org", "evil.example"] {
        let ask = Ask::new(Method::POST, "/auth/users/reset_password/")
            .json(&json!({"email": "ada@example.org"}))
            .from("192.0.2.1", host);
        world.ask(ask).await.is_empty(204);
        assert_eq!(world.mails().await[0].site, wanted, "{host}");
    }
}

#[tokio::test]
async fn a_site_url_leaves_nothing_to_the_request() {
    let world = World::with(|settings| {
        settings.accounts.site_url = "https://front.example.org".into();
    })
    .await;
    world.register("ada").await;
    request(&world, "ada@example.org").await.is_empty(204);
    assert_eq!(world.mails().await[0].site, None);
}

#[tokio::test]
async fn a_used_link_sets_the_password_once_and_verifies_the_address() {
    let world = World::new().await;
    world.register("ada").await;
    let link = world.reset_link("ada").await;
    confirm(&world, &link, OTHER_PASSWORD).await.is_empty(204);
    assert_eq!(world.try_log_in("ada", PASSWORD).await.status, 400);
    let user = world.user("ada").await;
    assert!(user.email_verified);
    assert_eq!(user.last_login, Some(world.clock.now()));
    assert_eq!(world.try_log_in("ada", OTHER_PASSWORD).await.status, 200);
    confirm(&world, &link, PASSWORD).await.is(400, &bad_token());
}

#[tokio::test]
async fn a_refused_password_leaves_the_link_good() {
    let world = World::new().await;
    world.register("ada").await;
    let link = world.reset_link("ada").await;
    let common = json!({"new_password": ["This password is too common."]});
    confirm(&world, &link, "basketball").await.is(400, &common);
    let similar = json!({"new_password": ["The password is too similar to the email address."]});
    confirm(&world, &link, "ada@example.org1").await.is(400, &similar);
    confirm(&world, &link, OTHER_PASSWORD).await.is_empty(204);
}

#[tokio::test]
async fn weakness_is_told_before_the_link_is_looked_at() {
    let world = World::new().await;
    let link = ("%%%".to_owned(), "garbage".to_owned());
    let common = json!({"new_password": ["This password is too common."]});
    confirm(&world, &link, "basketball").await.is(400, &common);
}

#[tokio::test]
async fn a_link_ends_with_its_time() {
    let world = World::new().await;
    world.register("ada").await;
    let link = world.reset_link("ada").await;
    world.pass(Duration::from_hours(24 * 3) + Duration::from_secs(1));
    confirm(&world, &link, OTHER_PASSWORD).await.is(400, &bad_token());
}

#[tokio::test]
async fn a_wrong_uid_reads_as_a_wrong_token_here_and_is_named_with_djoser() {
    let named = json!({"uid": ["Invalid user id or user doesn't exist."]});
    for (world, wanted) in [(World::new().await, bad_token()), (World::djoser().await, named)] {
        let id = world.register("ada").await;
        let (_, token) = world.reset_link("ada").await;
        for uid in ["%%%".to_owned(), id.to_string(), "OTk5OTk5OTk5".to_owned()] {
            confirm(&world, &(uid, token.clone()), OTHER_PASSWORD).await.is(400, &wanted);
        }
    }
}

#[tokio::test]
async fn a_token_of_another_account_is_wrong() {
    let world = World::djoser().await;
    world.register("ada").await;
    world.register("bea").await;
    let (_, token) = world.reset_link("ada").await;
    let (uid, _) = world.reset_link("bea").await;
    confirm(&world, &(uid, token), OTHER_PASSWORD).await.is(400, &bad_token());
}

#[tokio::test]
async fn a_reset_ends_every_login_here_and_none_with_djoser() {
    for (world, status) in [(World::new().await, 401), (World::djoser().await, 200)] {
        world.register("ada").await;
        let opaque = world.log_in("ada").await;
        let (refresh, access) = world.log_in_jwt("ada").await;
        assert_eq!(world.me(&opaque).await.status, 200);
        assert_eq!(world.me(&access).await.status, 200);
        let link = world.reset_link("ada").await;
        confirm(&world, &link, OTHER_PASSWORD).await.is_empty(204);
        assert_eq!(world.me(&opaque).await.status, status);
        assert_eq!(world.me(&access).await.status, status);
        let answer = world.post("/auth/jwt/refresh/", json!({ "refresh": refresh })).await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn the_password_is_typed_twice_where_the_settings_want_it() {
    let world =
        World::with(|settings| settings.accounts.password_reset_confirm_retype = true).await;
    world.register("ada").await;
    let (uid, token) = world.reset_link("ada").await;
    let mut body = json!({"uid": uid, "token": token, "new_password": OTHER_PASSWORD});
    let path = "/auth/users/reset_password_confirm/";
    let wanted = json!({"re_new_password": ["This field is required."]});
    world.post(path, body.clone()).await.is(400, &wanted);
    body["re_new_password"] = json!("other");
    let wanted = json!({"non_field_errors": ["The two password fields didn't match."]});
    world.post(path, body.clone()).await.is(400, &wanted);
    body["re_new_password"] = json!(OTHER_PASSWORD);
    world.post(path, body).await.is_empty(204);
}

#[tokio::test]
async fn a_number_for_a_uid_is_a_wrong_uid() {
    let world = World::djoser().await;
    let id = world.register("ada").await;
    let body = json!({"uid": id, "token": "x", "new_password": OTHER_PASSWORD});
    let answer = world.post("/auth/users/reset_password_confirm/", body).await;
    answer.is(400, &json!({"uid": ["Invalid user id or user doesn't exist."]}));
}
