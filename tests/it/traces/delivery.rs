//! How spans reach a collector, and what becomes of them if it is away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::receiver::{Receiver, Reply};
use super::traced;
use crate::secure::file;
use crate::subject::Subject;

/// Waits for a line of the metrics.
async fn counted(subject: &Subject, line: &str) {
    let counted = async { while !subject.metrics().await.lines().any(|seen| seen == line) {} };
    let in_time = tokio::time::timeout(Duration::from_secs(10), counted).await;
    assert!(in_time.is_ok(), "{line} is not in\n{}", subject.metrics().await);
}

#[tokio::test]
async fn what_is_queued_at_a_stop_is_still_delivered() {
    let receiver = Receiver::start().await;
    let subject = traced(&receiver, |_| {}).await;
    for _ in 0..20 {
        assert_eq!(subject.get("/public/").await.status, StatusCode::OK);
    }
    subject.stop().await;
    assert_eq!(receiver.spans().len(), 60);
}

#[tokio::test]
async fn packages_carry_the_headers_that_the_collector_asks_for() {
    let receiver = Receiver::start().await;
    let subject = traced(&receiver, |settings| {
        settings.traces.headers = "Authorization=Bearer%20abc,X-Tenant=7".into();
    })
    .await;
    assert_eq!(subject.get("/public/").await.status, StatusCode::OK);
    counted(&subject, "portcullis_traces_exported_total 3").await;
    let headers = &receiver.headers()[0];
    assert_eq!(
        (&headers["authorization"], &headers["x-tenant"]),
        (&"Bearer abc".parse().unwrap(), &"7".parse().unwrap())
    );
    assert_eq!(headers["user-agent"], concat!("portcullis/", env!("CARGO_PKG_VERSION")));
    assert_eq!(headers["host"], receiver.address.to_string());
}

#[tokio::test]
async fn a_busy_collector_is_asked_again() {
    let receiver = Receiver::answering(&[Reply::Status(503)]).await;
    let subject = traced(&receiver, |_| {}).await;
    assert_eq!(subject.get("/public/").await.status, StatusCode::OK);
    receiver.trace("GET /public/", 3).await;
    assert_eq!(receiver.headers().len(), 2);
}

#[tokio::test]
async fn what_a_collector_refuses_is_counted_and_not_sent_again() {
    let receiver = Receiver::answering(&[Reply::Partial(2), Reply::Status(400)]).await;
    let subject = traced(&receiver, |_| {}).await;
    assert_eq!(subject.get("/public/").await.status, StatusCode::OK);
    counted(&subject, r#"portcullis_traces_dropped_total{reason="refused"} 3"#).await;
    assert_eq!(receiver.headers().len(), 1);
    assert_eq!(subject.get("/public/").await.status, StatusCode::OK);
    counted(&subject, r#"portcullis_traces_dropped_total{reason="rejected"} 2"#).await;
    counted(&subject, "portcullis_traces_exported_total 1").await;
}

#[tokio::test]
async fn a_collector_that_is_away_slows_neither_requests_nor_the_end() {
    // It takes connections and never answers: worse than one that refuses them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let subject = Subject::with(|settings| {
        settings.traces.endpoint = endpoint;
        settings.traces.timeout = "500ms".parse().unwrap();
    })
    .await;
    for _ in 0..50 {
        assert_eq!(subject.get("/public/").await.status, StatusCode::OK);
    }
    let began = Instant::now();
    subject.stop().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_collector_proves_who_it_is_where_https_is_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (receiver, app) = Receiver::with(address, &[]);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_file(file("localhost.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("localhost.key")).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // A client that does not believe us hangs up.
            let Ok(stream) = acceptor.accept(socket).await else { continue };
            let service = hyper_util::service::TowerToHyperService::new(app.clone());
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        }
    });
    let endpoint = format!("https://localhost:{}", address.port());
    let subject = Subject::with(|settings| {
        settings.traces.endpoint.clone_from(&endpoint);
        settings.traces.ca_file = Some(file("localhost.crt"));
    })
    .await;
    assert_eq!(subject.get("/public/").await.status, StatusCode::OK);
    receiver.trace("GET /public/", 3).await;

    // Signed by nobody whom this machine trusts.
    let subject = Subject::with(|settings| {
        settings.traces.endpoint = endpoint;
        settings.traces.ca_file = Some(file("other.crt"));
    })
    .await;
    assert_eq!(subject.get("/public/").await.status, StatusCode::OK);
    subject.stop().await;
    assert_eq!(receiver.spans().len(), 3);
}
