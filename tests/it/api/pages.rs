//! `pages/…`: what mailed links lead to where there is no front end.

use std::time::Duration;

use http::{Method, StatusCode};
use portcullis::model::MailPurpose;
use serde_json::json;

use super::world::{Answer, Ask, OTHER_PASSWORD, PASSWORD, World};

const PASSWORDS: &str = "/auth/pages/password/";
const USERNAMES: &str = "/auth/pages/username/";
const ACTIVATIONS: &str = "/auth/pages/activation/";

async fn world() -> World {
    World::with(|settings| settings.accounts.pages = true).await
}

fn linked(page: &str, (uid, token): &(String, String)) -> String {
    format!("{page}{uid}/{token}/")
}

fn form(path: &str, fields: &str) -> Ask {
    let typed = "application/x-www-form-urlencoded";
    Ask::new(Method::POST, path).header("content-type", typed).body(fields.to_owned())
}

async fn send(world: &World, path: &str, fields: &str) -> Answer {
    world.ask(form(path, fields)).await
}

fn passwords(one: &str, again: &str) -> String {
    let fields = [("new_password", one), ("re_new_password", again)];
    serde_urlencoded::to_string(fields).unwrap()
}

#[track_caller]
fn shows(answer: &Answer, status: u16, texts: &[&str]) {
    let page = answer.text();
    assert_eq!(answer.status.as_u16(), status, "{page}");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    for text in texts {
        assert!(page.contains(text), "{text:?} is missing in\n{page}");
    }
}

#[tokio::test]
async fn there_are_no_pages_unless_they_are_asked_for() {
    let without = World::new().await;
    assert_eq!(without.ask(Ask::get(PASSWORDS)).await.status, StatusCode::NOT_FOUND);
    shows(&world().await.ask(Ask::get(PASSWORDS)).await, 200, &["Forgot your password?"]);
}

#[tokio::test]
async fn a_page_lets_nothing_in_from_elsewhere_and_is_kept_nowhere() {
    let world = world().await;
    for path in [PASSWORDS, USERNAMES, ACTIVATIONS, "/auth/pages/password/MQ/x-1/"] {
        let answer = world.ask(Ask::get(path)).await;
        shows(&answer, 200, &["<!DOCTYPE html>", "<html lang=\"en\">"]);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(
            policy.ends_with("; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"),
            "{policy}"
        );
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        let page = answer.text();
        for foreign in ["<script", "src=", "http:", "https:", "url(", "@import"] {
            assert!(!page.contains(foreign), "{foreign} in\n{page}");
        }
    }
}

#[tokio::test]
async fn a_link_shows_a_form_that_sets_a_new_password_once() {
    let world = world().await;
    world.register("ada").await;
    let link = world.reset_link("ada").await;
    let path = linked(PASSWORDS, &link);
    shows(&world.ask(Ask::get(&path)).await, 200, &["Choose a new password"]);
    let head = world.ask(Ask::new(Method::HEAD, &path)).await;
    assert_eq!((head.status, head.text()), (StatusCode::OK, String::new()));

    let differ = send(&world, &path, &passwords(OTHER_PASSWORD, PASSWORD)).await;
    let mismatch = "The two password fields didn&#x27;t match.";
    shows(&differ, 400, &[mismatch, "href=\"#re_new_password\"", "aria-invalid=\"true\""]);
    let weak = send(&world, &path, &passwords("12345678", "12345678")).await;
    shows(&weak, 400, &["This password is too common.", "This password is entirely numeric."]);
    assert!(!weak.text().contains("12345678"), "a password is never shown again");
    let blank = send(&world, &path, "").await;
    shows(&blank, 400, &["This field may not be blank."]);

    let done = send(&world, &path, &passwords(OTHER_PASSWORD, OTHER_PASSWORD)).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    let next = done.header("location").unwrap();
    assert_eq!(next, "/auth/pages/password/done/");
    shows(&world.ask(Ask::get(next)).await, 200, &["Your password has been changed"]);
    assert_eq!(world.try_log_in("ada", OTHER_PASSWORD).await.status, StatusCode::OK);
    assert_eq!(world.try_log_in("ada", PASSWORD).await.status, StatusCode::BAD_REQUEST);

    let again = send(&world, &path, &passwords(PASSWORD, PASSWORD)).await;
    shows(&again, 400, &["This link is not good any more", ">Ask for a new link</a>"]);
    assert_eq!(world.try_log_in("ada", OTHER_PASSWORD).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_link_that_is_too_old_or_made_up_does_nothing() {
    let world = world().await;
    world.register("ada").await;
    let link = world.reset_link("ada").await;
    let good = passwords(OTHER_PASSWORD, OTHER_PASSWORD);
    let made_up = format!("{PASSWORDS}MQ/abc-0123/");
    shows(&send(&world, &made_up, &good).await, 400, &["This link is not good any more"]);
    world.pass(Duration::from_hours(73));
    let late = send(&world, &linked(PASSWORDS, &link), &good).await;
    shows(&late, 400, &["This link is not good any more"]);
    assert_eq!(world.try_log_in("ada", PASSWORD).await.status, StatusCode::OK);
}

#[tokio::test]
async fn asking_for_a_link_is_answered_the_same_for_known_and_unknown_addresses() {
    let world = world().await;
    world.register("ada").await;
    let known = send(&world, PASSWORDS, "email=ada%40example.org").await;
    shows(&known, 200, &["If an account has this address, a mail with a link is on its way."]);
    let unknown = send(&world, PASSWORDS, "email=bob%40example.org").await;
    assert_eq!((known.status, known.text()), (unknown.status, unknown.text()));
    assert_eq!(
        world.promised().await,
        [(MailPurpose::PasswordReset, "ada@example.org".to_owned())]
    );
    let wrong = send(&world, PASSWORDS, "email=%3Cada%3E").await;
    shows(&wrong, 400, &["Enter a valid email address.", "value=\"&lt;ada&gt;\""]);
}

#[tokio::test]
async fn a_link_sets_a_new_username() {
    let world = world().await;
    world.register("ada").await;
    world.register("bob").await;
    let path = linked(USERNAMES, &world.link("ada", MailPurpose::UsernameReset).await);
    let bad = send(&world, &path, "new_username=a%20b").await;
    shows(&bad, 400, &["Enter a valid username.", "value=\"a b\""]);
    let taken = send(&world, &path, "new_username=bob").await;
    shows(&taken, 400, &["A user with that username already exists."]);
    let done = send(&world, &path, "new_username=lovelace").await;
    assert_eq!(done.header("location"), Some("/auth/pages/username/done/"));
    assert_eq!(world.try_log_in("lovelace", PASSWORD).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_account_is_activated_by_the_button_and_not_by_the_look() {
    let world = World::with(|settings| {
        settings.accounts.pages = true;
        settings.accounts.send_activation_email = true;
    })
    .await;
    world.register("ada").await;
    let path = linked(ACTIVATIONS, &world.link("ada", MailPurpose::Activation).await);
    shows(&world.ask(Ask::get(&path)).await, 200, &["Activate your account"]);
    assert!(!world.user("ada").await.is_active);
    let done = send(&world, &path, "").await;
    assert_eq!(done.header("location"), Some("/auth/pages/activation/done/"));
    assert!(world.user("ada").await.is_active);
    let again = send(&world, &path, "").await;
    assert_ne!(again.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn forms_of_other_sites_are_refused_and_our_own_taken() {
    let world = world().await;
    world.register("ada").await;
    let path = linked(PASSWORDS, &world.reset_link("ada").await);
    let good = passwords(OTHER_PASSWORD, OTHER_PASSWORD);
    let from = |name: &str, value: &str| {
        form(&path, &good).from("192.0.2.1", "gate.example").header(name, value)
    };
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let answer = world.ask(from(name, value)).await;
        shows(&answer, 403, &["This form was sent by another site."]);
    }
    let own = world.ask(from("origin", "https://gate.example")).await;
    assert_eq!(own.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn too_many_requests_for_links_are_told_so() {
    let world = World::with(|settings| {
        settings.accounts.pages = true;
        settings.limits.throttling = true;
        settings.limits.reset_per_account = "1/h".parse().unwrap();
    })
    .await;
    assert_eq!(send(&world, PASSWORDS, "email=a%40example.org").await.status, StatusCode::OK);
    let second = send(&world, PASSWORDS, "email=a%40example.org").await;
    shows(&second, 429, &["Request was throttled. Expected available in"]);
    assert!(second.header("retry-after").is_some());
}

#[tokio::test]
async fn only_forms_are_taken_and_other_methods_refused() {
    let world = world().await;
    let json = Ask::new(Method::POST, PASSWORDS).json(&json!(["x"]));
    assert_eq!(world.ask(json).await.status, StatusCode::BAD_REQUEST);
    let answer = world.ask(Ask::new(Method::DELETE, PASSWORDS)).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("allow"), Some("GET,HEAD,POST"));
}
