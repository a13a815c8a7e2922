//! Back ends and who else can reach them; certificates; files that others can read.

use std::os::unix::fs::PermissionsExt as _;

use rcgen::{CertificateParams, KeyPair};
use tokio::net::TcpListener;

use super::Visit;
use crate::faults::process::{Process, Site};
use crate::secure::file;
use crate::subject::echo;

#[tokio::test(flavor = "multi_thread")]
async fn a_back_end_that_is_down_is_told() {
    let site = Site::new("127.0.0.1:1".parse().unwrap(), "");
    let told = Visit::to(&site.config).run().await;
    told.assert("upstreams", "problem", "app at 127.0.0.1:1");
    assert_eq!(told.results("around-gateway"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_back_end_that_others_can_reach_is_told_unless_it_can_tell_the_gateway() {
    let everywhere = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = everywhere.local_addr().unwrap().port();
    let site = Site::new(([127, 0, 0, 1], port).into(), "");
    let told = Visit::to(&site.config).run().await;
    told.assert("around-gateway", "warning", "also listens at 0.0.0.0");
    let proved = Visit::to(&site.config).with("IDENTITY_HEADERS__ASSERTION", "X-Assertion");
    proved.run().await.assert("around-gateway", "ok", "only the gateway can");

    let here = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let site = Site::new(here.local_addr().unwrap(), "");
    Visit::to(&site.config).run().await.assert("around-gateway", "ok", "this machine only");
}

#[tokio::test(flavor = "multi_thread")]
async fn from_outside_no_back_end_answers() {
    let outside = |site: &Site| Visit::to(&site.config).arguments(&["--from-outside"]);
    let everywhere = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = everywhere.local_addr().unwrap().port();
    // An address of this machine that does not look like one.
    let site = Site::new(([0, 0, 0, 0], port).into(), "");
    let told = outside(&site).run().await;
    told.assert("around-gateway", "problem", "can be reached from here, around the gateway");
    assert_eq!((told.code, told.findings.len()), (1, 1), "nothing else is looked at");
    let proved = outside(&site).with("IDENTITY_HEADERS__ASSERTION", "X-Assertion");
    proved.run().await.assert("around-gateway", "warning", "it must check who asks");
    let seen = Visit::to(&site.config).run().await;
    seen.assert("around-gateway", "warning", "answers over the network");

    drop(everywhere);
    outside(&site).run().await.assert("around-gateway", "ok", "cannot be reached from here");
    let site = Site::new(([127, 0, 0, 1], port).into(), "");
    outside(&site).run().await.assert("around-gateway", "ok", "the gateway's machine only");
}

/// Writes a certificate and its key of that name into the site's folder.
fn certificate(site: &Site, name: &str) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["gate.example".to_owned()]).unwrap();
    let own = params.self_signed(&key).unwrap();
    let at = |ending: &str| site.folder.path().join(format!("{name}.{ending}"));
    std::fs::write(at("crt"), own.pem()).unwrap();
    std::fs::write(at("key"), key.serialize_pem()).unwrap();
    std::fs::set_permissions(at("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The listener of this process, and a certificate of the site's folder.
fn visit(site: &Site, process: &Process, name: &str) -> Visit {
    let at = |ending: &str| site.folder.path().join(format!("{name}.{ending}"));
    Visit::to(&site.config)
        .with("SERVER__LISTEN", &process.address().to_string())
        .with("SERVER__TELEMETRY_LISTEN", &process.telemetry.to_string())
        .with("SERVER__TLS__CERTIFICATE", &at("crt").display().to_string())
        .with("SERVER__TLS__PRIVATE_KEY", &at("key").display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_that_is_shown_is_the_one_of_the_file() {
    let (upstream, _) = echo().await;
    let site = Site::new(upstream, "");
    for name in ["a", "b"] {
        certificate(&site, name);
    }
    let folder = site.folder.path().display();
    let tls = format!(
        "[server.tls]\ncertificate = \"{folder}/a.crt\"\nprivate_key = \"{folder}/a.key\"\n"
    );
    let text = std::fs::read_to_string(&site.config).unwrap() + &tls;
    std::fs::write(&site.config, text).unwrap();
    let process = Process::serve(&site.config).await;

    let echo = ["--echo-path", "/public/echo"];
    let told = visit(&site, &process, "a").arguments(&echo).run().await;
    assert_eq!(told.results("certificates"), ["ok", "ok"], "{}", told.whole);
    for check in ["gateway", "identity-headers", "protected-routes"] {
        assert_eq!(told.results(check), ["ok"], "{check}: {}", told.whole);
    }
    let told = visit(&site, &process, "b").run().await;
    told.assert("certificates", "problem", "shows another certificate than its file holds");
    std::fs::copy(site.folder.path().join("a.key"), site.folder.path().join("b.key")).unwrap();
    let told = visit(&site, &process, "b").run().await;
    told.assert("certificates", "problem", "is not the key of");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_clients_must_show_a_certificate_that_this_machine_trusts() {
    let (upstream, _) = echo().await;
    let site = Site::new(upstream, "");
    let (certificate, key) = (file("localhost.crt"), file("localhost.key"));
    let tls = format!("[server.tls]\ncertificate = {certificate:?}\nprivate_key = {key:?}\n");
    let text = std::fs::read_to_string(&site.config).unwrap() + &tls;
    std::fs::write(&site.config, text).unwrap();
    let process = Process::serve(&site.config).await;
    let url = format!("https://localhost:{}", process.address().port());

    let told = Visit::to(&site.config).arguments(&["--url", &url]).run().await;
    told.assert("gateway", "problem", "invalid peer certificate");
    let mut trusting = Visit::to(&site.config).arguments(&["--url", &url]);
    let name = certificate.display().to_string();
    trusting.environment.push(("SSL_CERT_FILE".to_owned(), name));
    trusting.run().await.assert("gateway", "ok", &url);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_with_a_secret_is_for_its_owner() {
    let site = Site::new("127.0.0.1:1".parse().unwrap(), "");
    let told_with = async |mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&site.config, mode).unwrap();
        Visit::to(&site.config).run().await
    };
    told_with(0o600).await.assert("secret-files", "ok", "can read none");
    told_with(0o644).await.assert("secret-files", "warning", "every user of this machine can read");
    told_with(0o646).await.assert("secret-files", "problem", "can change it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_example_for_a_secret_is_told() {
    let site = Site::new("127.0.0.1:1".parse().unwrap(), "");
    let example = "a-secret-of-at-least-32-characters";
    let mut visit = Visit::to(&site.config);
    visit.environment.clear();
    let told = visit.run().await;
    told.assert("secret-key", "problem", "looks like one from an example");
    assert!(!told.whole.contains(example), "{}", told.whole);
}
