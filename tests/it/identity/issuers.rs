//! `jwks_url`: another issuer's keys are fetched, and what holds while they cannot be.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use portcullis::config::{Settings, TrustedIssuer, TrustedUsers};
use portcullis::identity::{IdentifyError, JwtFault, Rejection};
use portcullis::issuers::IssuerKeys;
use portcullis::model::User;
use portcullis::telemetry::Metrics;
use tokio::sync::watch;

use super::replica::{Replica, rejection, within_reason};

const NAME: &str = "https://sso.example";

/// Another issuer, whose key set is served over HTTP.
struct Issuer {
    itself: Replica,
    user: User,
    answer: Arc<Mutex<(StatusCode, String)>>,
    asked: Arc<AtomicUsize>,
    url: String,
}

impl Issuer {
    async fn new() -> Self {
        let mut settings = Settings::default();
        settings.tokens.jwt.issuer = NAME.to_owned();
        settings.tokens.jwt.audience = vec!["gate".to_owned()];
        let itself = Replica::alone(&settings).await;
        let user = itself.user("ada").await;
        let answer = Arc::new(Mutex::new((StatusCode::OK, itself.issuer.key_set().to_string())));
        let asked = Arc::new(AtomicUsize::new(0));
        let (told, counted) = (Arc::clone(&answer), Arc::clone(&asked));
        let router = Router::new().route(
            "/keys",
            get(move || async move {
                counted.fetch_add(1, Ordering::SeqCst);
                told.lock().unwrap().clone()
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { itself, user, answer, asked, url }
    }

    fn says(&self, status: StatusCode, body: &str) {
        *self.answer.lock().unwrap() = (status, body.to_owned());
    }

    fn token(&self) -> String {
        self.itself.issuer.pair(&self.user, None, self.itself.clock.now()).access
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn trusted(&self) -> TrustedIssuer {
        TrustedIssuer {
            name: "sso".to_owned(),
            algorithm: "ES256".to_owned(),
            jwks_url: self.url.clone(),
            issuer: NAME.to_owned(),
            audience: vec!["gate".to_owned()],
            users: TrustedUsers::Local,
            ..TrustedIssuer::default()
        }
    }
}

/// A replica that trusts the issuer, and keeps asking for its keys until the sender is dropped.
async fn trusting(issuer: &Issuer) -> (Replica, Arc<Metrics>, watch::Sender<bool>) {
    let mut settings = Settings::default();
    settings.tokens.jwt.trusted = vec![issuer.trusted()];
    let replica = Replica::alone(&settings).await;
    assert_eq!(replica.user("ada").await.id, issuer.user.id);
    let (metrics, (stop, stopping)) = (Metrics::new(), watch::channel(false));
    let fetching = IssuerKeys::new(Arc::clone(&replica.keys), Arc::clone(&metrics)).unwrap();
    tokio::spawn(fetching.run(stopping));
    (replica, metrics, stop)
}

fn unavailable<T>(result: &Result<T, IdentifyError>) -> bool {
    matches!(result, Err(IdentifyError::Unavailable))
}

/// A new set of keys at the issuer: the tokens of another installation.
async fn rotated(issuer: &mut Issuer) {
    let other = Issuer::new().await;
    issuer.says(StatusCode::OK, &other.itself.issuer.key_set());
    issuer.itself = other.itself;
}

#[tokio::test]
async fn tokens_of_an_issuer_whose_keys_were_fetched_are_believed() {
    let issuer = Issuer::new().await;
    let (replica, metrics, _stop) = trusting(&issuer).await;
    let identity = replica.jwt(&issuer.token()).await.unwrap();
    assert_eq!(identity.username, "ada");
    assert_eq!(issuer.asked(), 1);
    let text = metrics.render();
    assert!(text.contains(r#"portcullis_jwks_refresh_total{issuer="sso",result="success"} 1"#));
    let other = Issuer::new().await.token();
    assert_eq!(rejection(replica.jwt(&other).await), Rejection::Jwt(JwtFault::Invalid));
}

#[tokio::test]
async fn a_flood_of_unknown_keys_asks_the_issuer_no_second_time() {
    let issuer = Issuer::new().await;
    let (replica, _, _stop) = trusting(&issuer).await;
    assert!(replica.jwt(&issuer.token()).await.is_ok());
    for _ in 0..20 {
        let forged = Issuer::new().await.token();
        assert_eq!(rejection(replica.jwt(&forged).await), Rejection::Jwt(JwtFault::Invalid));
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn a_new_key_at_the_issuer_is_fetched_when_a_token_names_it() {
    let mut issuer = Issuer::new().await;
    let (replica, _, _stop) = trusting(&issuer).await;
    let old = issuer.token();
    assert!(replica.jwt(&old).await.is_ok());
    rotated(&mut issuer).await;
    let new = issuer.token();
    assert_eq!(rejection(replica.jwt(&new).await), Rejection::Jwt(JwtFault::Invalid), "too soon");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    assert!(replica.jwt(&new).await.is_ok());
    assert_eq!(rejection(replica.jwt(&old).await), Rejection::Jwt(JwtFault::Invalid), "it is gone");
    assert!(replica.jwt(&new).await.is_ok());
}

#[tokio::test]
async fn an_issuer_that_was_never_reached_is_our_trouble_and_nobodys_fault() {
    let issuer = Issuer::new().await;
    for (status, body) in [
        (StatusCode::SERVICE_UNAVAILABLE, "later".to_owned()),
        (StatusCode::MOVED_PERMANENTLY, String::new()),
        (StatusCode::OK, "<html>".to_owned()),
        (StatusCode::OK, r#"{"keys":[]}"#.to_owned()),
        (StatusCode::OK, " ".repeat(300 * 1024)),
    ] {
        issuer.says(status, &body);
        let (replica, metrics, _stop) = trusting(&issuer).await;
        assert!(unavailable(&replica.jwt(&issuer.token()).await), "{status}");
        let line = r#"portcullis_jwks_refresh_total{issuer="sso",result="error"} 1"#;
        within_reason(async || metrics.render().contains(line)).await;
        let user = replica.again(&issuer.user).await;
        let (own, _) = replica.log_in_jwt(&user).await;
        assert!(replica.jwt(&own.access).await.is_ok(), "our own are good all the same");
    }
}

#[tokio::test]
async fn what_was_fetched_stays_good_while_the_issuer_is_away_and_it_comes_back_alone() {
    let mut issuer = Issuer::new().await;
    let (replica, _, _stop) = trusting(&issuer).await;
    let known = issuer.token();
    assert!(replica.jwt(&known).await.is_ok());
    issuer.says(StatusCode::BAD_GATEWAY, "");
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(11)).await;
    tokio::time::resume();
    within_reason(async || issuer.asked() >= 2).await;
    assert!(replica.jwt(&known).await.is_ok());
    assert!(replica.jwt(&issuer.token()).await.is_ok(), "also one not seen before");
    rotated(&mut issuer).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    assert!(replica.jwt(&issuer.token()).await.is_ok());
}
