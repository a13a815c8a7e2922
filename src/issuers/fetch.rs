//! One GET, bounded in time and size: no redirect, no cookie, no second try.
//!
//! HTTPS by the authorities that this machine trusts; plain HTTP to this machine only. It must
//! not know what is fetched.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::dial::{Dialer, Stream, TrustError};

/// For connecting, asking and reading together.
const TIME: Duration = Duration::from_secs(5);

/// Key sets are some kilobytes.
const LARGEST: usize = 256 * 1024;

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No such address, or one that is not asked.
    #[error("{0:?} is no address of a key set")]
    Address(String),
    /// There is no authority by which anybody could prove who he is.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// It took too long.
    #[error("no answer within {TIME:?}")]
    Slow,
    /// The connection failed.
    #[error("the connection failed")]
    Connection(#[source] io::Error),
    /// The other side does not speak HTTP.
    #[error("the answer is no HTTP")]
    Http(#[source] hyper::Error),
    /// Another status than 200.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// Too large, or cut off.
    #[error("the answer is too large or cut off")]
    Body,
    /// It is no key set that can be used.
    #[error("{0}")]
    Set(String),
}

/// Asks others.
pub struct Fetcher {
    dialer: Dialer,
}

impl Fetcher {
    /// `needs_tls`: whether anybody will be asked by HTTPS.
    ///
    /// # Errors
    /// If so, and no authority is trusted here.
    pub fn new(needs_tls: bool) -> Result<Self, FetchError> {
        let dialer = if needs_tls { Dialer::secured(None)? } else { Dialer::plain() };
        Ok(Self { dialer })
    }

    /// The text at an address.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn get(&self, url: &str) -> Result<String, FetchError> {
        timeout(TIME, self.ask(url)).await.unwrap_or(Err(FetchError::Slow))
    }

    async fn ask(&self, url: &str) -> Result<String, FetchError> {
        let nowhere = || FetchError::Address(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| nowhere())?;
        let dialed = self.dialer.dial(&uri).await.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => nowhere(),
            _ => FetchError::Connection(error),
        })?;
        if uri.scheme_str() == Some("http") && !dialed.peer.ip().is_loopback() {
            return Err(nowhere());
        }
        converse(dialed.stream, &uri).await
    }
}

async fn converse(io: Box<dyn Stream>, uri: &Uri) -> Result<String, FetchError> {
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(io)).await;
    let (mut sender, connection) = shaken.map_err(FetchError::Http)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .header(header::USER_AGENT, concat!("portcullis/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Address(uri.to_string()))?;
    let asked = async {
        let answer = sender.send_request(request).await.map_err(FetchError::Http)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        let body = body.map_err(|_| FetchError::Body)?.to_bytes();
        String::from_utf8(body.to_vec()).map_err(|_| FetchError::Body)
    };
    tokio::pin!(asked);
    // The connection works only while it is polled, and ends with this call.
    tokio::select! {
        biased;
        answer = &mut asked => answer,
        ended = connection => match ended {
            Ok(()) => asked.await,
            Err(error) => Err(FetchError::Http(error)),
        },
    }
}
