//! Asks somebody by HTTP/1.1, as any client could: one request, one answer, bounded in time and
//! size.
//!
//! Certificates are checked in one of three ways, because a look at a certificate that is not
//! trusted is a part of the work. It must not know what is asked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// For connecting, asking and reading together.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// No answer that is looked into is larger.
const LARGEST: usize = 1024 * 1024;

/// Which certificates are good.
#[derive(Debug, Clone)]
pub(super) enum Trust {
    /// Those that this machine trusts.
    System,
    /// These, in DER, and no others.
    Only(Vec<Vec<u8>>),
    /// Every one: nothing secret may be sent.
    Any,
}

/// Somebody who can be asked.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) at: At,
    /// The host of requests, with its port unless that is the usual one.
    pub(super) host: String,
}

/// Where it is.
#[derive(Debug, Clone)]
pub(super) enum At {
    Tcp { host: String, port: u16, tls: Option<Trust> },
    Unix(PathBuf),
}

/// What is asked.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The certificate that was shown, in DER.
    pub(super) certificate: Option<Vec<u8>>,
}

impl Place {
    /// Of an address in an argument, `http://host[:port]` or `https://…`.
    pub(super) fn of_url(url: &str) -> Result<Self, String> {
        let form = || format!("`{url}` is no address; write it as https://gateway.example.com");
        let uri: Uri = url.parse().map_err(|_| form())?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let is_bare = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
        let (Some(scheme), Some(authority), true) = (uri.scheme_str(), authority, is_bare) else {
            return Err(form());
        };
        let tls = match scheme {
            "http" => None,
            "https" => Some(Trust::System),
            _ => return Err(form()),
        };
        let port = authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { at: At::Tcp { host, port, tls }, host: authority.as_str().to_owned() })
    }

    /// The same, for secrets: where any certificate is good it must be one of these.
    pub(super) fn showing(mut self, certificates: &[Vec<u8>]) -> Self {
        if let At::Tcp { tls: Some(trust @ Trust::Any), .. } = &mut self.at {
            *trust = Trust::Only(certificates.to_vec());
        }
        self
    }

    /// How it is called in findings.
    pub(super) fn name(&self) -> String {
        match &self.at {
            At::Tcp { tls, .. } => {
                format!("{}://{}", if tls.is_some() { "https" } else { "http" }, self.host)
            }
            At::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

impl Ask {
    pub(super) fn get(target: impl Into<String>) -> Self {
        Self { method: Method::GET, target: target.into(), headers: Vec::new() }
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Sends the request and reads the whole answer.
pub(super) async fn ask(place: &Place, ask: Ask) -> anyhow::Result<Answer> {
    timeout(PATIENCE, connect_and_ask(place, ask)).await.context("no answer within 5 s")?
}

async fn connect_and_ask(place: &Place, ask: Ask) -> anyhow::Result<Answer> {
    match &place.at {
        At::Unix(path) => converse(UnixStream::connect(path).await?, place, ask).await,
        At::Tcp { host, port, tls: None } => {
            converse(TcpStream::connect((host.as_str(), *port)).await?, place, ask).await
        }
        At::Tcp { host, port, tls: Some(trust) } => {
            let socket = TcpStream::connect((host.as_str(), *port)).await?;
            let name = ServerName::try_from(host.clone())?;
            let secured = connector(trust)?.connect(name, socket).await?;
            let shown = secured.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let certificate = shown.map(|own| own.to_vec());
            let answer = converse(secured, place, ask).await?;
            Ok(Answer { certificate, ..answer })
        }
    }
}

async fn converse(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    place: &Place,
    ask: Ask,
) -> anyhow::Result<Answer> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
    // It ends with the sender, at the end of this function.
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(ask.method)
        .uri(&ask.target)
        .header(header::USER_AGENT, concat!("portcullis-doctor/", env!("CARGO_PKG_VERSION")));
    if !ask.headers.iter().any(|(name, _)| name == header::HOST) {
        request = request.header(header::HOST, &place.host);
    }
    for (name, value) in ask.headers {
        request = request.header(name, value);
    }
    let answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, LARGEST).collect().await;
    let body = body.map_err(|_| anyhow::anyhow!("the answer is too large or cut off"))?.to_bytes();
    Ok(Answer { status: parts.status, headers: parts.headers, body, certificate: None })
}

fn connector(trust: &Trust) -> anyhow::Result<TlsConnector> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let config = match trust {
        Trust::System => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            anyhow::ensure!(!roots.is_empty(), "this machine trusts no certificate authority");
            config.with_root_certificates(roots)
        }
        Trust::Only(good) => {
            let shown = Shown { good: Some(good.clone()), provider };
            config.dangerous().with_custom_certificate_verifier(Arc::new(shown))
        }
        Trust::Any => {
            let shown = Shown { good: None, provider };
            config.dangerous().with_custom_certificate_verifier(Arc::new(shown))
        }
    };
    Ok(TlsConnector::from(Arc::new(config.with_no_client_auth())))
}

/// Takes a certificate as it is, or one of some that are known byte for byte; its key must be
/// held by the other side in both cases.
#[derive(Debug)]
struct Shown {
    good: Option<Vec<Vec<u8>>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.good {
            Some(good) if !good.iter().any(|good| good == own.as_ref()) => {
                Err(rustls::Error::General("it shows another certificate than its file's".into()))
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, own, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, own, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_a_host_and_nothing_more() {
        for (url, name) in [
            ("http://gate.example", "http://gate.example"),
            ("https://gate.example:8443/", "https://gate.example:8443"),
            ("http://[::1]:8000", "http://[::1]:8000"),
        ] {
            assert_eq!(Place::of_url(url).map(|place| place.name()), Ok(name.to_owned()), "{url}");
        }
        for url in ["gate.example", "ftp://gate", "https://u:p@gate", "https://gate/path", ""] {
            assert!(Place::of_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn the_usual_ports_and_brackets_are_known() {
        let at = |url| match Place::of_url(url).unwrap().at {
            At::Tcp { host, port, .. } => (host, port),
            At::Unix(_) => panic!("{url}"),
        };
        assert_eq!(at("http://a"), ("a".to_owned(), 80));
        assert_eq!(at("https://a"), ("a".to_owned(), 443));
        assert_eq!(at("http://[::1]:8000"), ("::1".to_owned(), 8000));
    }
}
