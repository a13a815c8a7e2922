//! What the metrics say after real requests.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use crate::subject::{Ask, Subject};

/// Waits until the metrics have all of these lines: a request is counted after its answer.
async fn counted(subject: &Subject, lines: &[&str]) {
    let mut text = String::new();
    let all = async {
        loop {
            text = subject.metrics().await;
            if lines.iter().all(|wanted| text.lines().any(|line| line == *wanted)) {
                return;
            }
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), all).await;
    assert!(in_time.is_ok(), "{lines:#?} are not all in\n{text}");
}

#[tokio::test]
async fn each_check_is_counted_by_credential_and_by_how_far_it_went() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    let opaque = subject.opaque("ada").await;
    let (access, _) = subject.jwt("ada").await;
    for token in [&opaque, &opaque, &access, &access] {
        assert_eq!(subject.get_as("/", token).await.status, StatusCode::OK);
    }
    assert_eq!(subject.get("/public/").await.status, StatusCode::OK);
    counted(
        &subject,
        &[
            r#"portcullis_auth_check_duration_seconds_count{credential="opaque",tier="db"} 1"#,
            r#"portcullis_auth_check_duration_seconds_count{credential="opaque",tier="l1"} 1"#,
            r#"portcullis_auth_check_duration_seconds_count{credential="jwt",tier="jwks"} 1"#,
            r#"portcullis_auth_check_duration_seconds_count{credential="jwt",tier="l1"} 1"#,
            r#"portcullis_token_cache_requests_total{result="hit",tier="l1"} 2"#,
            r#"portcullis_token_cache_requests_total{result="miss",tier="l1"} 2"#,
        ],
    )
    .await;
    subject.logged(&[r#""portcullis.credential":"opaque""#, r#""portcullis.tier":"db""#]).await;
}

#[tokio::test]
async fn requests_to_the_api_are_counted_by_endpoint_and_outcome() {
    let subject = Subject::start().await;
    subject.register("ada").await;
    subject.opaque("ada").await;
    let wrong = json!({"username": "ada", "password": "Wrong-Quarry-1"});
    assert_eq!(subject.post("/auth/token/login/", wrong).await.status, StatusCode::BAD_REQUEST);
    let own = Ask::new(Method::GET, "/auth/users/1/");
    assert_eq!(subject.ask(own).await.status, StatusCode::UNAUTHORIZED);
    counted(
        &subject,
        &[
            r#"portcullis_identity_requests_total{endpoint="/users/",outcome="success"} 1"#,
            r#"portcullis_identity_requests_total{endpoint="/token/login/",outcome="success"} 1"#,
            r#"portcullis_identity_requests_total{endpoint="/token/login/",outcome="refused"} 1"#,
            r#"portcullis_identity_requests_total{endpoint="/users/{id}/",outcome="refused"} 1"#,
            r#"portcullis_password_hash_duration_seconds_count{algorithm="argon2"} 3"#,
            "portcullis_password_hash_queue_depth 0",
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_held_bounded_and_waiting_is_told_from_the_start() {
    let subject = Subject::with(|settings| settings.cache.tokens = 77).await;
    counted(
        &subject,
        &[
            "portcullis_ready 1",
            r#"portcullis_limit{limit="connections"} 10000"#,
            r#"portcullis_limit{limit="cached_tokens"} 77"#,
            "portcullis_worker_threads 2",
            "portcullis_mail_outbox_entries 0",
            "portcullis_mail_outbox_oldest_age_seconds 0",
            r#"portcullis_log_lines_dropped_total{log="audit_table"} 0"#,
            r#"portcullis_server_refused_total{reason="tls_handshake"} 0"#,
            r#"portcullis_identity_requests_total{endpoint="/jwt/create/",outcome="error"} 0"#,
            r#"portcullis_rate_limited_total{policy="login_per_account"} 0"#,
        ],
    )
    .await;
    let text = subject.metrics().await;
    let start = subject.clock.now().seconds();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(value("portcullis_config_hash{sha256=\"") >= 1.0);
    let since = value("portcullis_signing_key_activated_timestamp_seconds{kid=\"");
    assert!((since - f64::from(u32::try_from(start).unwrap())).abs() < 60.0, "{since}");
    assert!(value("process_open_fds") < value("process_max_fds"));
}

#[tokio::test]
async fn mail_that_waits_is_told_with_its_age() {
    let subject = Subject::with_real_mail(|settings| {
        settings.accounts.send_activation_email = true;
        settings.mail.url = "smtp://127.0.0.1:1".into();
    })
    .await;
    subject.register("ada").await;
    subject.advance(std::time::Duration::from_secs(5)).await;
    counted(
        &subject,
        &["portcullis_mail_outbox_entries 1", "portcullis_mail_outbox_oldest_age_seconds 5"],
    )
    .await;
}

#[tokio::test]
async fn refusals_of_a_throttle_are_counted_by_its_setting() {
    let subject = Subject::with(|settings| {
        settings.limits.registration_per_address = "1/h".parse().unwrap();
    })
    .await;
    subject.register("ada").await;
    let password = "Quarry-Tundra-1";
    let second = json!({"username": "bea", "email": "bea@example.com", "password": password,
        "re_password": password});
    let answer = subject.post("/auth/users/", second).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    counted(
        &subject,
        &[
            r#"portcullis_rate_limited_total{policy="registration_per_address"} 1"#,
            r#"portcullis_identity_requests_total{endpoint="/users/",outcome="throttled"} 1"#,
        ],
    )
    .await;
}
