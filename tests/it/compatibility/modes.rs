//! The main job from registration to logout, in each mode as a whole.

use http::{Method, StatusCode};
use serde_json::json;

use super::configured;
use crate::subject::{Ask, PASSWORD, Subject};

const NEW_PASSWORD: &str = "entirely-different-9";

/// What the journey is taken in.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Mode {
    Portcullis,
    Djoser,
}

async fn in_mode(mode: Mode) -> Subject {
    let word = format!("{mode:?}").to_lowercase();
    configured(&format!("compatibility = \"{word}\"\n")).await
}

/// What the mode calls a credential in `Authorization`.
async fn passes(subject: &Subject, token: &str) -> StatusCode {
    subject.get_as("/hello", token).await.status
}

async fn journey(mode: Mode) {
    let subject = in_mode(mode).await;

    let mut form = json!({"username": "ada", "email": "ada@example.org", "password": PASSWORD});
    let once = subject.post("/auth/users/", form.clone()).await;
    if mode == Mode::Portcullis {
        assert_eq!(once.status, StatusCode::BAD_REQUEST);
        form["re_password"] = PASSWORD.into();
        let twice = subject.post("/auth/users/", form).await;
        assert_eq!(twice.status, StatusCode::CREATED, "{}", twice.json());
    } else {
        assert_eq!(once.status, StatusCode::CREATED, "{}", once.json());
    }

    let opaque = subject.opaque("ada").await;
    let again = subject.opaque("ada").await;
    assert_eq!(opaque == again, mode == Mode::Djoser, "one token for each user is djoser's");
    let (access, refresh) = subject.jwt("ada").await;
    assert_eq!(passes(&subject, &opaque).await, StatusCode::OK);
    assert_eq!(passes(&subject, &access).await, StatusCode::OK);
    assert_eq!(subject.get("/hello").await.status, StatusCode::UNAUTHORIZED);

    let renewed = subject.post("/auth/jwt/refresh/", json!({"refresh": refresh})).await;
    assert_eq!(renewed.status, StatusCode::OK);
    let access = renewed.json()["access"].as_str().unwrap().to_owned();
    assert_eq!(passes(&subject, &access).await, StatusCode::OK);

    let asked =
        subject.post("/auth/users/reset_password/", json!({"email": "ada@example.org"})).await;
    assert_eq!(asked.status, StatusCode::NO_CONTENT);
    let (uid, token) = subject.next_link().await;
    let new = json!({"uid": uid, "token": token, "new_password": NEW_PASSWORD});
    let confirmed = subject.post("/auth/users/reset_password_confirm/", new).await;
    assert_eq!(confirmed.status, StatusCode::NO_CONTENT, "{}", confirmed.json());
    let after_reset = match mode {
        Mode::Portcullis => StatusCode::UNAUTHORIZED,
        Mode::Djoser => StatusCode::OK,
    };
    assert_eq!(passes(&subject, &opaque).await, after_reset);
    assert_eq!(passes(&subject, &access).await, after_reset);

    let login = |password: &str| json!({"username": "ada", "password": password});
    let old = subject.post("/auth/token/login/", login(PASSWORD)).await;
    assert_eq!(old.status, StatusCode::BAD_REQUEST);
    let pair = subject.post("/auth/jwt/create/", login(NEW_PASSWORD)).await;
    assert_eq!(pair.status, StatusCode::OK);
    let access = pair.json()["access"].as_str().unwrap().to_owned();
    let opaque = subject.post("/auth/token/login/", login(NEW_PASSWORD)).await;
    let opaque = opaque.json()["auth_token"].as_str().unwrap().to_owned();

    let out = |token: &str| Ask::new(Method::POST, "/auth/token/logout/").bearer(token);
    assert_eq!(subject.ask(out(&opaque)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(passes(&subject, &opaque).await, StatusCode::UNAUTHORIZED);
    assert_eq!(passes(&subject, &access).await, StatusCode::OK, "a login of its own");
    assert_eq!(subject.ask(out(&access)).await.status, StatusCode::NO_CONTENT);
    let after_logout = match mode {
        Mode::Portcullis => StatusCode::UNAUTHORIZED,
        Mode::Djoser => StatusCode::OK,
    };
    assert_eq!(passes(&subject, &access).await, after_logout);
}

#[tokio::test]
async fn with_the_products_defaults_every_end_is_final() {
    journey(Mode::Portcullis).await;
}

#[tokio::test]
async fn as_djoser_has_it_one_token_for_each_user_and_jwts_that_live_on() {
    journey(Mode::Djoser).await;
}

#[tokio::test]
async fn a_key_that_is_written_out_wins_over_the_mode() {
    let text = "compatibility = \"djoser\"\n[tokens.opaque]\nscope = \"login\"\n";
    let subject = configured(text).await;
    let form = json!({"username": "ada", "password": PASSWORD});
    assert_eq!(subject.post("/auth/users/", form).await.status, StatusCode::CREATED);
    assert_ne!(subject.opaque("ada").await, subject.opaque("ada").await);
}
