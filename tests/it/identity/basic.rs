//! Names with passwords or tokens: what is asked how often, and what ends what is known.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use portcullis::config::{Route, Scheme, Settings};
use portcullis::identity::{
    BasicAuthenticator, BasicError, BasicFault, Identity, PasswordError, PasswordProver, Reach,
    Rejection, claimed_basic,
};
use portcullis::model::User;
use portcullis::store::Store;
use secrecy::ExposeSecret;

use super::replica::{MINUTE, Replica, START};

const REFUSED: BasicError = BasicError::Rejected(Rejection::Basic(BasicFault::Refused));

/// Takes the stored hash for the password, and counts how often it was asked.
struct Prover {
    store: Store,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl PasswordProver for Prover {
    async fn prove(
        &self,
        name: &str,
        password: &str,
        _: Option<IpAddr>,
    ) -> Result<User, PasswordError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let user = self.store.user_by_username(name).await?;
        user.filter(|user| user.is_active && user.password.expose_secret() == password)
            .ok_or(PasswordError::Refused)
    }
}

struct Basic {
    replica: Replica,
    authenticator: Arc<BasicAuthenticator>,
    asked: Arc<AtomicUsize>,
}

impl Basic {
    async fn start() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let routes = vec![Route { credentials: vec![Scheme::Basic], ..Route::default() }];
        let mut settings = Settings { routes, ..Settings::default() };
        change(&mut settings);
        let replica = Replica::alone(&settings).await;
        let asked = Arc::new(AtomicUsize::new(0));
        let prover = Prover { store: replica.store.clone(), asked: Arc::clone(&asked) };
        let of = Arc::clone(&replica.authenticator);
        let authenticator = Arc::new(BasicAuthenticator::new(&settings, of, Arc::new(prover)));
        Self { replica, authenticator, asked }
    }

    async fn prove(&self, name: &str, password: &str) -> Result<Arc<Identity>, BasicError> {
        prove(&self.authenticator, name, password).await
    }

    /// How often the password was checked so far.
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn prove(
    basic: &BasicAuthenticator,
    name: &str,
    password: &str,
) -> Result<Arc<Identity>, BasicError> {
    let mut headers = HeaderMap::new();
    let value = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
    headers.insert(AUTHORIZATION, value.parse().unwrap());
    basic.identify(claimed_basic(&headers).unwrap().unwrap(), None, &mut Reach::default()).await
}

#[tokio::test]
async fn a_password_is_checked_once_and_then_known() {
    let basic = Basic::start().await;
    basic.replica.user("ada").await;
    let first = basic.prove("ada", "old hash").await.unwrap();
    assert_eq!(first.username, "ada");
    let second = basic.prove("ada", "old hash").await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(basic.asked(), 1);
    assert_eq!(basic.prove("ada", "old  hash").await.err(), Some(REFUSED));
}

#[tokio::test]
async fn what_is_refused_is_not_remembered() {
    let basic = Basic::start().await;
    for tried in 1..=3 {
        assert_eq!(basic.prove("ada", "wrong").await.err(), Some(REFUSED));
        assert_eq!(basic.asked(), tried);
    }
}

#[tokio::test]
async fn many_that_come_at_once_share_one_check() {
    let basic = Basic::start().await;
    basic.replica.user("ada").await;
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let of = Arc::clone(&basic.authenticator);
        requests.spawn(async move { prove(&of, "ada", "old hash").await });
    }
    for result in requests.join_all().await {
        assert_eq!(result.unwrap().username, "ada");
    }
    assert_eq!(basic.asked(), 1);
}

#[tokio::test]
async fn it_is_confirmed_without_checking_the_password_again() {
    let basic = Basic::start().await;
    basic.replica.user("ada").await;
    let first = basic.prove("ada", "old hash").await.unwrap();
    for minutes in [1, 2, 5] {
        let now = START.plus(MINUTE * minutes);
        basic.replica.clock.set(now);
        basic.replica.revocations.synced(now);
        let again = basic.prove("ada", "old hash").await.unwrap();
        assert!(!Arc::ptr_eq(&first, &again), "read anew");
    }
    assert_eq!(basic.asked(), 1);
}

#[tokio::test]
async fn a_hash_that_another_program_changed_is_noticed_with_the_next_confirmation() {
    let basic = Basic::start().await;
    let user = basic.replica.user("ada").await;
    basic.prove("ada", "old hash").await.unwrap();
    assert!(basic.replica.store.rehash(user.id, "old hash", "new hash", START).await.is_ok());
    basic.prove("ada", "old hash").await.unwrap();
    basic.replica.clock.set(START.plus(MINUTE));
    assert_eq!(basic.prove("ada", "old hash").await.err(), Some(REFUSED));
    assert_eq!(basic.asked(), 2);
}

#[tokio::test]
async fn a_cut_ends_what_is_known_at_once() {
    let basic = Basic::start().await;
    let user = basic.replica.user("ada").await;
    basic.prove("ada", "old hash").await.unwrap();
    basic.replica.change_password(&user).await;
    assert_eq!(basic.prove("ada", "old hash").await.err(), Some(REFUSED));
    assert_eq!(basic.prove("ada", "new hash").await.unwrap().username, "ada");

    basic.replica.set_active(&user, false).await;
    assert_eq!(basic.prove("ada", "new hash").await.err(), Some(REFUSED));
    basic.replica.set_active(&user, true).await;
    assert_eq!(basic.prove("ada", "new hash").await.unwrap().username, "ada");

    basic.replica.delete(&user).await;
    assert_eq!(basic.prove("ada", "new hash").await.err(), Some(REFUSED));
}

#[tokio::test]
async fn a_changed_record_is_seen_with_the_next_request_and_costs_no_check() {
    let basic = Basic::start().await;
    let user = basic.replica.user("ada").await;
    assert_eq!(basic.prove("ada", "old hash").await.unwrap().values.email, None);
    let now = basic.replica.clock.now();
    let done = basic.replica.store.set_email_verified(user.id, true, now).await.unwrap();
    basic.replica.announcer.announce(&done.unwrap().1);
    let seen = basic.prove("ada", "old hash").await.unwrap();
    assert_eq!(seen.values.email.as_ref().unwrap(), "ada@example.org");
    assert_eq!(basic.asked(), 1);
}

#[tokio::test]
async fn a_known_credential_passes_without_the_database_and_an_unseen_one_is_unknowable() {
    let basic = Basic::start().await;
    basic.replica.user("ada").await;
    basic.prove("ada", "old hash").await.unwrap();
    basic.replica.store.close().await;
    basic.replica.clock.set(START.plus(MINUTE));
    assert!(basic.prove("ada", "old hash").await.is_ok(), "due to be confirmed, which fails");
    assert_eq!(basic.prove("eve", "x").await.err(), Some(BasicError::Unavailable));
    basic.replica.clock.set(START.plus(MINUTE + Duration::from_micros(1)));
    let late = basic.prove("ada", "old hash").await;
    assert_eq!(late.err(), Some(BasicError::Unavailable), "too long without the log");
}

#[tokio::test]
async fn a_token_in_the_passwords_place_proves_its_user_if_the_name_says_no_other() {
    let basic = Basic::start().await;
    let user = basic.replica.user("ada").await;
    basic.replica.user("eve").await;
    let (opaque, _) = basic.replica.log_in_opaque(&user).await;
    let (pair, _) = basic.replica.log_in_jwt(&user).await;
    for token in [&opaque, &pair.access] {
        for name in ["ada", "ａｄａ", "x-token-auth", ""] {
            let first = basic.prove(name, token).await.unwrap();
            assert_eq!(first.username, "ada");
            assert!(Arc::ptr_eq(&first, &basic.prove(name, token).await.unwrap()));
        }
        for name in ["eve", "ada ", "ADA", "ada@example.org"] {
            assert_eq!(basic.prove(name, token).await.err(), Some(REFUSED), "{name}");
        }
    }
    assert_eq!(basic.prove("ada", &pair.refresh).await.err(), Some(REFUSED));
    assert_eq!(basic.asked(), 0, "no password was checked");
}

#[tokio::test]
async fn a_token_that_ended_is_refused_at_once_and_confirmed_like_any_other() {
    let basic = Basic::start().await;
    let user = basic.replica.user("ada").await;
    let (opaque, login) = basic.replica.log_in_opaque(&user).await;
    basic.prove("ada", &opaque).await.unwrap();
    let now = START.plus(MINUTE);
    basic.replica.clock.set(now);
    basic.prove("ada", &opaque).await.unwrap();
    let entries = basic.replica.store.end_login(login, now).await.unwrap();
    basic.replica.announcer.announce(&entries);
    assert_eq!(basic.prove("ada", &opaque).await.err(), Some(REFUSED));
    assert_eq!(basic.asked(), 0);
}

#[tokio::test]
async fn a_token_whose_row_is_gone_without_a_word_ends_with_the_next_confirmation() {
    let basic = Basic::start().await;
    let user = basic.replica.user("ada").await;
    let (opaque, login) = basic.replica.log_in_opaque(&user).await;
    basic.prove("ada", &opaque).await.unwrap();
    basic.replica.store.end_login(login, START).await.unwrap();
    basic.prove("ada", &opaque).await.unwrap();
    basic.replica.clock.set(START.plus(MINUTE));
    assert_eq!(basic.prove("ada", &opaque).await.err(), Some(REFUSED));
}

#[tokio::test]
async fn forty_hex_digits_that_are_no_token_may_be_a_password() {
    let basic = Basic::start().await;
    let user = basic.replica.user("ada").await;
    let digits = "0123456789abcdef0123456789abcdef01234567";
    basic.replica.store.rehash(user.id, "old hash", digits, START).await.unwrap();
    assert_eq!(basic.prove("ada", digits).await.unwrap().username, "ada");
    assert_eq!(basic.asked(), 1);
}

#[tokio::test]
async fn an_address_names_the_account_where_users_log_in_with_it() {
    let basic = Basic::with(|settings| settings.accounts.login_field = "email".to_owned()).await;
    let user = basic.replica.user("ada").await;
    let (opaque, _) = basic.replica.log_in_opaque(&user).await;
    assert_eq!(basic.prove("Ada@example.org", &opaque).await.unwrap().username, "ada");
    assert_eq!(basic.prove("eve@example.org", &opaque).await.err(), Some(REFUSED));
}
