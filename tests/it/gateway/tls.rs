//! TLS on the traffic listeners, seen by clients that check certificates.

use std::time::Duration;

use portcullis::config::{Settings, Tls, TlsCertificate, TlsVersion};
use serde_json::Value;

use crate::secure::{H2, Wish, exchange, file, tls};
use crate::subject::Subject;

const GET: &str = "GET /public/a HTTP/1.1\r\nHost: localhost\r\n\r\n";

pub(super) fn certificate(name: &str) -> Tls {
    Tls {
        certificate: file(&format!("{name}.crt")),
        private_key: file(&format!("{name}.key")),
        ..Tls::default()
    }
}

fn with_tls(settings: &mut Settings) {
    settings.server.tls = Some(certificate("localhost"));
}

fn body(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}"))
}

#[tokio::test]
async fn http1_over_tls_is_https_for_the_upstream() {
    let subject = Subject::with(with_tls).await;
    let mut client = tls(subject.address, Wish::default()).await.unwrap();
    for _ in 0..2 {
        let reached = body(&exchange(&mut client, GET).await);
        assert_eq!(reached["headers"]["x-forwarded-proto"], "https");
        assert_eq!(reached["headers"]["x-forwarded-host"], "localhost");
        assert_eq!(reached["headers"]["x-forwarded-for"], "127.0.0.1");
    }
}

#[tokio::test]
async fn requests_that_come_before_their_turn_over_tls_are_answered_in_order() {
    let subject = Subject::with(with_tls).await;
    let mut client = tls(subject.address, Wish::default()).await.unwrap();
    let three =
        ["/public/1", "/public/2", "/public/3"].map(|path| GET.replace("/public/a", path)).concat();
    let mut all = exchange(&mut client, &three).await;
    while all.matches("HTTP/1.1 200").count() < 3 {
        all.push_str(&exchange(&mut client, "").await);
    }
    let places: Vec<_> = (1..=3).map(|at| all.find(&format!("/public/{at}")).unwrap()).collect();
    assert!(places.is_sorted(), "{all}");
}

#[tokio::test]
async fn alpn_chooses_http2_where_the_client_offers_it() {
    let subject = Subject::with(with_tls).await;
    for (offers, agreed) in [
        (&[&b"h2"[..], b"http/1.1"][..], Some(&b"h2"[..])),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let client = tls(subject.address, Wish { alpn: offers, ..Wish::default() }).await.unwrap();
        assert_eq!(client.get_ref().1.alpn_protocol(), agreed);
    }
    let nothing_in_common = Wish { alpn: &[b"spdy/3"], ..Wish::default() };
    assert!(tls(subject.address, nothing_in_common).await.is_err());
}

#[tokio::test]
async fn the_lowest_version_is_what_the_settings_say() {
    for (lowest, with_12) in [(TlsVersion::Tls12, true), (TlsVersion::Tls13, false)] {
        let subject = Subject::with(|settings| {
            settings.server.tls = Some(Tls { min_version: lowest, ..certificate("localhost") });
        })
        .await;
        let old = Wish { versions: &[&rustls::version::TLS12], ..Wish::default() };
        assert_eq!(tls(subject.address, old).await.is_ok(), with_12, "{lowest:?}");
        assert!(tls(subject.address, Wish::default()).await.is_ok());
    }
}

#[tokio::test]
async fn each_name_gets_its_certificate_and_others_the_default() {
    let subject = Subject::with(|settings| {
        let other = certificate("other");
        let more =
            TlsCertificate { certificate: other.certificate, private_key: other.private_key };
        settings.server.tls = Some(Tls { certificates: vec![more], ..certificate("localhost") });
    })
    .await;
    // The client checks that the name stands in the certificate.
    for name in ["localhost", "other.example", "a.other.example"] {
        assert!(tls(subject.address, Wish { name, ..Wish::default() }).await.is_ok(), "{name}");
    }
    let unknown = tls(subject.address, Wish { name: "unknown.example", ..Wish::default() }).await;
    assert!(unknown.unwrap_err().to_string().contains("localhost"), "the default was shown");
}

#[tokio::test]
async fn a_request_for_one_site_over_anothers_connection_is_421() {
    let subject = Subject::with(|settings| {
        let other = certificate("other");
        let more =
            TlsCertificate { certificate: other.certificate, private_key: other.private_key };
        settings.server.tls = Some(Tls { certificates: vec![more], ..certificate("localhost") });
    })
    .await;
    for (host, status) in [
        ("localhost", "200"),
        ("127.0.0.1", "200"),
        // In no certificate: nothing speaks against this connection.
        ("app.example", "200"),
        ("other.example:443", "421"),
        ("A.OTHER.example", "421"),
    ] {
        let mut client = tls(subject.address, Wish::default()).await.unwrap();
        let answer = exchange(&mut client, &GET.replace("localhost", host)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
        let h2 = H2::secure(subject.address).await;
        let request = http::Request::get(format!("https://{host}/public/a")).body(()).unwrap();
        assert_eq!(h2.ask(request, b"").await.unwrap().status.as_str(), status, "{host}");
    }
}

#[tokio::test]
async fn who_does_not_speak_tls_is_cut_and_counted() {
    let subject = Subject::with(|settings| {
        with_tls(settings);
        settings.limits.head_timeout.0 = Duration::from_millis(300);
    })
    .await;
    let mut plain = crate::raw::Client::connect(subject.address).await;
    plain.send(GET).await;
    // An alert record, then the end.
    let alert = plain.take(7).await;
    assert_eq!(alert[0], 0x15);
    assert!(plain.is_closed().await);
    let mut silent = crate::raw::Client::connect(subject.address).await;
    assert!(silent.is_closed().await);
    // The client may hear of the end before it is counted.
    crate::replicas::world::until("both are counted", async || {
        let metrics = subject.metrics().await;
        metrics.contains("portcullis_server_refused_total{reason=\"tls_handshake\"} 2")
    })
    .await;
}

#[tokio::test]
async fn renewed_files_are_taken_into_use_and_bad_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    // As Kubernetes mounts a Secret: names that lead through a link, which is swapped.
    let version = |number: u32, certificate: &str, key: &str| {
        let data = folder.path().join(format!("..{number}"));
        std::fs::create_dir(&data).unwrap();
        std::fs::copy(file(certificate), data.join("tls.crt")).unwrap();
        std::fs::copy(file(key), data.join("tls.key")).unwrap();
        let link = folder.path().join("..link");
        std::os::unix::fs::symlink(&data, &link).unwrap();
        std::fs::rename(&link, folder.path().join("..data")).unwrap();
    };
    version(1, "localhost.crt", "localhost.key");
    for name in ["tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), folder.path().join(name)).unwrap();
    }
    let subject = Subject::with(|settings| {
        settings.server.tls = Some(Tls {
            certificate: folder.path().join("tls.crt"),
            private_key: folder.path().join("tls.key"),
            ..Tls::default()
        });
    })
    .await;
    let shown = || async {
        let client = tls(subject.address, Wish::default()).await.unwrap();
        client.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let subject = &subject;
    let until = |wanted: &'static str| async move {
        let seen = async {
            while !subject.metrics().await.contains(wanted) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(15), seen).await.expect(wanted);
    };
    let first = shown().await;
    let metrics = subject.metrics().await;
    assert!(
        metrics.contains("portcullis_tls_certificate_expiry_seconds{sni=\"localhost\"} 49"),
        "{metrics}"
    );

    version(2, "renewed.crt", "other.key");
    until("portcullis_tls_certificate_reloads_total{outcome=\"failure\"} 1").await;
    assert!(subject.metrics().await.contains("portcullis_tls_certificates_current 0"));
    assert_eq!(shown().await, first);

    version(3, "renewed.crt", "renewed.key");
    until("portcullis_tls_certificate_reloads_total{outcome=\"success\"} 1").await;
    assert!(subject.metrics().await.contains("portcullis_tls_certificates_current 1"));
    assert_ne!(shown().await, first);
}

#[tokio::test]
async fn a_key_of_another_certificate_is_told_at_start() {
    let other = certificate("other");
    let tls = Tls { private_key: other.private_key, ..certificate("localhost") };
    let mut settings = Settings::default();
    settings.server.tls = Some(tls);
    settings.server.listen = vec!["127.0.0.1:0".parse().unwrap()];
    settings.server.telemetry_listen = None;
    let error = portcullis::gateway::bind(&settings).err().unwrap().to_string();
    assert!(error.contains("other.key is not the key of"), "{error}");
}

#[tokio::test]
async fn mailed_links_follow_the_request_to_https() {
    let subject = Subject::with(|settings| {
        with_tls(settings);
        settings.accounts.send_activation_email = true;
    })
    .await;
    let mut client = tls(subject.address, Wish::default()).await.unwrap();
    let body = r#"{"username":"a","email":"a@example.org","password":"correct-horse-battery","re_password":"correct-horse-battery"}"#;
    let request = format!(
        "POST /auth/users/ HTTP/1.1\r\nHost: localhost:8443\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(&mut client, &request).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(subject.next_letter().await.contains("https://localhost:8443/"));
}
