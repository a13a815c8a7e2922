//! Binds every socket before anything is served, so that a conflict is told at once.
//!
//! It must not know what is spoken over the sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use listenfd::ListenFd;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::accept::Manner;
use super::health::Health;
use super::probes;
use super::socket::Listening;
use super::tls::{Certificates, TlsError};
use super::unix_socket::UnixSocket;
use crate::config::{ListenAddress, Listener, Settings};
use crate::telemetry::Metrics;

/// Connections that wait while all accept loops are busy; the kernel cuts it to its own limit.
const BACKLOG: i32 = 4096;

/// Why the sockets could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address is taken, not ours, or needs a right that we lack.
    #[error("cannot listen on {address}")]
    Address {
        /// The address as configured.
        address: ListenAddress,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// No address for traffic.
    #[error("no address to listen on")]
    None,
    /// systemd holds no such socket for this process.
    #[error("{0}: systemd handed over no such socket (LISTEN_FDS)")]
    NotInherited(ListenAddress),
    /// A certificate that cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// One bound socket for traffic, and how it is served.
pub(super) struct Door {
    pub(super) socket: Bound,
    pub(super) manner: Manner,
}

/// A bound socket that no runtime knows yet.
pub(super) enum Bound {
    Tcp(TcpListener),
    Unix(UnixSocket),
    /// Over a unix socket of systemd's, which is not ours to remove.
    Inherited(UnixListener),
}

/// Bound sockets: connections queue up from here on, and are served by [`super::Gateway::run`].
pub struct Listeners {
    pub(super) doors: Vec<Door>,
    pub(super) certificates: Option<Certificates>,
    telemetry: Option<TcpListener>,
    addresses: Vec<SocketAddr>,
    names: Vec<String>,
    telemetry_address: Option<SocketAddr>,
}

impl Listeners {
    /// The traffic addresses in the order of the settings, with real ports in place of 0.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What is listened on, for people: `https://127.0.0.1:8443`, `unix:/run/p.sock`.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The telemetry address, if there is one.
    #[must_use]
    pub fn telemetry(&self) -> Option<SocketAddr> {
        self.telemetry_address
    }

    /// Answers probes from the moment the future is polled until `stop`, also while nothing is
    /// served yet and after everything has been. `None` without a telemetry address.
    ///
    /// # Errors
    /// If the socket cannot be used in this runtime.
    pub fn probes(
        &mut self,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
        stop: watch::Receiver<bool>,
    ) -> io::Result<Option<impl Future<Output = ()> + Send + use<>>> {
        let Some(listener) = self.telemetry.take() else { return Ok(None) };
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(Some(probes::serve(listener, health, metrics, stop)))
    }

    fn add(&mut self, socket: Bound, listener: &Listener, acceptor: Option<&TlsAcceptor>) {
        let address = match &socket {
            Bound::Tcp(listener) => listener.local_addr().ok(),
            Bound::Unix(_) | Bound::Inherited(_) => None,
        };
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        self.names.push(match address {
            Some(address) => format!("{scheme}://{address}"),
            None => listener.address.to_string(),
        });
        self.addresses.extend(address);
        let proxies = listener.proxy_protocol.then(|| listener.proxy_protocol_from.clone().into());
        let manner = Manner { tls: acceptor.cloned(), h2c: listener.h2c, proxies };
        self.doors.push(Door { socket, manner });
    }
}

impl Bound {
    /// The same socket for the runtime that is entered. Whoever accepts first has the connection.
    pub(super) fn listen(&self) -> io::Result<Listening> {
        Ok(match self {
            Self::Tcp(listener) => {
                Listening::Tcp(tokio::net::TcpListener::from_std(listener.try_clone()?)?)
            }
            Self::Unix(socket) => {
                let listener = socket.listener().try_clone()?;
                Listening::Unix(tokio::net::UnixListener::from_std(listener)?)
            }
            Self::Inherited(listener) => {
                Listening::Unix(tokio::net::UnixListener::from_std(listener.try_clone()?)?)
            }
        })
    }
}

/// Reads the certificates and binds every listener and `server.telemetry_listen`. Port 0 takes a
/// free port.
pub fn bind(settings: &Settings) -> Result<Listeners, BindError> {
    let server = &settings.server;
    let (certificates, acceptor) = match &server.tls {
        Some(tls) => {
            let certificates = Certificates::load(tls)?;
            let acceptor = certificates.acceptor(tls)?;
            (Some(certificates), Some(acceptor))
        }
        None => (None, None),
    };
    let (telemetry, telemetry_address) =
        server.telemetry_listen.map(|address| bind_one(address, false)).transpose()?.unzip();
    let mut bound = Listeners {
        doors: Vec::new(),
        certificates,
        telemetry,
        addresses: Vec::new(),
        names: Vec::new(),
        telemetry_address,
    };
    let every: Vec<Listener> = server.every_listener().collect();
    let is_inherited = |one: &Listener| matches!(one.address, ListenAddress::Inherited(_));
    let mut inherited =
        if every.iter().any(is_inherited) { ListenFd::from_env() } else { ListenFd::empty() };
    for listener in &every {
        let socket = match &listener.address {
            ListenAddress::Tcp(address) => {
                // `[::]:80` also serves IPv4, unless `0.0.0.0:80` stands beside it.
                let beside_ipv4 = address.port() != 0
                    && server
                        .addresses()
                        .any(|other| other.is_ipv4() && other.port() == address.port());
                Bound::Tcp(bind_one(*address, beside_ipv4)?.0)
            }
            ListenAddress::Unix(path) => {
                Bound::Unix(UnixSocket::bind(path, listener.mode).map_err(|source| {
                    BindError::Address { address: listener.address.clone(), source }
                })?)
            }
            ListenAddress::Inherited(place) => inherit(&mut inherited, *place, &listener.address)?,
        };
        let acceptor = acceptor.as_ref().filter(|_| listener.speaks_tls(server));
        bound.add(socket, listener, acceptor);
    }
    if bound.doors.is_empty() { Err(BindError::None) } else { Ok(bound) }
}

/// A socket that systemd bound: TCP or unix, whichever it is.
fn inherit(
    inherited: &mut ListenFd,
    place: usize,
    address: &ListenAddress,
) -> Result<Bound, BindError> {
    let failed = |source| BindError::Address { address: address.clone(), source };
    if let Ok(Some(listener)) = inherited.take_tcp_listener(place) {
        listener.set_nonblocking(true).map_err(failed)?;
        return Ok(Bound::Tcp(listener));
    }
    match inherited.take_unix_listener(place) {
        Ok(Some(listener)) => {
            listener.set_nonblocking(true).map_err(failed)?;
            Ok(Bound::Inherited(listener))
        }
        Ok(None) => Err(BindError::NotInherited(address.clone())),
        Err(source) => Err(failed(source)),
    }
}

fn bind_one(address: SocketAddr, only_v6: bool) -> Result<(TcpListener, SocketAddr), BindError> {
    let bound = || -> io::Result<_> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restart must not wait for the connections of the one before.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(only_v6)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    bound().map_err(|source| BindError::Address { address: ListenAddress::Tcp(address), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_0_gives_a_port_and_a_second_bind_of_it_fails() {
        let (_listener, bound) = bind_one("127.0.0.1:0".parse().unwrap(), false).unwrap();
        assert_ne!(bound.port(), 0);
        let error = bind_one(bound, false).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot listen on {bound}"));
    }
}
