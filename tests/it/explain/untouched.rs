//! It looks, and leaves everything as it was.

use std::collections::BTreeMap;
use std::path::Path;

use portcullis::config::SecretText;

use super::{Desk, run};
use crate::servers::PostgresDatabase;
use crate::subject::PASSWORD;

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap();
    let read = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        let bytes = std::fs::read(entry.path()).unwrap();
        // SQLite makes these for readers as well; what counts is that nothing is in the log.
        let is_beside = name.ends_with("-shm") || (name.ends_with("-wal") && bytes.is_empty());
        (!is_beside).then_some((name, bytes))
    };
    entries.filter_map(|entry| read(entry.unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_whatever_is_asked() {
    let desk = Desk::open().await;
    desk.subject.register("ada").await;
    let token = desk.subject.opaque("ada").await;
    let Desk { subject, config } = desk;
    // Stopped, so that nobody else writes meanwhile. The password's hash is of another policy
    // than the file's: a login would renew it.
    let folder = subject.stop_and_keep().await;
    let before = files(folder.path());
    let good = run(&config, &["--token-stdin", "/orders/"], &token).await;
    let basic = ["--token-stdin", "--scheme", "Basic", "/orders/"];
    let password = run(&config, &basic, &format!("ada:{PASSWORD}")).await;
    let wrong = run(&config, &basic, "ada:wrong").await;
    assert_eq!((good.code, password.code, wrong.code), (0, 0, 1), "{good:?}");
    assert!(files(folder.path()) == before, "as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_none_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("portcullis.toml");
    let url = format!("sqlite://{}", folder.path().join("data/portcullis.db").display());
    std::fs::write(&config, format!("[database]\nurl = {url:?}\n")).unwrap();
    let told = run(&config, &["/orders/"], "").await;
    assert_eq!((told.code, &*told.out), (2, ""));
    assert!(told.errors.contains("was the gateway started?"), "{}", told.errors);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    std::fs::write(&config, "[server]\nlisten = \"nowhere\"\n").unwrap();
    let told = run(&config, &["/orders/"], "").await;
    assert_eq!((told.code, &*told.out), (64, ""));
    assert!(told.errors.contains("server.listen"), "{}", told.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_gateway_on_postgresql_it_reads_only() {
    let database = PostgresDatabase::create().await;
    let url = database.url();
    let secret = "secret_key = \"0123456789abcdef0123456789abcdef\"\n";
    let desk = Desk::with("", |settings| {
        settings.database.url = SecretText::from(&*url);
        settings.secret_key = "0123456789abcdef0123456789abcdef".into();
    })
    .await;
    desk.subject.register("ada").await;
    let token = desk.subject.opaque("ada").await;
    let text = std::fs::read_to_string(&desk.config).unwrap();
    let (_, rest) = text.split_once("[database]\n").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    std::fs::write(&desk.config, format!("{secret}[database]\nurl = {url:?}\n{rest}")).unwrap();
    let told = desk.with_token("/tokens/", &token).await;
    assert_eq!((told.code, told.summary()), (0, "Passes, to the upstream \"app\""), "{told:?}");
    let basic = ["--token-stdin", "--scheme", "Basic", "/orders/"];
    let told = desk.explain(&basic, &format!("ada:{PASSWORD}")).await;
    assert_eq!(told.code, 0, "{told:?}");
    desk.subject.stop().await;
    database.remove().await;
}
