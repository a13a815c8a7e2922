//! What is spoken to applications: TLS with own authorities, certificates of ours, HTTP/2.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use portcullis::config::Listener;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Gateway, get};
use crate::secure::H2;
use crate::subject::{Subject, route};

/// An authority of our own, with a certificate of `app.internal` and one of a client.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        write("ca.pem", params.self_signed(&key).unwrap().pem());
        let issuer = Issuer::new(params, key);
        for name in ["app.internal", "portcullis"] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            write(&format!("{name}.pem"), params.signed_by(&key, &issuer).unwrap().pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Accepts those whom the authority has signed.
    fn acceptor(&self, alpn: &[&[u8]]) -> TlsAcceptor {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.file("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(
                vec![CertificateDer::from_pem_file(self.file("app.internal.pem")).unwrap()],
                PrivateKeyDer::from_pem_file(self.file("app.internal.key")).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// `[upstreams.tls]` with everything, but for what is left out.
    fn settings(&self, without: &str) -> String {
        let line = |key: &str, value: String| {
            if key == without { String::new() } else { format!("{key} = {value:?}\n") }
        };
        let file = |name| self.file(name).display().to_string();
        ["[upstreams.tls]\nserver_name = \"app.internal\"\n".to_owned()]
            .into_iter()
            .chain([
                line("ca", file("ca.pem")),
                line("certificate", file("portcullis.pem")),
                line("private_key", file("portcullis.key")),
            ])
            .collect()
    }
}

/// Speaks HTTP/1 or HTTP/2 as was agreed, and tells which.
async fn application(acceptor: TlsAcceptor) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    return remote_procedures(stream).await;
                }
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let answer =
                    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhttp1";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    port
}

/// Says back what it got, and ends with trailers, as gRPC servers do. What it saw of the head
/// stands in the answer's.
async fn remote_procedures(io: impl AsyncRead + AsyncWrite + Unpin) {
    let Ok(mut connection) = h2::server::handshake(io).await else { return };
    while let Some(Ok((mut request, mut respond))) = connection.accept().await {
        tokio::spawn(async move {
            let head = request.headers();
            let seen =
                |name: &str| head.get(name).cloned().unwrap_or(HeaderValue::from_static("-"));
            let answer = Response::builder()
                .header("content-type", "application/grpc")
                .header("x-seen-te", seen("te"))
                .header("x-seen-user", seen("x-forwarded-user"))
                .header("x-seen-authority", request.uri().authority().unwrap().as_str())
                .body(())
                .unwrap();
            let mut stream = respond.send_response(answer, false).unwrap();
            while let Some(Ok(piece)) = request.body_mut().data().await {
                let _ = request.body_mut().flow_control().release_capacity(piece.len());
                let _ = stream.send_data(piece, false);
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let _ = stream.send_trailers(trailers);
        });
    }
}

async fn before(port: u16, protocol: &str, tls: &str) -> Gateway {
    let more = format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"https://127.0.0.1:{port}\"]\n\
         protocol = \"{protocol}\"\n{tls}"
    );
    Gateway::with(&[], &more).await
}

#[tokio::test]
async fn an_application_that_wants_our_certificate_gets_it_and_is_held_to_its_own() {
    let authority = Authority::new();
    let port = application(authority.acceptor(&[])).await;
    for (without, status) in [("", 200), ("ca", 502)] {
        let gateway = before(port, "http1", &authority.settings(without)).await;
        let answer = gateway.client().await.ask(get("/public/a", "")).await;
        assert_eq!(answer.status, status, "without {without:?}: {answer:?}");
    }
    // Without a certificate of ours it hangs up.
    let anonymous = format!(
        "[upstreams.tls]\nserver_name = \"app.internal\"\nca = {:?}\n",
        authority.file("ca.pem").display().to_string()
    );
    let gateway = before(port, "http1", &anonymous).await;
    assert_eq!(gateway.client().await.ask(get("/public/a", "")).await.status, 502);
    // Another name than the one in its certificate.
    let other = authority.settings("").replace("app.internal", "other.internal");
    let gateway = before(port, "http1", &other).await;
    assert_eq!(gateway.client().await.ask(get("/public/a", "")).await.status, 502);
}

#[tokio::test]
async fn alpn_chooses_what_is_spoken_to_an_application() {
    let authority = Authority::new();
    for (offers, text) in [(&[&b"h2"[..], b"http/1.1"][..], ""), (&[b"http/1.1"], "http1")] {
        let port = application(authority.acceptor(offers)).await;
        let gateway = before(port, "negotiate", &authority.settings("")).await;
        let answer = gateway.client().await.ask(get("/public/a", "")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, text));
        let authority = answer.header("x-seen-authority");
        assert_eq!(authority, text.is_empty().then_some("gate.example"));
    }
}

#[tokio::test]
async fn a_remote_procedure_call_passes_with_its_trailers_in_both_directions() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(remote_procedures(socket));
        }
    });
    let subject = Subject::with(|settings| {
        settings.server.listen = Vec::new();
        settings.server.listeners = vec![Listener {
            address: "127.0.0.1:0".parse().unwrap(),
            h2c: true,
            ..Listener::default()
        }];
        settings.upstreams[0].servers = vec![address.to_string()];
        settings.upstreams[0].protocol = portcullis::config::Protocol::Http2;
        settings.routes = vec![
            route("/", portcullis::config::Access::Authenticated),
            route("/public/", portcullis::config::Access::Anonymous),
        ];
    })
    .await;
    subject.register("ada").await;
    let token = subject.opaque("ada").await;
    let client = H2::plain(subject.address).await;
    let call = |token: &str| {
        Request::post("http://localhost/shop.Orders/List")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {token}"))
            .body(())
            .unwrap()
    };
    let message = Bytes::from_static(b"\0\0\0\0\x05hello");
    for _ in 0..3 {
        let answer = client.ask(call(&token), &message).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (200, &message[..]));
        let header = |name: &str| answer.headers[name].to_str().unwrap();
        assert_eq!((header("x-seen-te"), header("x-seen-user")), ("trailers", "ada"));
        assert_eq!(header("x-seen-authority"), "localhost");
        let trailers = answer.trailers.as_ref().expect("trailers");
        assert_eq!(trailers["grpc-status"], "0");
    }
    let refused = client.ask(call("nonsense"), &message).await.unwrap();
    assert_eq!(refused.status.as_u16(), 401);

    // A web socket would need HTTP/1 on the other side.
    let upgrade = get(
        "/public/a",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n",
    );
    let mut plain = crate::raw::Client::connect(subject.address).await;
    let answer = plain.ask(upgrade).await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (501, Some("upgrade_not_supported"))
    );
}
