//! Routes that only observe: everybody passes, and it is told what would have happened.

use http::Method;
use portcullis::config::{Access, Mode, Route, Settings};

use crate::subject::{Ask, Subject, route};

fn observing(settings: &mut Settings) {
    settings.routes = vec![
        Route { mode: Mode::Observe, ..route("/new/", Access::Staff) },
        route("/", Access::Authenticated),
    ];
}

fn get(path: &str) -> Ask {
    Ask::new(Method::GET, path)
}

#[tokio::test]
async fn who_would_be_refused_passes_with_what_he_brought_and_is_counted() {
    let subject = Subject::with(observing).await;
    let nobody = subject.ask(get("/new/a").header("X-Forwarded-User", "root")).await;
    assert_eq!(
        (nobody.status.as_u16(), &nobody.json()["headers"]["x-forwarded-user"]),
        (200, &serde_json::Value::Null)
    );
    let theirs = subject.ask(get("/new/a").header("Authorization", "Bearer of-the-back-end")).await;
    assert_eq!(theirs.status, 200);
    assert_eq!(theirs.json()["headers"]["authorization"], "Bearer of-the-back-end");
    // Known, but no member of the staff: the back end is told who it is.
    subject.register("ada").await;
    let token = subject.opaque("ada").await;
    let ada = subject.ask(get("/new/a").bearer(&token)).await;
    assert_eq!(
        (ada.status.as_u16(), ada.json()["headers"]["x-forwarded-user"].as_str()),
        (200, Some("ada"))
    );
    let line =
        subject.logged(&["\"url.path\":\"/new/a\"", "\"portcullis.reason\":\"forbidden\""]).await;
    assert!(
        line.contains("\"portcullis.decision\":\"deny\"")
            && line.contains("\"portcullis.mode\":\"observe\""),
        "{line}"
    );
    // Counted before it was logged.
    let metrics = subject.metrics().await;
    for (credential, reason) in [("none", "no_credential"), ("opaque", "forbidden")] {
        let line = format!(
            "portcullis_auth_decisions_total{{credential=\"{credential}\",decision=\"deny\",mode=\"observe\",reason=\"{reason}\",route=\"/new/\"}} 1"
        );
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn what_is_ambiguous_or_enforced_is_refused_as_ever() {
    let subject = Subject::with(observing).await;
    assert_eq!(subject.get("/new//a").await.status, 400);
    assert_eq!(subject.get("/new/%2e%2e/a").await.status, 400);
    let enforced = subject.get("/other").await;
    assert_eq!(enforced.status, 401);
    assert_eq!(enforced.json()["detail"], "Authentication credentials were not provided.");
    assert_eq!(subject.reached(), 0);
}
