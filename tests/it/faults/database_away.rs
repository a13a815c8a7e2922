//! The database goes away while the gateway serves, and comes back.
//!
//! What can be proved passes until `revocation.max_staleness`; everything else is 503, which is
//! our trouble and said to be. Nothing is 500, no good credential is 401, nobody gets in.

use std::time::Duration;

use http::{Method, StatusCode};
use portcullis::config::{Period, SecretText, Settings};
use serde_json::json;

use crate::servers::PostgresDatabase;
use crate::subject::{Answer, Ask, PASSWORD, Subject};

const MAX_STALENESS: Duration = Duration::from_mins(1);

/// Something that can happen to the database of a subject.
trait Breakage {
    async fn occur(&mut self, subject: &Subject);
    async fn pass(&mut self, subject: &Subject);
}

/// The log is read often, so that a recovery is soon seen.
fn attentive(settings: &mut Settings) {
    settings.revocation.tick = Period::millis(50);
}

/// 503 as the gate and the API say it.
fn is_our_trouble(answer: &Answer, what: &str) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{what}");
    let seconds: u64 = answer.header("retry-after").expect(what).parse().unwrap();
    assert!((1..=60).contains(&seconds), "{what}");
    assert_eq!(
        answer.json(),
        json!({"detail": "Authentication is temporarily unavailable. Please try again.",
               "code": "auth_unavailable"}),
        "{what}"
    );
}

async fn status(subject: &Subject, token: &str) -> StatusCode {
    subject.get_as("/", token).await.status
}

/// Everything that needs the database.
async fn nothing_new_happens(subject: &Subject, known: &str) {
    let name = json!({"username": "ada", "password": PASSWORD});
    let wrong = json!({"username": "ada", "password": "wrong-password-1"});
    let nobody = json!({"username": "nobody", "password": PASSWORD});
    let new = json!({"username": "eve", "password": PASSWORD, "re_password": PASSWORD});
    let reset = json!({"email": "ada@example.org"});
    for (path, form) in [
        ("/auth/token/login/", &name),
        ("/auth/jwt/create/", &name),
        ("/auth/token/login/", &wrong),
        ("/auth/jwt/create/", &nobody),
        ("/auth/users/", &new),
        ("/auth/users/reset_password/", &reset),
    ] {
        is_our_trouble(&subject.post(path, form.clone()).await, path);
    }
    let me = Ask::new(Method::GET, "/auth/users/me/").bearer(known);
    let out = Ask::new(Method::POST, "/auth/token/logout/").bearer(known);
    is_our_trouble(&subject.ask(me).await, "me");
    is_our_trouble(&subject.ask(out).await, "logout");
}

async fn outage(subject: Subject, mut breakage: impl Breakage) {
    subject.register("ada").await;
    let (opaque, (access, refresh)) = (subject.opaque("ada").await, subject.jwt("ada").await);
    let unseen = subject.opaque("ada").await;
    for token in [&opaque, &access] {
        assert_eq!(status(&subject, token).await, StatusCode::OK);
    }
    let let_through = subject.reached();

    breakage.occur(&subject).await;
    for token in [&opaque, &access] {
        assert_eq!(status(&subject, token).await, StatusCode::OK, "known");
    }
    is_our_trouble(&subject.get_as("/", &unseen).await, "an opaque token not seen before");
    is_our_trouble(&subject.get_as("/maybe/", &unseen).await, "optional, and unknowable");
    assert_eq!(subject.get("/public/").await.status, StatusCode::OK, "nobody is asked for");
    assert_eq!(subject.get("/").await.status, StatusCode::UNAUTHORIZED, "nothing to be checked");
    assert_eq!(status(&subject, "no-token").await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&subject, "a.b.c").await, StatusCode::UNAUTHORIZED);
    nothing_new_happens(&subject, &opaque).await;
    is_our_trouble(
        &subject.post("/auth/jwt/refresh/", json!({"refresh": refresh})).await,
        "refresh",
    );
    assert_eq!(subject.probe("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(subject.probe("/livez").await.status, StatusCode::OK);
    assert_eq!(subject.reached(), let_through + 3, "nobody else");

    let start = subject.clock.now();
    subject.clock.set(start.plus(MAX_STALENESS));
    for token in [&opaque, &access] {
        assert_eq!(status(&subject, token).await, StatusCode::OK, "the log is not too old");
    }
    subject.clock.set(start.plus(MAX_STALENESS + Duration::from_micros(1)));
    for token in [&opaque, &access, &unseen] {
        is_our_trouble(&subject.get_as("/", token).await, "too long without the log");
    }
    assert_eq!(subject.get("/public/").await.status, StatusCode::OK);

    breakage.pass(&subject).await;
    subject.advance(Duration::ZERO).await;
    for token in [&opaque, &access, &unseen] {
        assert_eq!(status(&subject, token).await, StatusCode::OK, "as if nothing had been");
    }
    let anew = subject.opaque("ada").await;
    assert_eq!(status(&subject, &anew).await, StatusCode::OK);
    let out = Ask::new(Method::POST, "/auth/token/logout/").bearer(&opaque);
    assert_eq!(subject.ask(out).await.status, StatusCode::NO_CONTENT);
    assert_eq!(status(&subject, &opaque).await, StatusCode::UNAUTHORIZED);
}

struct Refusing(PostgresDatabase);

impl Breakage for Refusing {
    async fn occur(&mut self, _: &Subject) {
        self.0.close_to_connections().await;
    }

    async fn pass(&mut self, _: &Subject) {
        self.0.open_to_connections().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_connections_is_survived() {
    let database = PostgresDatabase::create().await;
    let url = SecretText::from(&*database.url());
    let subject = Subject::with(|settings| {
        attentive(settings);
        settings.database.url = url;
        settings.secret_key = SecretText::from("a-secret-of-at-least-32-characters");
    })
    .await;
    outage(subject, Refusing(database)).await;
}

/// The file is gone from where it was, and comes back.
struct Moved;

impl Breakage for Moved {
    async fn occur(&mut self, subject: &Subject) {
        let folder = subject.folder.path();
        std::fs::rename(folder.join("portcullis.db"), folder.join("elsewhere")).unwrap();
    }

    async fn pass(&mut self, subject: &Subject) {
        let folder = subject.folder.path();
        std::fs::rename(folder.join("elsewhere"), folder.join("portcullis.db")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_moved_away_is_survived() {
    outage(Subject::with(attentive).await, Moved).await;
}

/// Another file lies where it was: an empty one, as a careless restore leaves it.
struct Replaced;

impl Breakage for Replaced {
    async fn occur(&mut self, subject: &Subject) {
        Moved.occur(subject).await;
        std::fs::write(subject.folder.path().join("portcullis.db"), "").unwrap();
    }

    async fn pass(&mut self, subject: &Subject) {
        Moved.pass(subject).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_place_of_another_is_not_taken_for_it() {
    outage(Subject::with(attentive).await, Replaced).await;
}
