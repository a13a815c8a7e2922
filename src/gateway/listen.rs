//! Binds every socket before anything is served, so that a conflict is told at once.
//!
//! It must not know what is spoken over the sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

use super::health::Health;
use super::probes;
use crate::config::Settings;
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
        address: SocketAddr,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// No address for traffic.
    #[error("no address to listen on")]
    None,
    /// `server.tls` is set. Serving its port without TLS would betray whoever set it.
    #[error("server.tls is set, but TLS is not served yet")]
    Tls,
}

/// Bound sockets: connections queue up from here on, and are served by [`super::Gateway::run`].
#[derive(Debug)]
pub struct Listeners {
    pub(super) traffic: Vec<TcpListener>,
    telemetry: Option<TcpListener>,
    addresses: Vec<SocketAddr>,
    telemetry_address: Option<SocketAddr>,
}

impl Listeners {
    /// The traffic addresses in the order of `server.listen`, with real ports in place of 0.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
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
}

/// Binds `server.listen` and `server.telemetry_listen`. Port 0 takes a free port.
pub fn bind(settings: &Settings) -> Result<Listeners, BindError> {
    let server = &settings.server;
    if server.tls.is_some() {
        return Err(BindError::Tls);
    }
    if server.listen.is_empty() {
        return Err(BindError::None);
    }
    let mut traffic = Vec::with_capacity(server.listen.len());
    let mut addresses = Vec::with_capacity(server.listen.len());
    for address in &server.listen {
        // `[::]:80` also serves IPv4, unless `0.0.0.0:80` stands beside it.
        let beside_ipv4 = server
            .listen
            .iter()
            .any(|other| other.is_ipv4() && other.port() == address.port() && address.port() != 0);
        let (listener, bound) = bind_one(*address, beside_ipv4)?;
        traffic.push(listener);
        addresses.push(bound);
    }
    let (telemetry, telemetry_address) =
        server.telemetry_listen.map(|address| bind_one(address, false)).transpose()?.unzip();
    Ok(Listeners { traffic, telemetry, addresses, telemetry_address })
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
    bound().map_err(|source| BindError::Address { address, source })
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
