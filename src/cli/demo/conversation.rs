//! What the demo says to the gateway, and what it must hear.
//!
//! A user's life in ten requests: register, log in, be let through, fail to forge a name,
//! log out, be refused. It must not know how the gateway was started.

use std::io::Write;
use std::net::SocketAddr;

use http::StatusCode;
use serde_json::{Value, json};

use super::client::{Answer, Ask, exchange};

/// djoser's own example user.
pub(super) const USERNAME: &str = "example_user";
/// And the password that goes with it.
pub(super) const PASSWORD: &str = "example_password";
/// Where the demo's mail goes.
pub(super) const EMAIL: &str = "example_user@example.com";

/// Whether this database has met the demo before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acquaintance {
    /// The user must be new.
    First,
    /// The user may exist already (`--keep`).
    Renewed,
}

/// Holds the conversation. Counts what was not as it should be.
pub(super) struct Conversation<'a, W> {
    pub(super) gateway: SocketAddr,
    pub(super) out: &'a mut W,
    pub(super) faults: usize,
}

impl<W: Write> Conversation<'_, W> {
    pub(super) async fn hold(&mut self, acquaintance: Acquaintance) -> anyhow::Result<()> {
        self.register(acquaintance).await?;
        self.step("Without a token nobody gets in", Ask::get("/hello"), |answer| {
            answer.status == StatusCode::UNAUTHORIZED
        })
        .await?;
        self.step("… but for what is public", Ask::get("/public/hello"), |answer| {
            answer.status == StatusCode::OK
        })
        .await?;
        self.opaque_token().await?;
        self.jwt().await?;
        let reset = Ask::post("/auth/users/reset_password/", json!({"email": EMAIL}));
        self.step("She forgot her password; a mail is on its way", reset, |answer| {
            answer.status == StatusCode::NO_CONTENT
        })
        .await?;
        Ok(())
    }

    async fn register(&mut self, acquaintance: Acquaintance) -> anyhow::Result<()> {
        let account = json!({
            "username": USERNAME, "email": EMAIL,
            "password": PASSWORD, "re_password": PASSWORD,
        });
        self.step("A user registers", Ask::post("/auth/users/", account), |answer| {
            answer.status == StatusCode::CREATED
                || acquaintance == Acquaintance::Renewed && answer.status == StatusCode::BAD_REQUEST
        })
        .await?;
        Ok(())
    }

    async fn opaque_token(&mut self) -> anyhow::Result<()> {
        let login =
            Ask::post("/auth/token/login/", json!({"username": USERNAME, "password": PASSWORD}));
        let answer = self
            .step("She logs in and gets an opaque token", login, |answer| {
                answer.status == StatusCode::OK && answer.json()["auth_token"].is_string()
            })
            .await?;
        let token = text(&answer.json()["auth_token"]);
        self.step("With it, requests reach the app", Ask::get("/hello").bearer(&token), sees_her)
            .await?;
        let forged = Ask::get("/hello").bearer(&token).header("X-Forwarded-User", "admin");
        self.step("Nobody can forge a name", forged, sees_her).await?;
        self.step("She logs out", Ask::act("/auth/token/logout/").bearer(&token), |answer| {
            answer.status == StatusCode::NO_CONTENT
        })
        .await?;
        self.step("From then on the token is dead", Ask::get("/hello").bearer(&token), |answer| {
            answer.status == StatusCode::UNAUTHORIZED
                && answer.json() == json!({"detail": "Invalid token."})
        })
        .await?;
        Ok(())
    }

    async fn jwt(&mut self) -> anyhow::Result<()> {
        let create =
            Ask::post("/auth/jwt/create/", json!({"username": USERNAME, "password": PASSWORD}));
        let answer = self
            .step("The same with JWTs", create, |answer| {
                answer.status == StatusCode::OK && answer.json()["access"].is_string()
            })
            .await?;
        let access = text(&answer.json()["access"]);
        self.step("A JWT lets her through as well", Ask::get("/hello").bearer(&access), sees_her)
            .await?;
        self.step("She logs out with it", Ask::act("/auth/token/logout/").bearer(&access), |a| {
            a.status == StatusCode::NO_CONTENT
        })
        .await?;
        let after = Ask::get("/hello").bearer(&access);
        self.step("A logged-out JWT is dead at once, not at its expiry", after, |answer| {
            answer.status == StatusCode::UNAUTHORIZED
                && answer.json()["messages"][0]["message"] == "Token is blacklisted"
        })
        .await?;
        Ok(())
    }

    /// Asks, prints both sides, and judges the answer.
    async fn step(
        &mut self,
        title: &str,
        ask: Ask,
        good: impl Fn(&Answer) -> bool,
    ) -> anyhow::Result<Answer> {
        writeln!(self.out, "\n# {title}\n$ {}", ask.curl(self.gateway))?;
        let answer = exchange(self.gateway, &ask).await?;
        writeln!(self.out, "{}", answer.status)?;
        if let Some(challenge) = answer.headers.get("www-authenticate") {
            writeln!(
                self.out,
                "WWW-Authenticate: {}",
                String::from_utf8_lossy(challenge.as_bytes())
            )?;
        }
        if !answer.body.is_empty() {
            match answer.json() {
                Value::Null => writeln!(self.out, "{}", String::from_utf8_lossy(&answer.body))?,
                json => writeln!(self.out, "{json:#}")?,
            }
        }
        if !good(&answer) {
            self.faults += 1;
            writeln!(self.out, "!! This is not the answer it should be.")?;
        }
        Ok(answer)
    }
}

/// The app was told who is asking, and was not given the credential.
fn sees_her(answer: &Answer) -> bool {
    let seen = &answer.json()["headers"];
    answer.status == StatusCode::OK
        && seen["x-forwarded-user"] == USERNAME
        && seen["authorization"].is_null()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
