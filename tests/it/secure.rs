//! Clients that speak TLS and HTTP/2 to the gateway, for tests.
//!
//! [`tls`] is a connection whose certificate was checked; [`H2`] a whole client; [`Frames`] writes
//! frames that no client library would.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::raw::PATIENCE;

/// A file of the tests' own certificates.
pub(crate) fn file(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

/// How a client wants TLS.
pub(crate) struct Wish<'a> {
    pub(crate) name: &'a str,
    pub(crate) alpn: &'a [&'a [u8]],
    pub(crate) versions: &'a [&'static SupportedProtocolVersion],
}

impl Default for Wish<'_> {
    fn default() -> Self {
        Self { name: "localhost", alpn: &[], versions: rustls::ALL_VERSIONS }
    }
}

/// A handshake with a client that believes the tests' certificates.
pub(crate) async fn tls(to: SocketAddr, wish: Wish<'_>) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for name in ["localhost.crt", "other.crt", "renewed.crt"] {
        roots.add(CertificateDer::from_pem_file(file(name)).unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(wish.versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = wish.alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from(wish.name.to_owned()).unwrap();
    let socket = TcpStream::connect(to).await?;
    socket.set_nodelay(true)?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, socket);
    timeout(PATIENCE, connecting).await.expect("a handshake in time")
}

/// One request and its answer as text, over anything.
pub(crate) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    request: &str,
) -> String {
    timeout(PATIENCE, async {
        io.write_all(request.as_bytes()).await.unwrap();
        io.flush().await.unwrap();
        let mut all = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let read = io.read(&mut piece).await.unwrap_or(0);
            all.extend_from_slice(&piece[..read]);
            let text = String::from_utf8_lossy(&all).into_owned();
            let is_whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                let length = head.lines().find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
                });
                body.len() >= length.unwrap_or(usize::MAX)
            });
            if read == 0 || is_whole {
                return text;
            }
        }
    })
    .await
    .expect("an answer in time")
}

/// A client of HTTP/2.
pub(crate) struct H2 {
    sender: SendRequest<Bytes>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct H2Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl H2Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

impl H2 {
    /// Over TLS, as ALPN agrees.
    pub(crate) async fn secure(to: SocketAddr) -> Self {
        let stream =
            tls(to, Wish { alpn: &[b"h2", b"http/1.1"], ..Wish::default() }).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Self::over(stream).await
    }

    /// Without TLS, by prior knowledge.
    pub(crate) async fn plain(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect(to).await.unwrap()).await
    }

    async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(io: S) -> Self {
        let (sender, connection) =
            timeout(PATIENCE, h2::client::handshake(io)).await.unwrap().unwrap();
        tokio::spawn(connection);
        Self { sender }
    }

    /// One request, with a body if it is not empty.
    pub(crate) async fn ask(
        &self,
        request: Request<()>,
        body: &[u8],
    ) -> Result<H2Answer, h2::Error> {
        timeout(PATIENCE, async {
            let mut sender = self.sender.clone().ready().await?;
            let (answer, mut stream) = sender.send_request(request, body.is_empty())?;
            if !body.is_empty() {
                stream.send_data(Bytes::copy_from_slice(body), true)?;
            }
            let (parts, mut received) = answer.await?.into_parts();
            let mut whole = Vec::new();
            while let Some(piece) = received.data().await {
                let piece = piece?;
                received.flow_control().release_capacity(piece.len())?;
                whole.extend_from_slice(&piece);
            }
            let trailers = received.trailers().await?;
            Ok(H2Answer { status: parts.status, headers: parts.headers, body: whole, trailers })
        })
        .await
        .expect("an answer in time")
    }

    /// Asks for what does not end.
    pub(crate) async fn listen(&self, request: Request<()>) -> Pieces {
        let answer = timeout(PATIENCE, async {
            let mut sender = self.sender.clone().ready().await?;
            sender.send_request(request, true)?.0.await
        });
        Pieces(answer.await.expect("an answer in time").unwrap().into_body())
    }

    /// Opens a request and leaves it open.
    pub(crate) async fn open(&self, request: Request<()>) -> h2::SendStream<Bytes> {
        let mut sender = self.sender.clone().ready().await.unwrap();
        sender.send_request(request, false).unwrap().1
    }
}

/// A body, piece by piece.
pub(crate) struct Pieces(h2::RecvStream);

impl Pieces {
    /// The next piece; `None` at a proper end.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, h2::Error>> {
        let piece = timeout(PATIENCE, self.0.data()).await.expect("a piece in time")?;
        if let Ok(piece) = &piece {
            self.0.flow_control().release_capacity(piece.len()).unwrap();
        }
        Some(piece)
    }
}

/// Frames byte for byte, over an h2c listener.
pub(crate) struct Frames(TcpStream);

/// What was seen on the connection until a stream or the connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// An answer, and the first byte of its header block: 0x88 is `:status 200`.
    Answered(u8),
    /// `RST_STREAM` with this code.
    Reset(u32),
    /// GOAWAY with this code.
    Goaway(u32),
    Closed,
}

pub(crate) const HEADERS: u8 = 1;
pub(crate) const DATA: u8 = 0;
pub(crate) const PING: u8 = 6;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Header fields as HPACK literals that name nothing and change no table.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fn text(text: &str, to: &mut Vec<u8>) {
        let mut left = text.len();
        if left < 127 {
            to.push(u8::try_from(left).unwrap());
        } else {
            to.push(127);
            left -= 127;
            while left >= 128 {
                to.push(u8::try_from(left & 127).unwrap() | 128);
                left >>= 7;
            }
            to.push(u8::try_from(left).unwrap());
        }
        to.extend_from_slice(text.as_bytes());
    }
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(name, &mut block);
        text(value, &mut block);
    }
    block
}

impl Frames {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(to).await.unwrap();
        socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        socket.write_all(&frame(4, 0, 0, &[])).await.unwrap();
        Self(socket)
    }

    /// Sends frames; the other side may be gone already.
    pub(crate) async fn send(&mut self, frames: &[u8]) {
        let _ = timeout(PATIENCE, self.0.write_all(frames)).await.expect("taken in time");
    }

    /// Reads to the first end of anything.
    pub(crate) async fn end(&mut self) -> Ended {
        timeout(PATIENCE, async {
            loop {
                let mut head = [0; 9];
                if self.0.read_exact(&mut head).await.is_err() {
                    return Ended::Closed;
                }
                let length =
                    usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                let mut payload = vec![0; length];
                if self.0.read_exact(&mut payload).await.is_err() {
                    return Ended::Closed;
                }
                let number =
                    |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
                match head[3] {
                    HEADERS => return Ended::Answered(payload[0]),
                    3 => return Ended::Reset(number(0)),
                    7 => return Ended::Goaway(number(4)),
                    _ => {}
                }
            }
        })
        .await
        .expect("an end in time")
    }
}
