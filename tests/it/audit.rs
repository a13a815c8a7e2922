//! What real requests leave in the audit log: who did what to whom, and no secret.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Method, StatusCode};
use portcullis::config::AuditTarget;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::subject::{Ask, PASSWORD, Subject};

const OTHER_PASSWORD: &str = "another-horse-battery";

struct Audited {
    subject: Subject,
    path: PathBuf,
    _folder: TempDir,
}

impl Audited {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let target = AuditTarget::File(path.clone());
        let subject = Subject::with(|settings| settings.server.audit_log = target).await;
        Self { subject, path, _folder: folder }
    }

    /// Stops it, and gives what was written.
    async fn written(self) -> (Vec<Value>, String) {
        self.subject.stop().await;
        let text = read(&self.path).await;
        let lines = text.lines().map(|line| timeless(serde_json::from_str(line).unwrap()));
        (lines.collect(), text)
    }
}

/// The writer ends with the last of those who hold the log.
async fn read(path: &Path) -> String {
    let mut last = String::new();
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let text = std::fs::read_to_string(path).unwrap();
        if !text.is_empty() && text == last {
            return text;
        }
        last = text;
    }
}

/// Without what differs from run to run.
fn timeless(mut line: Value) -> Value {
    let fields = line.as_object_mut().unwrap();
    assert!(fields.remove("@timestamp").is_some());
    assert!(fields.remove("http.request.id").is_some());
    assert_eq!(fields.remove("client.ip").unwrap(), "127.0.0.1");
    assert_eq!(fields.remove("event.dataset").unwrap(), "portcullis.audit");
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_an_account_is_written_down_without_a_secret() {
    let audited = Audited::start().await;
    let subject = &audited.subject;
    let id = subject.register("ada").await.to_string();
    let form = json!({"username": "ada", "password": "wrong-password"});
    let refused = subject.post("/auth/token/login/", form).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let form = json!({"username": "my-password-by-mistake", "password": PASSWORD});
    subject.post("/auth/token/login/", form).await;
    let token = subject.opaque("ada").await;
    let change = json!({"current_password": PASSWORD, "new_password": OTHER_PASSWORD});
    let change = Ask::new(Method::POST, "/auth/users/set_password/").bearer(&token).json(&change);
    assert_eq!(subject.ask(change).await.status, StatusCode::NO_CONTENT);
    let form = json!({"username": "ada", "password": OTHER_PASSWORD});
    let again = subject.post("/auth/token/login/", form).await;
    let again = again.json()["auth_token"].as_str().unwrap().to_owned();
    let out = Ask::new(Method::POST, "/auth/token/logout/").bearer(&again);
    assert_eq!(subject.ask(out).await.status, StatusCode::NO_CONTENT);

    let (lines, text) = audited.written().await;
    let (auth, iam) = (json!(["authentication"]), json!(["iam"]));
    let expected = [
        json!({"event.action": "user.register", "event.category": iam, "event.outcome": "success",
               "portcullis.actor": "anonymous", "user.target.id": id, "user.target.name": "ada"}),
        json!({"event.action": "identity.login", "event.category": auth, "event.outcome": "failure",
               "event.reason": "wrong_password", "portcullis.means": "opaque",
               "portcullis.actor": "user", "user.id": id, "user.name": "ada"}),
        json!({"event.action": "identity.login", "event.category": auth, "event.outcome": "failure",
               "event.reason": "unknown_user", "portcullis.means": "opaque",
               "portcullis.actor": "anonymous"}),
        json!({"event.action": "identity.login", "event.category": auth, "event.outcome": "success",
               "portcullis.means": "opaque", "portcullis.actor": "user", "user.id": id,
               "user.name": "ada"}),
        json!({"event.action": "user.password_change", "event.category": iam,
               "event.outcome": "success", "portcullis.actor": "user", "user.id": id,
               "user.name": "ada", "user.target.id": id, "user.target.name": "ada"}),
        json!({"event.action": "identity.login", "event.category": auth, "event.outcome": "success",
               "portcullis.means": "opaque", "portcullis.actor": "user", "user.id": id,
               "user.name": "ada"}),
        json!({"event.action": "identity.logout", "event.category": auth,
               "event.outcome": "success", "portcullis.actor": "user", "user.id": id,
               "user.name": "ada"}),
    ];
    assert_eq!(lines, expected);
    let secrets =
        [PASSWORD, OTHER_PASSWORD, &token, &again, "mistake", "ada@example.org", "wrong-"];
    for secret in secrets {
        assert!(!text.replace("wrong_password", "").contains(secret), "{secret} in\n{text}");
    }
}
