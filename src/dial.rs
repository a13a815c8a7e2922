//! Connections that we open to others for HTTP: plain, or by TLS with the authorities that this
//! machine trusts or that a file names.
//!
//! It must not know what is said over them, nor who may be asked without TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::Uri;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Why nobody can be asked by HTTPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// This machine has no list of authorities.
    #[error("this machine trusts no certificate authority")]
    NoAuthorities,
    /// What was handed in is no list of certificates.
    #[error("there is no certificate in the file, or one that cannot be understood")]
    Certificates,
    /// The library has no version of TLS.
    #[error("TLS cannot be spoken")]
    Versions,
}

/// Opens connections.
pub struct Dialer {
    tls: Option<TlsConnector>,
}

/// Bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open connection.
pub struct Dialed {
    /// What goes over it.
    pub stream: Box<dyn Stream>,
    /// The other end.
    pub peer: SocketAddr,
}

impl Dialer {
    /// For addresses that begin with `http:`.
    #[must_use]
    pub const fn plain() -> Self {
        Self { tls: None }
    }

    /// For those that begin with `https:` as well. `authorities`: PEM, in the place of this
    /// machine's.
    ///
    /// # Errors
    /// There is nobody to be trusted.
    pub fn secured(authorities: Option<&[u8]>) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        if let Some(pem) = authorities {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|_| TrustError::Certificates)?;
                roots.add(certificate).map_err(|_| TrustError::Certificates)?;
            }
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        if roots.is_empty() {
            let is_file = authorities.is_some();
            return Err(if is_file { TrustError::Certificates } else { TrustError::NoAuthorities });
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| TrustError::Versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Some(TlsConnector::from(Arc::new(config))) })
    }

    /// Opens a connection to the host of an address.
    ///
    /// # Errors
    /// There is no such host, or it is not who it should be; `InvalidInput`: the address cannot be
    /// asked.
    pub async fn dial(&self, uri: &Uri) -> io::Result<Dialed> {
        let nowhere = || io::Error::new(io::ErrorKind::InvalidInput, "no address to connect to");
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(nowhere());
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        let socket = TcpStream::connect((bare.as_str(), port)).await?;
        let peer = socket.peer_addr()?;
        let stream: Box<dyn Stream> = match (scheme, &self.tls) {
            ("https", Some(tls)) => {
                let name = ServerName::try_from(bare).map_err(|_| nowhere())?;
                Box::new(tls.connect(name, socket).await?)
            }
            ("http", _) => Box::new(socket),
            _ => return Err(nowhere()),
        };
        Ok(Dialed { stream, peer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_trusts_nobody() {
        for pem in ["", "no pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
        {
            assert_eq!(Dialer::secured(Some(pem.as_bytes())).err(), Some(TrustError::Certificates));
        }
    }

    #[tokio::test]
    async fn what_is_no_address_is_not_asked() {
        for uri in ["/v1/traces", "ftp://127.0.0.1:1"] {
            let refused = Dialer::plain().dial(&uri.parse().unwrap()).await;
            assert!(refused.is_err(), "{uri}");
        }
    }
}
