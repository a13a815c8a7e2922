//! A SQLite file that is still there and cannot be used as it should be.

use std::fs::OpenOptions;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use http::StatusCode;
use portcullis::config::Period;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::subject::{PASSWORD, Subject};

async fn subject() -> Subject {
    Subject::with(|settings| settings.revocation.tick = Period::millis(50)).await
}

fn file(subject: &Subject) -> PathBuf {
    subject.folder.path().join("portcullis.db")
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_process_writes_for_long_reading_goes_on_and_writing_is_503() {
    let subject = subject().await;
    subject.register("ada").await;
    let (seen, unseen) = (subject.opaque("ada").await, subject.opaque("ada").await);
    assert_eq!(subject.get_as("/", &seen).await.status, StatusCode::OK);
    let url = format!("sqlite://{}", file(&subject).display());
    let mut holder = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe("BEGIN IMMEDIATE")).execute(&mut holder).await.unwrap();

    for token in [&seen, &unseen] {
        assert_eq!(subject.get_as("/", token).await.status, StatusCode::OK);
    }
    let login = json!({"username": "ada", "password": PASSWORD});
    let refused = subject.post("/auth/token/login/", login).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.json()["code"], "auth_unavailable");
    assert!(refused.header("retry-after").is_some());
    let wrong = json!({"username": "ada", "password": "wrong-password-1"});
    let wrong = subject.post("/auth/token/login/", wrong).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "this much is certain");

    holder.close().await.unwrap();
    subject.opaque("ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_overwritten_lets_nobody_in_and_never_is_500_or_401() {
    let subject = subject().await;
    subject.register("ada").await;
    let (seen, unseen) = (subject.opaque("ada").await, subject.opaque("ada").await);
    assert_eq!(subject.get_as("/", &seen).await.status, StatusCode::OK);
    for name in ["portcullis.db", "portcullis.db-wal", "portcullis.db-shm"] {
        let path = subject.folder.path().join(name);
        let mut file = OpenOptions::new().write(true).open(path).unwrap();
        let end = file.seek(SeekFrom::End(0)).unwrap();
        file.rewind().unwrap();
        let noise = [0xA5; 4096];
        for _ in 0..end.div_ceil(4096) {
            file.write_all(&noise).unwrap();
        }
    }
    let reached = subject.reached();
    // Pages that are held in memory may still be read: what is answered from them is true.
    for _ in 0..3 {
        let answer = subject.get_as("/", &unseen).await;
        let fit = [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE];
        assert!(fit.contains(&answer.status), "{}: {}", answer.status, answer.json());
        let login = json!({"username": "ada", "password": PASSWORD});
        let login = subject.post("/auth/token/login/", login).await;
        assert!(fit.contains(&login.status), "{}: {}", login.status, login.json());
        let stranger = json!({"username": "ada", "password": "wrong-password-1"});
        let stranger = subject.post("/auth/token/login/", stranger).await;
        let fit = [StatusCode::BAD_REQUEST, StatusCode::SERVICE_UNAVAILABLE];
        assert!(fit.contains(&stranger.status), "{}: {}", stranger.status, stranger.json());
    }
    let invented = "0123456789abcdef0123456789abcdef01234567";
    assert_ne!(subject.get_as("/", invented).await.status, StatusCode::OK);
    assert!(subject.reached() <= reached + 3);
}
