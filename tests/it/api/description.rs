//! The API's description: is it the committed one, is it true, and does its page keep to itself?
//!
//! `docs/openapi.json` is written anew by
//! `PORTCULLIS_WRITE_DESCRIPTION=1 cargo test --test it description`.

use std::collections::BTreeSet;
use std::path::Path;

use http::Method;
use portcullis::api::description;
use portcullis::config::Settings;
use serde_json::{Map, Value, json};

use super::world::{Ask, World};

/// Every operation: its path, its method, and what is said of it.
fn operations(document: &Value) -> Vec<(String, Method, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let described = paths.iter().flat_map(|(path, item)| {
        let operations = item.as_object().unwrap().iter();
        operations.map(move |(method, operation)| {
            let method = method.to_uppercase().parse().unwrap();
            (format!("/auth{path}"), method, operation.clone())
        })
    });
    described.collect()
}

fn body<'d>(document: &'d Value, operation: &Value) -> Option<&'d Value> {
    let schema = operation.pointer("/requestBody/content/application~1json/schema/$ref")?;
    document.pointer(schema.as_str()?.trim_start_matches('#'))
}

fn names<'a>(names: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
    names.into_iter().cloned().collect()
}

#[test]
fn the_committed_description_is_that_of_the_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let text = description(&Settings::default()).unwrap();
    if std::env::var_os("PORTCULLIS_WRITE_DESCRIPTION").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap();
    assert!(committed == text, "docs/openapi.json is out of date: see the top of this file");
}

/// With every setting that adds a field, and without.
async fn worlds() -> [World; 4] {
    let retyping = World::with(|settings| {
        let accounts = &mut settings.accounts;
        accounts.set_password_retype = true;
        accounts.password_reset_confirm_retype = true;
        accounts.set_username_retype = true;
        accounts.username_reset_confirm_retype = true;
        accounts.send_activation_email = true;
    });
    let by_email = World::with(|settings| settings.accounts.login_field = "email".into());
    [World::new().await, World::djoser().await, retyping.await, by_email.await]
}

#[tokio::test]
async fn handlers_read_the_fields_that_are_described_and_miss_those_that_are_required() {
    for world in Box::pin(worlds()).await {
        let document = world.ask(Ask::get("/auth/schema/")).await.json();
        let token = world.token_of("ada").await;
        for (path, method, operation) in operations(&document) {
            let Some(schema) = body(&document, &operation) else { continue };
            // Logging in without a field is a failed login, and says so.
            let path = path.replace("{id}", &world.user("ada").await.id.0.to_string());
            let ask = |sent: Value| {
                let ask = Ask::new(method.clone(), &path).json(&sent);
                world.ask(if path.contains("/jwt/") { ask } else { ask.bearer(&token) })
            };
            let fields = schema["properties"].as_object().unwrap();
            let nulls: Map<_, _> = fields.keys().map(|name| (name.clone(), Value::Null)).collect();
            let answer = ask(Value::Object(nulls)).await;
            assert_eq!(answer.status, 400, "{method} {path}");
            assert_eq!(names(answer.json().as_object().unwrap().keys()), names(fields.keys()));

            let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
            let required: BTreeSet<_> =
                required.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
            let answer = ask(json!({})).await;
            let missed = match answer.json().as_object() {
                Some(faults) if answer.status == 400 => faults
                    .iter()
                    .filter(|(_, messages)| **messages == json!(["This field is required."]))
                    .map(|(name, _)| name.clone())
                    .collect(),
                _ => BTreeSet::new(),
            };
            assert_eq!(missed, required, "{method} {path} {}", answer.text());
        }
    }
}

#[tokio::test]
async fn who_needs_a_token_is_told_so() {
    let world = World::new().await;
    let document = world.ask(Ask::get("/auth/schema/")).await.json();
    for (path, method, operation) in operations(&document) {
        let needs = operation["security"] == json!([{"token": []}]);
        let answer = world.ask(Ask::new(method.clone(), &path).json(&json!({}))).await;
        let missing = json!({"detail": "Authentication credentials were not provided."});
        let refused = answer.status == 401 && answer.json() == missing;
        assert_eq!(refused, needs, "{method} {path}");
    }
}

#[tokio::test]
async fn the_description_is_open_to_all_and_may_be_kept() {
    let world = World::new().await;
    for (path, content_type) in [
        ("/auth/schema/", "application/vnd.oai.openapi+json;version=3.1"),
        ("/auth/docs/", "text/html; charset=utf-8"),
    ] {
        let answer = world.ask(Ask::get(path)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let tag = answer.header("etag").unwrap();
        world.ask(Ask::get(path).header("if-none-match", tag)).await.is_empty(304);
        assert_eq!(world.ask(Ask::get(path).header("if-none-match", "\"x\"")).await.status, 200);
        let refused = world.ask(Ask::new(Method::POST, path)).await;
        refused.is(405, &json!({"detail": "Method \"POST\" not allowed."}));
        assert_eq!(refused.header("allow"), Some("GET, HEAD"));
        world.ask(Ask::get(path.trim_end_matches('/'))).await.is_empty(301);
    }
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let world = World::with(|settings| settings.server.api_description = false).await;
    for path in ["/auth/schema/", "/auth/docs/"] {
        world.ask(Ask::get(path)).await.is(404, &json!({"detail": "Not found."}));
    }
}

#[tokio::test]
async fn it_follows_the_settings() {
    let world = World::with(|settings| {
        settings.server.auth_prefix = "/accounts/".into();
        settings.accounts.login_field = "email".into();
    })
    .await;
    let document = world.ask(Ask::get("/accounts/schema/")).await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"], json!([{"url": "/accounts"}]));
    let login = body(&document, &document["paths"]["/jwt/create/"]["post"]).unwrap();
    assert_eq!(login["required"], json!(["email", "password"]));
}

#[tokio::test]
async fn the_page_shows_every_operation_and_asks_nobody_else() {
    let world = World::new().await;
    let document = world.ask(Ask::get("/auth/schema/")).await.json();
    let page = world.ask(Ask::get("/auth/docs/")).await;
    let policy = page.header("content-security-policy").unwrap().to_owned();
    let html = page.text().replace("&#x2f;", "/");
    for (path, _, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(html.contains(&format!("<article id=\"{id}\">")), "{id}");
        assert!(html.contains(&format!("<code>{path}</code>")), "{path}");
    }
    let bodies = document["components"]["schemas"].as_object().unwrap().keys();
    for name in bodies.filter(|name| !name.ends_with("Request")) {
        assert!(html.contains(&format!("<article id=\"body-{name}\">")), "{name}");
    }
    for link in html.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        let known = match link.strip_prefix('#') {
            Some(id) => html.contains(&format!("id=\"{id}\"")),
            None => link == "../schema/",
        };
        assert!(known, "{link}");
    }
    for foreign in ["<script", "<link", "<img", "src=", "url(", "@import", "://", "style=\""] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
}
