//! The database, Redis and the mail server, real or acted.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::Visit;
use crate::faults::process::Site;
use crate::servers::{PostgresDatabase, redis_url};

fn site() -> Site {
    Site::new("127.0.0.1:1".parse().unwrap(), "")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_its_schema_is_told_and_left_as_it_is() {
    let database = PostgresDatabase::create().await;
    let upstream = "127.0.0.1:1".parse().unwrap();
    let site = Site::with_database(upstream, "", Some(&database.url()));
    for _ in 0..2 {
        let told = Visit::to(&site.config).run().await;
        told.assert("database", "problem", "has no schema yet");
    }
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_a_bound_is_worth_a_look() {
    let told = Visit::to(&site().config).with("REDIS__URL", &redis_url()).run().await;
    told.assert("redis", "warning", "has no maxmemory");
    let agree: Vec<_> = told.findings.iter().filter(|it| it["check"] == "clock").collect();
    assert_eq!(agree[0]["text"], "Redis and this machine agree");
    let told = Visit::to(&site().config).run().await;
    told.assert("redis", "ok", "is not used");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_is_told() {
    let url = "redis://:hunter2@127.0.0.1:1";
    let told = Visit::to(&site().config).with("REDIS__URL", url).run().await;
    assert_eq!(told.results("redis"), ["problem"]);
    assert!(!told.whole.contains("hunter2"), "{}", told.whole);
}

/// A user of the run's Redis with these rights on our keys and channels; its address.
async fn redis_user(rights: &[&str]) -> String {
    static USERS: AtomicUsize = AtomicUsize::new(0);
    let number = USERS.fetch_add(1, Ordering::Relaxed);
    let user = format!("doctor-{}-{number}", std::process::id());
    let client = redis::Client::open(redis_url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::cmd("ACL");
    command.arg("SETUSER").arg(&user).arg(&["on", ">hunter2", "~portcullis:*", "&portcullis:*"]);
    command.arg(rights).query_async::<()>(&mut connection).await.unwrap();
    let url = redis_url();
    let server =
        url.rsplit_once('@').map_or_else(|| &url["redis://".len()..], |(_, server)| server);
    format!("redis://{user}:hunter2@{server}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_user_needs_every_right_that_the_documents_name_and_no_other() {
    let text = include_str!("../../../docs/degradation.md");
    let rights = text.split_once("ACL user needs `").unwrap().1.split_once('`').unwrap().0;
    let rights: Vec<&str> = rights.split_whitespace().collect();
    let url = redis_user(&rights).await;
    let told = Visit::to(&site().config).with("REDIS__URL", &url).run().await;
    told.assert("redis", "not_checked", "does not say how it is set up");

    let fewer: Vec<&str> =
        rights.iter().copied().filter(|right| !["+publish", "+hset"].contains(right)).collect();
    let url = redis_user(&fewer).await;
    let told = Visit::to(&site().config).with("REDIS__URL", &url).run().await;
    told.assert("redis", "problem", "refuses hset (NOPERM), publish (NOPERM)");
    assert!(!told.whole.contains("hunter2"), "{}", told.whole);
}

/// A mail server that offers these extensions, and answers a login so.
async fn mail_server(extensions: &'static [&'static str], login: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(talk(BufReader::new(socket), extensions, login));
        }
    });
    port
}

async fn talk(
    mut socket: BufReader<TcpStream>,
    extensions: &'static [&'static str],
    login: &'static str,
) {
    let (mut answer, mut line) = ("220 ready".to_owned(), String::new());
    while socket.get_mut().write_all(format!("{answer}\r\n").as_bytes()).await.is_ok() {
        line.clear();
        if socket.read_line(&mut line).await.unwrap_or(0) == 0 {
            break;
        }
        answer = match line.split_whitespace().next().unwrap_or_default() {
            "EHLO" => {
                let more = extensions.iter().map(|name| format!("250-{name}\r\n"));
                format!("{}250 8BITMIME", more.collect::<String>())
            }
            "AUTH" => login.to_owned(),
            _ => "250 ok".to_owned(),
        };
    }
}

async fn mail(url: &str) -> super::Told {
    let site = site();
    let visit = Visit::to(&site.config).with("MAIL__URL", url);
    visit.with("MAIL__FROM", "Gate <noreply@gate.example>").run().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_takes_the_login_is_good_and_one_that_does_not_is_told() {
    let port = mail_server(&["AUTH PLAIN"], "235 welcome").await;
    let told = mail(&format!("smtp://ada:hunter2@127.0.0.1:{port}")).await;
    told.assert("mail", "ok", "takes connections");

    let port = mail_server(&["AUTH PLAIN"], "535 who are you, ada").await;
    let told = mail(&format!("smtp://ada:hunter2@127.0.0.1:{port}")).await;
    told.assert("mail", "problem", "the mail server answered 535");
    assert!(told.only("mail", "problem").1.contains("password"));
    assert!(!told.whole.contains("hunter2"), "{}", told.whole);

    let told = mail("smtp://127.0.0.1:1").await;
    told.assert("mail", "problem", "could not be talked to");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_leaves_the_machine_in_the_clear_is_told() {
    // An address of this machine that does not look like one.
    let port = mail_server(&["STARTTLS"], "").await;
    let told = mail(&format!("smtp://0.0.0.0:{port}")).await;
    told.assert("mail", "warning", "though the server offers TLS");
    let port = mail_server(&[], "").await;
    let told = mail(&format!("smtp://0.0.0.0:{port}")).await;
    told.assert("mail", "warning", "whoever listens reads the links");
    let told = mail(&format!("smtp://127.0.0.1:{port}")).await;
    told.assert("mail", "ok", "takes connections");
}
