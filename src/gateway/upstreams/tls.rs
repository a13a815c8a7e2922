//! What TLS to servers needs: whom to trust, and what to show.
//!
//! Read once, when the upstreams are built: Pingora would panic over a certificate that is none,
//! on the way of a request. It must not know servers.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::UpstreamTls;
use crate::gateway::tls::TlsError;

/// Whom to trust, and what to show.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerTls {
    /// In place of the host's name.
    pub(super) name: Option<String>,
    ca: Option<Arc<CaType>>,
    shown: Option<Arc<CertKey>>,
    /// Pingora's pool tells connections apart by the number of what is shown, and not at all by who
    /// is trusted.
    group: u64,
}

impl ServerTls {
    /// Reads the files.
    pub(super) fn read(settings: &UpstreamTls) -> Result<Self, TlsError> {
        let mut group = DefaultHasher::new();
        let ca = match given(&settings.ca) {
            None => None,
            Some(file) => {
                let trusted = certificates(file)?;
                trusted.hash(&mut group);
                let wrapped = trusted.into_iter().map(|der| WrappedX509::new(der, parse_x509));
                Some(wrapped.collect::<Arc<CaType>>())
            }
        };
        let shown = match (given(&settings.certificate), given(&settings.private_key)) {
            (Some(certificate), Some(key)) => {
                let pair = pair(certificate, key)?;
                pair.leaf().borrow_raw_cert().hash(&mut group);
                Some(Arc::new(pair))
            }
            _ => None,
        };
        let group = if ca.is_some() || shown.is_some() { group.finish() } else { 0 };
        let name = Some(settings.server_name.clone()).filter(|name| !name.is_empty());
        Ok(Self { name, ca, shown, group })
    }

    /// Makes a peer that speaks TLS use them.
    pub(super) fn set(&self, peer: &mut HttpPeer) {
        peer.options.ca.clone_from(&self.ca);
        peer.client_cert_key.clone_from(&self.shown);
        peer.group_key = self.group;
    }
}

fn given(file: &Path) -> Option<&Path> {
    (!file.as_os_str().is_empty()).then_some(file)
}

/// At least one certificate, and each can be understood.
fn certificates(file: &Path) -> Result<Vec<Vec<u8>>, TlsError> {
    let text = read(file)?;
    let all: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { file: file.to_owned(), what: "certificate", source })?;
    let is_good = |der: &CertificateDer<'_>| X509Certificate::from_der(der).is_ok();
    if all.is_empty() || !all.iter().all(is_good) {
        return Err(TlsError::Certificate { file: file.to_owned() });
    }
    Ok(all.iter().map(|der| der.to_vec()).collect())
}

fn pair(certificate: &Path, key: &Path) -> Result<CertKey, TlsError> {
    let chain = certificates(certificate)?;
    let text = read(key)?;
    let secret = PrivateKeyDer::from_pem_slice(&text).map_err(|source| TlsError::Pem {
        file: key.to_owned(),
        what: "private key",
        source,
    })?;
    let der = secret.secret_der().to_vec();
    let parsed = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    CertifiedKey::from_der(parsed, secret, &ring::default_provider()).map_err(|source| {
        TlsError::Pair { certificate: certificate.to_owned(), key: key.to_owned(), source }
    })?;
    Ok(CertKey::new(chain, der))
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file).map_err(|source| TlsError::File { file: PathBuf::from(file), source })
}
