//! Through the gateway: does it answer, is it ready, and what gets past it?

use http::StatusCode;
use serde_json::json;

use super::Visit;
use crate::faults::process::{Process, Site};
use crate::raw::{Act, App, Received};
use crate::servers::PostgresDatabase;
use crate::subject::{PASSWORD, echo};

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_is_well_has_no_problem() {
    let (upstream, _) = echo().await;
    let site = Site::new(upstream, "");
    let process = Process::serve(&site.config).await;
    let visit = || Visit::to(&site.config).of(&process).arguments(&["--echo-path", "/public/echo"]);
    let told = visit().run().await;
    for check in [
        "gateway",
        "ready",
        "identity-headers",
        "protected-routes",
        "upstreams",
        "around-gateway",
        "database",
        "signing-keys",
        "clock",
        "trusted-proxies",
        "telemetry-public",
        "routes",
        "secret-key",
    ] {
        assert_eq!(told.results(check), ["ok"], "{check}: {}", told.whole);
    }
    assert_eq!(told.code, 0, "{}", told.whole);
    // Mail goes to the log: that is no problem, but strictly taken it is one.
    told.assert("mail", "warning", "goes to the log");
    assert_eq!(visit().arguments(&["--strict"]).run().await.code, 1);

    // To people the same, line by line.
    let mut visit = visit();
    visit.arguments.retain(|argument| argument != "--json");
    let text = String::from_utf8(visit.output().await.stdout).unwrap();
    assert!(text.contains("\nok           gateway           http://127.0.0.1:"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("problems: 0, "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_does_not_run_is_told_and_not_made() {
    let (upstream, _) = echo().await;
    let site = Site::new(upstream, "");
    let told = Visit::to(&site.config).arguments(&["--url", "http://127.0.0.1:1"]).run().await;
    told.assert("gateway", "problem", "http://127.0.0.1:1 does not answer");
    told.assert("database", "problem", "is not there");
    assert_eq!(told.results("protected-routes"), [""; 0]);
    assert_eq!(told.code, 1);
    assert!(!site.database().exists());

    // The port of the configuration is the system's choice: nobody can know it.
    let told = Visit::to(&site.config).run().await;
    told.assert("gateway", "not_checked", "127.0.0.1:0");
    told.assert("ready", "not_checked", "not known");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_with_faults_is_a_problem_and_a_wrong_argument_is_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portcullis.toml");
    std::fs::write(&file, "[server]\nthreats = 4\n").unwrap();
    let told = Visit::to(&file).run().await;
    let (text, remedy) = told.only("configuration", "problem");
    assert!(text.contains("portcullis.toml:2") && text.contains("server.threats"), "{text}");
    assert!(remedy.contains("threads"), "{remedy}");
    assert_eq!(told.code, 1);
    for arguments in
        [["--url", "nowhere"], ["--echo-path", "echo"], ["--token-file", "without-a-path"]]
    {
        let output = Visit::to(&file).arguments(&arguments).output().await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

/// Says that it is a gateway, and hands on whatever it gets.
fn an_open_door(request: &Received) -> Act {
    if request.line.contains("/.well-known/jwks.json") {
        return Act::ok("{\"keys\":[]}");
    }
    Act::ok(&String::from_utf8_lossy(&request.raw))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gets_past_a_gateway_is_named() {
    let door = App::start(an_open_door).await;
    let site = Site::new(door.address, "");
    let url = format!("http://{}", door.address);
    let visit = Visit::to(&site.config).arguments(&["--url", &url, "--echo-path", "/public/echo"]);
    let told = visit.run().await;
    let (text, _) = told.only("identity-headers", "problem");
    for name in ["x-forwarded-user", "x_forwarded_user", "x.forwarded.user", "remote-user"] {
        assert!(text.split(' ').any(|word| word == name), "{name}: {text}");
    }
    told.assert("protected-routes", "problem", "GET / is answered 200 OK without a credential");
    assert_eq!(told.code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_of_another_database_is_not_this_one() {
    let (upstream, _) = echo().await;
    let (ours, other) = (Site::new(upstream, ""), Site::new(upstream, ""));
    let process = Process::serve(&ours.config).await;
    let _ = Process::serve(&other.config).await;
    let told = Visit::to(&other.config).of(&process).run().await;
    told.assert("gateway", "problem", "publishes other keys");
    // Nor is somebody else who answers.
    let app = App::plain().await;
    let url = format!("http://{}", app.address);
    let told = Visit::to(&ours.config).arguments(&["--url", &url]).run().await;
    told.assert("gateway", "problem", "as no Portcullis would");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_that_needs_a_token_gets_the_one_of_the_file() {
    let (upstream, _) = echo().await;
    let site = Site::new(upstream, "");
    let process = Process::serve(&site.config).await;
    let form = json!({"username": "ada", "password": PASSWORD});
    let made = process.post("/auth/users/", form.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
    let login = process.post("/auth/token/login/", form).await.json();
    let token = login["auth_token"].as_str().unwrap();
    let file = site.folder.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();

    let visit = || Visit::to(&site.config).of(&process).arguments(&["--echo-path", "/echo"]);
    visit().run().await.assert("identity-headers", "not_checked", "is answered 401");
    let path = file.display().to_string();
    let told = visit().arguments(&["--token-file", &path]).run().await;
    told.assert("identity-headers", "ok", "forged headers reached nobody behind /echo");
    assert!(!told.whole.contains(token), "{}", told.whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_shows_nothing_proves_nothing() {
    let app = App::plain().await;
    let site = Site::new(app.address, "");
    let process = Process::serve(&site.config).await;
    let visit = || Visit::to(&site.config).of(&process);
    let told = visit().arguments(&["--echo-path", "/public/quiet"]).run().await;
    told.assert("identity-headers", "not_checked", "shows no headers");
    visit().run().await.assert("identity-headers", "not_checked", "was not tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_not_ready_says_why() {
    let database = PostgresDatabase::create().await;
    let (upstream, _) = echo().await;
    let site = Site::with_database(upstream, "", Some(&database.url()));
    let process = Process::serve(&site.config).await;
    let told = Visit::to(&site.config).of(&process).run().await;
    assert_eq!(told.results("ready"), ["ok"], "{}", told.whole);
    assert_eq!(told.results("database"), ["ok"], "{}", told.whole);
    assert_eq!(told.results("clock"), ["ok", "ok"], "the database's and the gateway's");

    database.close_to_connections().await;
    let told = Visit::to(&site.config).of(&process).run().await;
    told.assert("ready", "problem", "503 Service Unavailable: database failed");
    told.assert("database", "problem", "the database is unavailable");
    database.remove().await;
}
