//! What commands at the shell leave, also when they fail.

use clap::Parser;
use portcullis::cli::import::{DjangoArguments, ImportCommand, ImportError, Progress, import};
use portcullis::cli::keys::{KeysCommand, KeysError};
use portcullis::cli::user::{Asker, CommandError, UserCommand};
use portcullis::cli::{keys, user};
use portcullis::clock::Clock;
use portcullis::identity::PUBLISHED_FOR;
use portcullis::model::Timestamp;
use portcullis::secret::RootKey;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::place::Place;
use crate::subject::PASSWORD;

const AT: Timestamp = Timestamp::from_seconds(1_795_400_000);

#[derive(Debug, Parser)]
enum Cli {
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    Import {
        #[command(subcommand)]
        command: ImportCommand,
    },
}

async fn run_user(place: &Place, line: &str, answers: &[&str]) -> Result<(), CommandError> {
    let Cli::User { command } = Cli::parse_from(format!("x user {line}").split(' ')) else {
        panic!("{line}");
    };
    let mut settings = place.settings();
    settings.accounts.argon2.memory_kib = 64;
    let (store, clock) = (place.store().await, Clock::manual(AT));
    let mut asker = Asker::Prepared(answers.iter().map(ToString::to_string).collect());
    let done =
        user::run_with(command, &settings, &store, &clock, &mut asker, &mut Vec::new()).await;
    store.close().await;
    done
}

async fn run_keys(place: &Place, command: KeysCommand, clock: &Clock) -> Result<(), KeysError> {
    let (store, settings) = (place.store().await, place.settings());
    let root = RootKey::new("a secret key of this installation");
    let done = keys::run(command, &settings, &store, &root, clock, &mut Vec::new()).await;
    store.close().await;
    done
}

fn django(from: &str, flags: &str) -> DjangoArguments {
    let words = format!("x import django --from {from} {flags}");
    let Cli::Import { command: ImportCommand::Django(arguments) } =
        Cli::parse_from(words.split_whitespace())
    else {
        panic!("{words}");
    };
    arguments
}

async fn run_import(place: &Place, from: &str, flags: &str) -> Result<(), ImportError> {
    let (store, settings, clock) = (place.store().await, place.settings(), Clock::manual(AT));
    let (arguments, out) = (django(from, flags), &mut Vec::new());
    let done = import(&arguments, &settings, &store, &clock, Progress::Silent, out).await;
    store.close().await;
    done
}

/// A deed at the shell that succeeded.
fn line(action: &str) -> Value {
    let category = match action.split('.').next() {
        Some("user") => "iam",
        Some("key") => "configuration",
        _ => "authentication",
    };
    json!({"event.action": action, "event.category": [category], "event.outcome": "success",
           "portcullis.actor": "shell"})
}

trait Told {
    fn to(self, id: &str, name: &str) -> Self;
    fn failed(self, reason: &str) -> Self;
}

impl Told for Value {
    fn to(mut self, id: &str, name: &str) -> Self {
        self["user.target.id"] = id.into();
        self["user.target.name"] = name.into();
        self
    }

    fn failed(mut self, reason: &str) -> Self {
        self["event.outcome"] = "failure".into();
        self["event.reason"] = reason.into();
        self
    }
}

async fn commands_about_users_are_written_down_also_when_they_fail(place: &Place) {
    let secret = "Wmxt-Koru!Zyl9";
    run_user(place, "create ada --email ada@example.org", &[secret, secret]).await.unwrap();
    let store = place.store().await;
    let id = store.user_by_username("ada").await.unwrap().unwrap().id.to_string();
    store.close().await;
    run_user(place, "create ada --no-password", &[]).await.unwrap_err();
    run_user(place, "set-password ada", &[PASSWORD, "typo"]).await.unwrap_err();
    run_user(place, "set-password ada", &[PASSWORD, PASSWORD]).await.unwrap();
    run_user(place, "deactivate ada", &[]).await.unwrap();
    run_user(place, "deactivate ada", &[]).await.unwrap();
    run_user(place, "activate ada", &[]).await.unwrap();
    run_user(place, "revoke ada", &[]).await.unwrap();
    run_user(place, "revoke my-password-by-mistake", &[]).await.unwrap_err();
    run_user(place, "delete ada", &["n"]).await.unwrap_err();
    run_user(place, "delete ada --yes", &[]).await.unwrap();
    // They change nothing.
    run_user(place, "list", &[]).await.unwrap();
    run_user(place, "show ada", &[]).await.unwrap_err();

    let expected = [
        line("user.create").to(&id, "ada"),
        line("user.create").failed("refused"),
        line("user.password_change").to(&id, "ada").failed("refused"),
        line("user.password_change").to(&id, "ada"),
        line("user.deactivate").to(&id, "ada"),
        line("user.deactivate").to(&id, "ada"),
        line("user.activate").to(&id, "ada"),
        line("identity.logout").to(&id, "ada"),
        line("identity.logout").failed("unknown_user"),
        line("user.delete").to(&id, "ada").failed("declined"),
        line("user.delete").to(&id, "ada"),
    ];
    assert_eq!(place.told().await, expected);
    place.tells_none_of(&[secret, PASSWORD, "typo", "mistake", "example.org"]);
}

async fn commands_about_keys_are_written_down_also_when_they_fail(place: &Place) {
    let clock = Clock::manual(AT);
    run_keys(place, KeysCommand::Generate, &clock).await.unwrap();
    // It is there already: nothing is done.
    run_keys(place, KeysCommand::Generate, &clock).await.unwrap();
    run_keys(place, KeysCommand::Rotate { now: false }, &clock).await.unwrap_err();
    clock.set(AT.plus(PUBLISHED_FOR));
    run_keys(place, KeysCommand::Rotate { now: false }, &clock).await.unwrap();
    let store = place.store().await;
    let kids: Vec<_> = store.signing_keys().await.unwrap().into_iter().map(|key| key.kid).collect();
    store.close().await;
    let unknown = KeysCommand::Revoke { kid: "a secret by mistake".to_owned() };
    run_keys(place, unknown, &clock).await.unwrap_err();
    run_keys(place, KeysCommand::Revoke { kid: kids[0].clone() }, &clock).await.unwrap();
    run_keys(place, KeysCommand::List { json: false }, &clock).await.unwrap();

    let about = |mut line: Value, kid: &str| {
        line["portcullis.key"] = kid.into();
        line
    };
    let expected = [
        about(line("key.generate"), &kids[0]),
        about(line("key.rotate"), &kids[0]).failed("too_young"),
        about(line("key.rotate"), &kids[0]),
        about(line("key.generate"), &kids[1]),
        line("key.revoke").failed("unknown_key"),
        about(line("key.revoke"), &kids[0]),
    ];
    assert_eq!(place.told().await, expected);
    place.tells_none_of(&["mistake"]);
}

async fn imports_are_written_down_by_how_many_also_when_they_fail(place: &Place) {
    let file = place.file("django.sqlite3");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut source = options.connect().await.unwrap();
    let sample = include_str!("../../conformance/django-import/sample.sql");
    sqlx::raw_sql(sample).execute(&mut source).await.unwrap();
    source.close().await.unwrap();
    let from = format!("sqlite://{}", file.display());
    run_import(place, &from, "--dry-run").await.unwrap();
    run_import(place, &from, "").await.unwrap();
    // Nothing is new.
    run_import(place, &from, "").await.unwrap();
    let nowhere = format!("sqlite://{}", place.file("nowhere").display());
    run_import(place, &nowhere, "").await.unwrap_err();

    let store = place.store().await;
    let users = store.user_count().await.unwrap();
    store.close().await;
    let by_import = |mut line: Value| {
        line["portcullis.means"] = "django".into();
        line
    };
    let counted = |line: Value, count: u64| {
        let mut line = by_import(line);
        line["portcullis.count"] = count.into();
        line
    };
    let told = place.told().await;
    let ended = told[1]["portcullis.count"].as_u64().unwrap();
    let expected = [
        counted(line("user.import"), users),
        counted(line("token.import"), ended),
        by_import(line("user.import").failed("source")),
    ];
    assert_eq!(told, expected);
    assert!(ended > 0);
}

on_each! {
    commands_about_users_are_written_down_also_when_they_fail,
    commands_about_keys_are_written_down_also_when_they_fail,
    imports_are_written_down_by_how_many_also_when_they_fail,
}
