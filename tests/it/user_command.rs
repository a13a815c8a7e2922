//! `portcullis user`: accounts from the shell.

use std::time::Duration;

use clap::Parser;
use portcullis::accounts::passwords::{Checked, Passwords};
use portcullis::cli::user::{Asker, CommandError, UserCommand, run_with};
use portcullis::clock::Clock;
use portcullis::config::{Argon2, Settings};
use portcullis::model::{Timestamp, User, UserId};
use portcullis::store::Store;
use secrecy::ExposeSecret;
use serde_json::json;

use crate::ledger;

const CHEAP: Argon2 = Argon2 { memory_kib: 64, iterations: 1, parallelism: 1 };
const PASSWORD: &str = "Wmxt-Koru!Zyl9";

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: UserCommand,
}

struct Shell {
    store: Store,
    settings: Settings,
}

impl Shell {
    async fn new() -> Self {
        let mut settings = Settings::default();
        settings.accounts.argon2 = CHEAP;
        Self { store: Store::open_temporary().await.unwrap(), settings }
    }

    async fn run(&self, line: &str, answers: &[&str]) -> Result<String, CommandError> {
        let command = Cli::try_parse_from(format!("user {line}").split(' ')).unwrap().command;
        let mut asker = Asker::Prepared(answers.iter().map(ToString::to_string).collect());
        let clock = Clock::manual(Timestamp::from_seconds(1_700_000_000));
        let mut out = Vec::new();
        for answer in answers {
            ledger::used(json!({ "password": answer }).to_string());
        }
        let done = run_with(command, &self.settings, &self.store, &clock, &mut asker, &mut out);
        let done = done.await;
        ledger::said("shell", format!("{done:?}\n{}", String::from_utf8_lossy(&out)));
        done?;
        Ok(String::from_utf8(out).unwrap())
    }

    async fn ada(&self) -> User {
        self.store.user_by_username("ada").await.unwrap().unwrap()
    }

    async fn checks(&self, password: &str) -> Checked {
        let pool = Passwords::new(&CHEAP, 1, Duration::from_secs(30));
        let ada = self.ada().await;
        pool.verify(password, Some(ada.password.expose_secret())).await.unwrap()
    }
}

/// The lines that an operator is told.
fn refusal(outcome: Result<String, CommandError>) -> Vec<String> {
    match outcome {
        Err(CommandError::Refused(lines)) => lines,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_account_is_made_with_a_password_typed_twice() {
    let shell = Shell::new().await;
    let told = shell.run("create ada --email Ada@EXAMPLE.org --staff", &[PASSWORD, PASSWORD]).await;
    let ada = shell.ada().await;
    assert_eq!(told.unwrap(), format!("user ada (#{}) was created\n", ada.id));
    assert_eq!(ada.email, "Ada@example.org");
    assert!(ada.email_verified && ada.is_active && ada.is_staff && !ada.is_superuser);
    assert_eq!(shell.checks(PASSWORD).await, Checked::Right);
}

#[tokio::test]
async fn an_account_can_be_made_without_a_password() {
    let shell = Shell::new().await;
    let line = "create ada --email a@example.org --unverified-email --inactive --no-password";
    shell.run(line, &[]).await.unwrap();
    let ada = shell.ada().await;
    assert!(ada.password.expose_secret().starts_with('!'));
    assert!(!ada.email_verified && !ada.is_active && !ada.is_staff);
}

#[tokio::test]
async fn bad_names_are_refused_all_at_once() {
    let shell = Shell::new().await;
    assert_eq!(
        refusal(shell.run("create ada! --email nonsense --no-password", &[]).await),
        [
            "A username is made of letters, numbers and @ . + - _ only.",
            "The e-mail address is not valid."
        ]
    );
    assert!(shell.store.users_after(UserId(0), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn taken_names_are_refused() {
    let shell = Shell::new().await;
    shell.run("create ada --email a@example.org --no-password", &[]).await.unwrap();
    let again = shell.run("create ada --no-password", &[]).await;
    assert_eq!(refusal(again), ["The username is taken, or was once."]);
    let email = shell.run("create bob --email A@example.org --no-password", &[]).await;
    assert_eq!(refusal(email), ["Another account has this e-mail address."]);
    shell.run("delete ada --yes", &[]).await.unwrap();
    let once = shell.run("create ada --no-password", &[]).await;
    assert_eq!(refusal(once), ["The username is taken, or was once."]);
}

#[tokio::test]
async fn weak_passwords_are_refused_unless_allowed() {
    let shell = Shell::new().await;
    let weak = shell.run("create ada --password-stdin", &["12345678"]).await;
    assert_eq!(
        refusal(weak),
        [
            "The password is among the most common ones.",
            "The password is entirely numeric.",
            "It can be taken all the same with --allow-weak-password."
        ]
    );
    let differing = shell.run("create ada", &[PASSWORD, "other"]).await;
    assert_eq!(refusal(differing), ["The two passwords differ."]);
    for empty in ["", "  "] {
        refusal(shell.run("create ada --password-stdin --allow-weak-password", &[empty]).await);
    }
    let line = "create ada --password-stdin --allow-weak-password";
    shell.run(line, &["12345678"]).await.unwrap();
    assert_eq!(shell.checks("12345678").await, Checked::Right);
}

#[tokio::test]
async fn a_new_password_ends_logins_where_the_settings_say_so() {
    let mut shell = Shell::new().await;
    shell.run("create ada --no-password", &[]).await.unwrap();
    let before = shell.ada().await;
    shell.settings.accounts.logout_on_password_change = true;
    shell.run("set-password ada --password-stdin", &[PASSWORD]).await.unwrap();
    assert_eq!(shell.checks(PASSWORD).await, Checked::Right);
    let after = shell.ada().await;
    assert!(after.generation > before.generation);
    shell.settings.accounts.logout_on_password_change = false;
    let line = format!("set-password #{} --password-stdin", after.id);
    shell.run(&line, &["Nhgs-Tylo?Quv7"]).await.unwrap();
    assert_eq!(shell.ada().await.generation, after.generation);
    assert_eq!(shell.checks("Nhgs-Tylo?Quv7").await, Checked::Right);
}

#[tokio::test]
async fn passwords_are_trimmed_where_logins_trim_them() {
    let mut shell = Shell::new().await;
    shell.settings.accounts.trim_passwords = true;
    let padded = format!(" {PASSWORD} ");
    shell.run("create ada --password-stdin", &[&padded]).await.unwrap();
    assert_eq!(shell.checks(PASSWORD).await, Checked::Right);
    assert_eq!(shell.checks(&padded).await, Checked::Wrong);
}

#[tokio::test]
async fn accounts_are_deactivated_activated_and_revoked() {
    let shell = Shell::new().await;
    shell.run("create ada --no-password", &[]).await.unwrap();
    let first = shell.ada().await;
    shell.run("deactivate ada", &[]).await.unwrap();
    let second = shell.ada().await;
    assert!(!second.is_active && second.generation > first.generation);
    shell.run("activate ada", &[]).await.unwrap();
    assert!(shell.ada().await.is_active);
    shell.run("revoke ada", &[]).await.unwrap();
    assert!(shell.ada().await.generation > second.generation);
}

#[tokio::test]
async fn deletion_asks_first() {
    let shell = Shell::new().await;
    shell.run("create ada --no-password", &[]).await.unwrap();
    let declined = shell.run("delete ada", &["n"]).await;
    assert!(matches!(declined, Err(CommandError::Declined)), "{declined:?}");
    let id = shell.ada().await.id;
    assert_eq!(
        shell.run("delete ada", &["y"]).await.unwrap(),
        format!("user ada (#{id}) was deleted\n")
    );
    assert!(shell.store.user(id).await.unwrap().is_none());
}

#[tokio::test]
async fn an_unknown_user_is_told() {
    let shell = Shell::new().await;
    for line in
        ["show eve", "show #99", "show #x", "revoke eve", "delete eve --yes", "activate eve"]
    {
        let outcome = shell.run(line, &[]).await;
        assert!(matches!(outcome, Err(CommandError::Unknown(_))), "{line}: {outcome:?}");
    }
    let told = shell.run("show eve", &[]).await.unwrap_err().to_string();
    assert_eq!(told, "there is no user eve");
}

#[tokio::test]
async fn accounts_are_listed_and_shown() {
    let shell = Shell::new().await;
    shell.run("create ada --email ada@example.org --superuser --no-password", &[]).await.unwrap();
    shell.run("create ﬁona --no-password", &[]).await.unwrap();
    let table = shell.run("list", &[]).await.unwrap();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[1].contains("ada@example.org") && lines[2].contains("fiona"), "{table}");

    let json = shell.run("list --json", &[]).await.unwrap();
    let users: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(users[0]["username"], "ada");
    assert_eq!(users[1]["has_password"], false);

    let page = shell.run("show ﬁona", &[]).await.unwrap();
    assert!(page.contains("fiona"), "the stored form is found by the typed one: {page}");
    let by_id = shell.run(&format!("show #{}", users[1]["id"]), &[]).await.unwrap();
    assert_eq!(by_id, page);
}
