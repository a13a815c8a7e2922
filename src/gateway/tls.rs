//! Certificates: which one is shown to whom, and how a renewed one gets in without a restart.
//!
//! The pairs are looked at every few seconds, by content: that sees every kind of renewal, also
//! one that swaps a symlink or comes over a network file system, which notices of the kernel do
//! not. A set is taken whole or not at all; a bad one leaves the last good one in use. It must
//! not know what is spoken within TLS.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::{Tls, TlsVersion};
use crate::telemetry::Metrics;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// No certificate or key is longer.
const LONGEST_FILE: u64 = 1 << 20;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{file} cannot be read")]
    File {
        /// The file.
        file: PathBuf,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// A file is no certificate or key.
    #[error("{file} holds no {what} in PEM")]
    Pem {
        /// The file.
        file: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// Why there is none.
        #[source]
        source: pem::Error,
    },
    /// The certificate cannot be understood.
    #[error("{file} holds no certificate that can be read")]
    Certificate {
        /// The file.
        file: PathBuf,
    },
    /// The key is of no known kind, or not the certificate's.
    #[error("{key} is not the key of {certificate}")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
    /// The versions cannot be had.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// The files of one pair, as they were read. Not for `Debug`: one of them is a secret.
struct Files {
    certificate: (PathBuf, Vec<u8>),
    key: (PathBuf, Vec<u8>),
}

/// One certificate in use.
#[derive(Debug)]
struct Pair {
    key: Arc<CertifiedKey>,
    /// As written in the certificate, in small letters.
    names: Vec<String>,
    /// Seconds since 1970.
    expires: i64,
}

type Digest = [u8; SHA256_OUTPUT_LEN];

/// A set of certificates, the default one first.
#[derive(Debug)]
struct Set {
    /// Of the files, so that a change is seen.
    digest: Digest,
    pairs: Vec<Pair>,
    by_name: HashMap<String, usize>,
}

/// The certificates in use; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Certificates(Arc<ArcSwap<Set>>);

impl Files {
    fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |file: &Path| {
            let content = std::fs::metadata(file).and_then(|about| {
                if about.len() > LONGEST_FILE {
                    return Err(std::io::ErrorKind::FileTooLarge.into());
                }
                std::fs::read(file)
            });
            match content {
                Ok(content) => Ok((file.to_owned(), content)),
                Err(source) => Err(TlsError::File { file: file.to_owned(), source }),
            }
        };
        Ok(Self { certificate: read(certificate)?, key: read(key)? })
    }
}

impl Pair {
    fn new(files: &Files, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let (file, text) = &files.certificate;
        let (key_file, key_text) = &files.key;
        let no_pem =
            |file: &Path, what, source| TlsError::Pem { file: file.to_owned(), what, source };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(text)
            .collect::<Result<_, _>>()
            .map_err(|source| no_pem(file, "certificate", source))?;
        let key = PrivateKeyDer::from_pem_slice(key_text)
            .map_err(|source| no_pem(key_file, "private key", source))?;
        let unreadable = || TlsError::Certificate { file: file.clone() };
        let own = chain.first().ok_or_else(unreadable)?;
        let (_, certificate) = X509Certificate::from_der(own).map_err(|_| unreadable())?;
        let expires = certificate.validity().not_after.timestamp();
        let names = names_of(&certificate);
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|source| {
            TlsError::Pair { certificate: file.clone(), key: key_file.clone(), source }
        })?;
        Ok(Self { key: Arc::new(key), names, expires })
    }
}

/// The names of servers that stand in a certificate, in small letters.
pub(crate) fn names_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

impl Set {
    fn read(tls: &Tls) -> Result<Vec<Files>, TlsError> {
        tls.pairs().map(|(certificate, key)| Files::read(certificate, key)).collect()
    }

    fn digest(files: &[Files]) -> Digest {
        let mut context = Context::new(&SHA256);
        for (_, content) in files.iter().flat_map(|files| [&files.certificate, &files.key]) {
            context.update(&content.len().to_be_bytes());
            context.update(content);
        }
        let mut digest = Digest::default();
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }

    fn new(files: &[Files]) -> Result<Self, TlsError> {
        let provider = ring::default_provider();
        let pairs: Vec<Pair> =
            files.iter().map(|files| Pair::new(files, &provider)).collect::<Result<_, _>>()?;
        let mut by_name = HashMap::new();
        for (index, pair) in pairs.iter().enumerate() {
            for name in &pair.names {
                by_name.entry(name.clone()).or_insert(index);
            }
        }
        Ok(Self { digest: Self::digest(files), pairs, by_name })
    }

    /// The certificate in which a name stands, or one for all names of its domain.
    fn named(&self, name: &str) -> Option<usize> {
        let name = name.to_ascii_lowercase();
        let wild = || {
            let (_, domain) = name.split_once('.')?;
            self.by_name.get(&format!("*.{domain}"))
        };
        self.by_name.get(&name).or_else(wild).copied()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let set = self.0.load();
        let index = hello.server_name().and_then(|name| set.named(name)).unwrap_or(0);
        set.pairs.get(index).map(|pair| Arc::clone(&pair.key))
    }
}

/// Whether all pairs can be used.
pub fn try_certificates(tls: &Tls) -> Result<(), TlsError> {
    Certificates::load(tls).map(drop)
}

impl Certificates {
    /// Reads all pairs.
    pub(super) fn load(tls: &Tls) -> Result<Self, TlsError> {
        let set = Set::new(&Set::read(tls)?)?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(set))))
    }

    /// Speaks TLS with these.
    pub(super) fn acceptor(&self, tls: &Tls) -> Result<TlsAcceptor, TlsError> {
        let versions: &[_] = match tls.min_version {
            TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Resumption without a table of sessions, where it saves a round trip: in TLS 1.2. In 1.3 it
        // saves none, and its tickets come unasked while many a client is about to send: those
        // that read and write in two threads lose their request over it. No early data: it could
        // be replayed.
        config.ticketer = ring::Ticketer::new().map_err(TlsError::Setup)?;
        config.send_tls13_tickets = 0;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Whether there is more than one certificate to choose from.
    pub(super) fn is_several(&self) -> bool {
        self.0.load().pairs.len() > 1
    }

    /// Whether a request for `host` came over a connection that was made for a name with
    /// another certificate: then the client has mixed up two sites.
    pub(super) fn contradicts(&self, asked_for: &str, host: &str) -> bool {
        let set = self.0.load();
        let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let shown = set.named(asked_for).unwrap_or(0);
        set.named(host).is_some_and(|wanted| wanted != shown)
    }

    /// Looks at the files until `quieted`; `tls`: which they are at present.
    pub(super) async fn keep_fresh(
        self,
        tls: impl Fn() -> Option<Tls> + Send + Sync + 'static,
        metrics: Arc<Metrics>,
        mut quieted: watch::Receiver<bool>,
    ) {
        self.tell(&metrics);
        let tls = Arc::new(tls);
        let mut told = String::new();
        loop {
            tokio::select! {
                biased;
                _ = quieted.wait_for(|quieted| *quieted) => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let (certificates, tls) = (self.clone(), Arc::clone(&tls));
            let looked = tokio::task::spawn_blocking(move || match tls() {
                Some(tls) => certificates.look(&tls),
                None => Ok(false),
            });
            match looked.await {
                Ok(Ok(true)) => {
                    told.clear();
                    metrics.certificates_reloaded(true);
                    self.tell(&metrics);
                    tracing::info!("renewed certificates are in use");
                }
                Ok(Ok(false)) => {
                    // The files are again what they were.
                    if !std::mem::take(&mut told).is_empty() {
                        metrics.certificates_reloaded(true);
                    }
                }
                Ok(Err(error)) => {
                    let text = chain(&error);
                    // Once for each fault, not at every look.
                    if told != text {
                        metrics.certificates_reloaded(false);
                        tracing::error!(
                            error = text,
                            "changed certificates cannot be used, the last good ones stay"
                        );
                        told = text;
                    }
                }
                // The runtime ends.
                Err(_) => return,
            }
        }
    }

    /// Takes what has changed. Whether anything had.
    fn look(&self, tls: &Tls) -> Result<bool, TlsError> {
        let files = Set::read(tls)?;
        if Set::digest(&files) == self.0.load().digest {
            return Ok(false);
        }
        self.0.store(Arc::new(Set::new(&files)?));
        Ok(true)
    }

    fn tell(&self, metrics: &Metrics) {
        let set = self.0.load();
        let name = |pair: &Pair| pair.names.first().cloned().unwrap_or_default();
        metrics.certificates_expire(set.pairs.iter().map(|pair| (name(pair), pair.expires)));
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
