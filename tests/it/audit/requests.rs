//! What requests leave: logins, registrations, changes of accounts.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::place::Place;
use crate::subject::{Ask, PASSWORD, Subject};

const OTHER_PASSWORD: &str = "another-horse-battery";

/// A deed of a known user to themselves, that succeeded.
fn own(action: &str, id: &str, name: &str) -> Value {
    let mut line = by_user(action, id, name);
    line["user.target.id"] = id.into();
    line["user.target.name"] = name.into();
    line
}

fn by_user(action: &str, id: &str, name: &str) -> Value {
    let mut line = plain(action);
    line["portcullis.actor"] = "user".into();
    line["user.id"] = id.into();
    line["user.name"] = name.into();
    line
}

/// A deed of nobody who is known, to an account.
fn by_nobody(action: &str, id: &str, name: &str) -> Value {
    let mut line = plain(action);
    line["user.target.id"] = id.into();
    line["user.target.name"] = name.into();
    line
}

fn plain(action: &str) -> Value {
    let category = if action.starts_with("user.") { "iam" } else { "authentication" };
    json!({"event.action": action, "event.category": [category], "event.outcome": "success",
           "portcullis.actor": "anonymous"})
}

trait Told {
    fn by(self, means: &str) -> Self;
    fn failed(self, reason: &str) -> Self;
}

impl Told for Value {
    fn by(mut self, means: &str) -> Self {
        self["portcullis.means"] = means.into();
        self
    }

    fn failed(mut self, reason: &str) -> Self {
        self["event.outcome"] = "failure".into();
        self["event.reason"] = reason.into();
        self
    }
}

async fn done(subject: &Subject, ask: Ask) {
    let answer = subject.ask(ask).await;
    assert!(answer.status.is_success(), "{}: {}", answer.status, answer.json());
}

fn post(path: &str, token: &str, body: &Value) -> Ask {
    Ask::new(Method::POST, path).bearer(token).json(body)
}

async fn the_life_of_an_account_is_written_down_without_a_secret(place: &Place) {
    let subject = place.gateway(|_| {}).await;
    let id = subject.register("ada").await.to_string();
    let form = json!({"username": "ada", "password": "wrong-password"});
    let refused = subject.post("/auth/token/login/", form).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let form = json!({"username": "my-password-by-mistake", "password": PASSWORD});
    subject.post("/auth/token/login/", form).await;
    let token = subject.opaque("ada").await;
    let wrong = json!({"current_password": "guess-work", "new_password": OTHER_PASSWORD});
    let refused = subject.ask(post("/auth/users/set_password/", &token, &wrong)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let change = json!({"current_password": PASSWORD, "new_password": OTHER_PASSWORD});
    done(&subject, post("/auth/users/set_password/", &token, &change)).await;
    let form = json!({"username": "ada", "password": OTHER_PASSWORD});
    let again = subject.post("/auth/token/login/", form).await;
    let again = again.json()["auth_token"].as_str().unwrap().to_owned();
    done(&subject, Ask::new(Method::POST, "/auth/token/logout/").bearer(&again)).await;
    subject.stop().await;

    let login = || by_user("identity.login", &id, "ada").by("opaque");
    let expected = [
        by_nobody("user.register", &id, "ada"),
        login().failed("wrong_password"),
        plain("identity.login").by("opaque").failed("unknown_user"),
        login(),
        own("identity.password_check", &id, "ada").failed("wrong_password"),
        own("user.password_change", &id, "ada"),
        login(),
        by_user("identity.logout", &id, "ada"),
    ];
    assert_eq!(place.told().await, expected);
    let guesses = ["wrong-password", "guess-work", "mistake", "ada@example.org"];
    place.tells_none_of(&[&guesses[..], &[PASSWORD, OTHER_PASSWORD, &token, &again]].concat());
}

async fn what_is_done_by_mailed_links_is_written_down_without_them(place: &Place) {
    let subject = place.gateway(|settings| settings.accounts.send_activation_email = true).await;
    let id = subject.register("ada").await.to_string();
    let (uid, activation) = subject.next_link().await;
    let body = json!({"uid": uid, "token": activation});
    done(&subject, Ask::new(Method::POST, "/auth/users/activation/").json(&body)).await;
    // Nobody has this address, and nothing is told of it.
    let nobody = json!({"email": "eve@example.org"});
    done(&subject, Ask::new(Method::POST, "/auth/users/reset_password/").json(&nobody)).await;
    let email = json!({"email": "ada@example.org"});
    done(&subject, Ask::new(Method::POST, "/auth/users/reset_password/").json(&email)).await;
    let (uid, reset) = subject.next_link().await;
    let body = json!({"uid": uid, "token": reset, "new_password": OTHER_PASSWORD});
    done(&subject, Ask::new(Method::POST, "/auth/users/reset_password_confirm/").json(&body)).await;
    done(&subject, Ask::new(Method::POST, "/auth/users/reset_username/").json(&email)).await;
    let (uid, rename) = subject.next_link().await;
    let body = json!({"uid": uid, "token": rename, "new_username": "countess"});
    let ask = Ask::new(Method::POST, "/auth/users/reset_username_confirm/").json(&body);
    done(&subject, ask).await;
    subject.stop().await;

    let expected = [
        by_nobody("user.register", &id, "ada"),
        by_nobody("user.activate", &id, "ada").by("link"),
        by_nobody("user.link_request", &id, "ada"),
        by_nobody("user.password_reset", &id, "ada").by("link"),
        by_nobody("user.link_request", &id, "ada"),
        by_nobody("user.rename", &id, "ada").by("link"),
    ];
    assert_eq!(place.told().await, expected);
    place.tells_none_of(&[&activation, &reset, &rename, "example.org", OTHER_PASSWORD]);
}

async fn changes_of_ones_own_account_name_who_did_them(place: &Place) {
    let subject = place.gateway(|_| {}).await;
    let id = subject.register("ada").await.to_string();
    let token = subject.opaque("ada").await;
    let rename = json!({"current_password": PASSWORD, "new_username": "countess"});
    done(&subject, post("/auth/users/set_username/", &token, &rename)).await;
    let change = json!({"email": "countess@example.org"});
    done(&subject, Ask::new(Method::PATCH, "/auth/users/me/").bearer(&token).json(&change)).await;
    done(&subject, Ask::new(Method::POST, "/auth/users/me/logout_all/").bearer(&token)).await;
    let form = json!({"username": "countess", "password": PASSWORD});
    let pair = subject.post("/auth/jwt/create/", form).await.json();
    let (access, refresh) = (pair["access"].as_str().unwrap(), pair["refresh"].as_str().unwrap());
    let blacklist = json!({"refresh": refresh});
    done(&subject, Ask::new(Method::POST, "/auth/jwt/blacklist/").json(&blacklist)).await;
    let form = json!({"username": "countess", "password": PASSWORD});
    let token = subject.post("/auth/token/login/", form).await.json()["auth_token"].clone();
    let token = token.as_str().unwrap();
    let delete = json!({"current_password": PASSWORD});
    done(&subject, Ask::new(Method::DELETE, "/auth/users/me/").bearer(token).json(&delete)).await;
    subject.stop().await;

    let of_number = |mut line: Value| {
        line.as_object_mut().unwrap().remove("user.target.name");
        line
    };
    let expected = [
        by_nobody("user.register", &id, "ada"),
        by_user("identity.login", &id, "ada").by("opaque"),
        own("user.rename", &id, "ada").by("password"),
        own("user.change", &id, "countess"),
        of_number(own("identity.logout", &id, "countess").by("all")),
        by_user("identity.login", &id, "countess").by("jwt"),
        of_number(by_nobody("token.revoke", &id, "countess").by("jwt")),
        by_user("identity.login", &id, "countess").by("opaque"),
        own("user.delete", &id, "countess"),
    ];
    assert_eq!(place.told().await, expected);
    place.tells_none_of(&[PASSWORD, access, refresh, token, "example.org"]);
}

on_each! {
    the_life_of_an_account_is_written_down_without_a_secret,
    what_is_done_by_mailed_links_is_written_down_without_them,
    changes_of_ones_own_account_name_who_did_them,
}
