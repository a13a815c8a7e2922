//! What the shell is told: 0, 1 or 64.

use std::process::{Command, Output, Stdio};

use sqlx::{Connection as _, SqliteConnection};

use super::process::{Site, program};
use crate::subject::echo;

/// Runs it in a thread that may wait.
async fn output(mut command: Command) -> Output {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    crate::ledger::said("shell", [&*output.stdout, &output.stderr].concat());
    output
}

async fn with(config: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portcullis.toml");
    crate::ledger::used(config);
    std::fs::write(&file, config).unwrap();
    let mut command = program();
    command.args(arguments).arg("--config").arg(&file);
    output(command).await
}

#[tokio::test]
async fn a_bad_configuration_is_64_and_all_its_faults_are_told_at_once() {
    let config = "[server]\nlisten = [\"nowhere\"]\n\n[accounts]\nlogin_feld = \"email\"\n\n\
                  [revocation]\ntick = \"soon\"\n\n[[routes]]\npath = \"/\"\nupstream = \"none\"\n";
    for command in ["serve", "check"] {
        let run = with(config, &[command]).await;
        assert_eq!(run.status.code(), Some(64), "{command}");
        let text = String::from_utf8(run.stderr).unwrap();
        for (line, key) in [
            (2, "server.listen"),
            (5, "accounts.login_feld"),
            (8, "revocation.tick"),
            (12, "routes[0].upstream"),
        ] {
            let told = text.lines().any(|told| {
                told.contains(key) && told.contains(&format!("portcullis.toml:{line}"))
            });
            assert!(told, "{command}: {key} in line {line}: {text}");
        }
        assert!(text.contains("login_field"), "the nearest known key: {text}");
    }
}

#[tokio::test]
async fn a_configuration_that_is_not_there_is_64() {
    let mut command = program();
    command.args(["serve", "--config", "there/is/none.toml"]);
    assert_eq!(output(command).await.status.code(), Some(64));
}

#[tokio::test]
async fn a_port_that_is_taken_is_1_and_named() {
    let (upstream, _) = echo().await;
    let site = Site::new(upstream, "");
    let text = std::fs::read_to_string(&site.config).unwrap();
    let config = text.replacen("127.0.0.1:0", &upstream.to_string(), 1);
    let run = with(&config, &["serve"]).await;
    assert_eq!(run.status.code(), Some(1));
    let text = String::from_utf8(run.stderr).unwrap();
    assert!(text.contains(&upstream.to_string()), "{text}");
    assert!(!text.contains("panicked"), "{text}");
}

#[tokio::test]
async fn a_place_for_the_database_that_cannot_be_is_1_and_not_waited_for() {
    let (upstream, _) = echo().await;
    let site = Site::with_database(upstream, "", Some("sqlite:///dev/null/portcullis.db"));
    let mut command = program();
    command.args(["serve", "--config"]).arg(&site.config);
    assert_eq!(output(command).await.status.code(), Some(1));
}

#[tokio::test]
async fn arguments_that_make_no_sense_are_an_error_and_help_is_none() {
    let run = |arguments: &'static [&'static str]| {
        let mut command = program();
        command.args(arguments);
        output(command)
    };
    assert_eq!(run(&["serv"]).await.status.code(), Some(2));
    assert_eq!(run(&["--help"]).await.status.code(), Some(0));
    assert_eq!(run(&["--version"]).await.status.code(), Some(0));
}

#[tokio::test]
async fn the_demo_checks_itself_and_ends_well() {
    let mut command = program();
    command.args(["demo", "--check"]).stdout(Stdio::piped());
    let run = output(command).await;
    let text = String::from_utf8(run.stdout).unwrap();
    assert_eq!(run.status.code(), Some(0), "{text}");
    assert!(text.contains("curl"), "{text}");
}

#[tokio::test]
async fn a_log_of_a_newer_release_is_1_and_not_waited_for() {
    let (upstream, _) = echo().await;
    let site = Site::new(upstream, "");
    let mut migrate = program();
    migrate.args(["migrate", "--config"]).arg(&site.config);
    assert_eq!(output(migrate).await.status.code(), Some(0));
    let url = format!("sqlite://{}", site.database().display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    let entry = "INSERT INTO change_log (kind, at) VALUES ('unheard_of', 1)";
    sqlx::raw_sql(entry).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    let mut serve = program();
    serve.args(["serve", "--config"]).arg(&site.config);
    let run = output(serve).await;
    assert_eq!(run.status.code(), Some(1));
    let text = String::from_utf8(run.stderr).unwrap();
    assert!(text.contains("the log of what has ended could not be read"), "{text}");
    assert!(text.contains("unheard_of"), "{text}");
}
