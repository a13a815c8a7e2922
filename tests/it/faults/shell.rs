//! `portcullis user` from another process while the gateway runs.

use std::time::Duration;

use http::{Method, StatusCode};
use portcullis::config::Period;
use serde_json::json;

use super::process::program;
use crate::subject::{Answer, Ask, PASSWORD, Subject};

async fn subject() -> Subject {
    Subject::with(|settings| settings.revocation.tick = Period::millis(50)).await
}

async fn user(subject: &Subject, arguments: &[&str]) {
    let file = subject.folder.path().join("portcullis.db");
    let config = subject.folder.path().join("shell.toml");
    let ground = "[[upstreams]]\nname = \"app\"\nservers = [\"127.0.0.1:1\"]\n\
                  [[routes]]\npath = \"/\"\nupstream = \"app\"\n";
    let text = format!("[database]\nurl = \"sqlite://{}\"\n{ground}", file.display());
    std::fs::write(&config, text).unwrap();
    let mut command = program();
    command.arg("user").arg("--config").arg(&config).args(arguments);
    let run = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    crate::ledger::said("shell", [run.stdout, run.stderr.clone()].concat());
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

/// Asks again until it is refused. The log is read every 50 ms; a machine that is busy gets more.
async fn until_refused(subject: &Subject, token: &str) -> Answer {
    let refused = async {
        loop {
            let answer = subject.get_as("/", token).await;
            if answer.status != StatusCode::OK {
                return answer;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), refused).await.expect("it reaches the gate")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deactivation_reaches_the_gate() {
    let subject = subject().await;
    for name in ["ada", "bob"] {
        subject.register(name).await;
    }
    let (opaque, (access, refresh)) = (subject.opaque("ada").await, subject.jwt("ada").await);
    let others = subject.opaque("bob").await;
    for token in [&opaque, &access, &others] {
        assert_eq!(subject.get_as("/", token).await.status, StatusCode::OK);
    }
    user(&subject, &["deactivate", "ada"]).await;
    let answer = until_refused(&subject, &access).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.json(), json!({"detail": "User is inactive", "code": "user_inactive"}));
    let answer = until_refused(&subject, &opaque).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let renewed = subject.post("/auth/jwt/refresh/", json!({"refresh": refresh})).await;
    assert_eq!(renewed.status, StatusCode::UNAUTHORIZED);
    let login = json!({"username": "ada", "password": PASSWORD});
    let login = subject.post("/auth/token/login/", login).await;
    assert_eq!(login.status, StatusCode::BAD_REQUEST);
    assert_eq!(subject.get_as("/", &others).await.status, StatusCode::OK);

    user(&subject, &["activate", "ada"]).await;
    assert_eq!(subject.get_as("/", &access).await.status, StatusCode::UNAUTHORIZED, "it ended");
    let (fresh, _) = subject.jwt("ada").await;
    assert_eq!(subject.get_as("/", &fresh).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_activated_is_let_in_even_before_the_log_was_read() {
    let subject = Subject::with(|settings| settings.revocation.tick = Period::seconds(3600)).await;
    subject.register("ada").await;
    let (access, _) = subject.jwt("ada").await;
    user(&subject, &["deactivate", "ada"]).await;
    // As far as may be without the log: what is known of her is read again.
    subject.clock.set(subject.clock.now().plus(Duration::from_mins(1)));
    let refused = subject.get_as("/", &access).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "her record was read, and is inactive");
    user(&subject, &["activate", "ada"]).await;
    let (fresh, _) = subject.jwt("ada").await;
    let seen = subject.get_as("/", &fresh).await;
    assert_eq!(seen.status, StatusCode::OK, "{}", seen.json());
    assert_eq!(subject.get_as("/", &access).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_ends_what_was_issued_and_nothing_else() {
    let subject = subject().await;
    subject.register("ada").await;
    let (opaque, (access, _)) = (subject.opaque("ada").await, subject.jwt("ada").await);
    for token in [&opaque, &access] {
        assert_eq!(subject.get_as("/", token).await.status, StatusCode::OK);
    }
    user(&subject, &["revoke", "ada"]).await;
    for token in [&opaque, &access] {
        assert_eq!(until_refused(&subject, token).await.status, StatusCode::UNAUTHORIZED);
    }
    let fresh = subject.opaque("ada").await;
    assert_eq!(subject.get_as("/", &fresh).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_reaches_the_gate() {
    let subject = subject().await;
    subject.register("ada").await;
    let (access, _) = subject.jwt("ada").await;
    assert_eq!(subject.get_as("/", &access).await.status, StatusCode::OK);
    user(&subject, &["delete", "ada", "--yes"]).await;
    let answer = until_refused(&subject, &access).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.json(), json!({"detail": "User not found", "code": "user_not_found"}));
    let me = Ask::new(Method::GET, "/auth/users/me/").bearer(&access);
    assert_eq!(subject.ask(me).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_has_no_database_is_in_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let (config, lines) = (folder.path().join("shell.toml"), folder.path().join("audit.log"));
    let text = format!(
        "secret_key = \"a secret of this installation, long enough\"\n\
         [server]\naudit_log = \"file:{}\"\n[database]\nurl = \"postgres://x@127.0.0.1:1/x\"\n\
         [[upstreams]]\nname = \"app\"\nservers = [\"127.0.0.1:1\"]\n\
         [[routes]]\npath = \"/\"\nupstream = \"app\"\n",
        lines.display()
    );
    std::fs::write(&config, text).unwrap();
    let commands: [&[&str]; 5] = [
        &["user", "create", "ada", "--no-password"],
        &["user", "list"],
        &["keys", "rotate"],
        &["keys", "list"],
        &["import", "django", "--from", "sqlite:///nowhere"],
    ];
    for arguments in commands {
        let mut command = program();
        command.args(arguments).arg("--config").arg(&config);
        let run = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!(run.status.code(), Some(1), "{arguments:?}");
    }
    let text = std::fs::read_to_string(lines).unwrap();
    let told: Vec<_> = text
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            ["event.action", "event.outcome", "event.reason", "portcullis.actor"]
                .map(|field| line[field].as_str().unwrap().to_owned())
        })
        .collect();
    let expected = ["user.create", "key.rotate", "user.import"]
        .map(|action| [action, "failure", "database", "shell"].map(str::to_owned));
    assert_eq!(told, expected);
}
