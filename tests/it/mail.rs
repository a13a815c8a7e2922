//! The outbox: what is put in arrives, once, with a link that works.

use std::time::Duration;

use portcullis::clock::Clock;
use portcullis::config::Settings;
use portcullis::identity::Links;
use portcullis::mail::{Bell, Captured, Postman, Transport};
use portcullis::model::{MailPurpose, Site, Timestamp, User};
use portcullis::store::{NameRules, NewMail, NewUser, Store};
use tokio::net::TcpListener;
use tokio::sync::watch;

const RULES: NameRules = NameRules { unique_email: true, reuse_usernames: false };
const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

struct Office {
    store: Store,
    clock: Clock,
    bell: Bell,
    captured: Captured,
    postman: Postman,
    ada: User,
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.mail.from = "Gate <noreply@gate.example>".into();
    settings.accounts.password_reset_confirm_url = "reset/{uid}/{token}".into();
    settings
}

fn links() -> Links {
    Links::new([7; 32], Duration::from_hours(1))
}

fn site() -> Site {
    Site { scheme: "https".into(), host: "gate.example".into() }
}

fn postman(store: &Store, clock: &Clock, transport: Transport, bell: &Bell) -> Postman {
    Postman::new(&settings(), store.clone(), links(), transport, clock.clone(), bell).unwrap()
}

async fn office() -> Office {
    let store = Store::open_temporary().await.unwrap();
    let (clock, bell) = (Clock::manual(NOW), Bell::default());
    let (transport, captured) = Transport::capture();
    let postman = postman(&store, &clock, transport, &bell);
    let new = NewUser {
        username: "ada",
        email: "ada@example.org",
        password: "!",
        is_active: true,
        is_staff: false,
        is_superuser: false,
        email_verified: false,
    };
    let ada = store.create_user(new, RULES, None, None, NOW).await.unwrap();
    Office { store, clock, bell, captured, postman, ada }
}

impl Office {
    async fn enqueue(&self, purpose: MailPurpose) {
        self.enqueue_to(&self.ada.email, purpose).await;
    }

    async fn enqueue_to(&self, address: &str, purpose: MailPurpose) {
        let site = site();
        let mail = NewMail { purpose, user: self.ada.id, address, site: Some(&site) };
        self.store.enqueue_mail(&[mail], self.clock.now()).await.unwrap();
    }

    fn wait(&self, span: Duration) {
        self.clock.set(self.clock.now().plus(span));
    }
}

#[tokio::test]
async fn a_mail_arrives_once_with_a_link_that_works() {
    let office = office().await;
    office.enqueue(MailPurpose::PasswordReset).await;
    assert_eq!(office.postman.deliver_due().await, 1);
    assert_eq!(office.postman.deliver_due().await, 0);
    let [letter] = &*office.captured.take() else { panic!("one letter") };
    assert_eq!(letter.to, "ada@example.org");
    assert_eq!(letter.subject, "Password reset on gate.example");
    let start = "https://gate.example/reset/";
    let rest = letter.text.lines().find_map(|line| line.strip_prefix(start)).unwrap();
    let (uid, token) = rest.split_once('/').unwrap();
    assert_eq!(Links::parse_uid(uid), Some(office.ada.id));
    let ada = office.store.user(office.ada.id).await.unwrap().unwrap();
    assert!(links().check(MailPurpose::PasswordReset, &ada, token, NOW));
    office.wait(Duration::from_hours(48));
    assert_eq!(office.postman.deliver_due().await, 0, "it is not in the outbox any more");
}

#[tokio::test]
async fn a_long_queue_is_emptied_at_once() {
    let office = office().await;
    for _ in 0..25 {
        office.enqueue(MailPurpose::PasswordChanged).await;
    }
    assert_eq!(office.postman.deliver_due().await, 25);
    assert_eq!(office.captured.take().len(), 25);
}

#[tokio::test]
async fn a_link_is_not_sent_to_an_address_that_the_account_has_left() {
    let office = office().await;
    office.enqueue_to("old@example.org", MailPurpose::PasswordReset).await;
    office.enqueue_to("old@example.org", MailPurpose::PasswordChanged).await;
    assert_eq!(office.postman.deliver_due().await, 1);
    let [letter] = &*office.captured.take() else { panic!("the notice only") };
    assert_eq!(letter.to, "old@example.org");
    assert!(letter.subject.contains("password has been successfully changed"));
}

#[tokio::test]
async fn nobody_writes_to_a_deleted_account() {
    let office = office().await;
    office.enqueue(MailPurpose::PasswordReset).await;
    office.enqueue(MailPurpose::PasswordChanged).await;
    office.store.delete_user(office.ada.id, NOW).await.unwrap().unwrap();
    assert_eq!(office.postman.deliver_due().await, 0);
    assert!(office.captured.take().is_empty());
}

#[tokio::test]
async fn a_mail_that_failed_is_tried_again_later() {
    let office = office().await;
    office.enqueue(MailPurpose::PasswordReset).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    drop(listener);
    let transport = Transport::from_url(&url).unwrap();
    let broken = postman(&office.store, &office.clock, transport, &office.bell);
    assert_eq!(broken.deliver_due().await, 0);
    assert_eq!(office.postman.deliver_due().await, 0, "not yet");
    office.wait(Duration::from_secs(9));
    assert_eq!(office.postman.deliver_due().await, 0, "not yet");
    office.wait(Duration::from_secs(1));
    assert_eq!(office.postman.deliver_due().await, 1);
}

#[tokio::test]
async fn a_mail_that_fails_for_a_day_is_given_up() {
    let office = office().await;
    office.enqueue(MailPurpose::PasswordReset).await;
    office.wait(Duration::from_hours(25));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    drop(listener);
    let transport = Transport::from_url(&url).unwrap();
    let broken = postman(&office.store, &office.clock, transport, &office.bell);
    assert_eq!(broken.deliver_due().await, 0);
    office.wait(Duration::from_hours(25));
    assert_eq!(office.postman.deliver_due().await, 0);
}

#[tokio::test]
async fn the_bell_wakes_the_postman_and_stop_ends_him() {
    let office = office().await;
    let (stop, stopped) = watch::channel(false);
    let (transport, captured) = Transport::capture();
    let second = postman(&office.store, &office.clock, transport, &office.bell);
    let working = tokio::spawn(second.run(stopped));
    office.enqueue(MailPurpose::PasswordReset).await;
    office.bell.ring();
    let letter = tokio::time::timeout(Duration::from_secs(30), captured.next()).await.unwrap();
    assert_eq!(letter.to, "ada@example.org");
    stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(30), working).await.unwrap().unwrap();
}
