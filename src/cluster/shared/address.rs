//! Where Redis is, and how it is connected to: one server, Sentinel or Cluster.
//!
//! Every limit that the library leaves open or sets too wide is set here. It must not know
//! what is kept there.

use std::collections::VecDeque;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo as _, Pipeline, RedisError, RedisFuture, RedisResult, TlsCertificates,
    TlsMode, Value,
};

/// How long a half-dead connection may hold what was sent.
const USER_TIMEOUT: Duration = Duration::from_secs(2);

/// An address that makes no sense. The text of the address is in no message: it may hold a
/// password.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Nothing but hosts separated by commas is understood between `//` and `/`.
    #[error("redis.url names no server")]
    NoServer,
    /// Sentinel has to be told of whom to ask.
    #[error("redis.url names no master: write redis+sentinel://host:port/NAME")]
    NoMaster,
    /// The library did not understand it.
    #[error("redis.url cannot be used: {0}")]
    Refused(String),
}

/// Where Redis is.
#[derive(Clone)]
pub(super) enum Address {
    Single(ConnectionInfo),
    Sentinel { sentinels: Vec<ConnectionInfo>, master: String, database: i64 },
    Cluster { nodes: Vec<ConnectionInfo> },
}

/// Makes connections to an address.
pub(super) struct Dialer {
    kind: Kind,
    timeout: Duration,
}

enum Kind {
    Single(Box<Client>),
    // It remembers which of its sentinels answered, and wants to be changed for that.
    Sentinel(Box<SentinelClient>),
    Cluster(Box<Cluster>),
}

struct Cluster {
    client: ClusterClient,
    /// To listen, one node is enough; the first is tried first.
    nodes: VecDeque<Client>,
}

/// A connection to whichever kind. Clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Address {
    /// Reads `redis.url`.
    pub(super) fn parse(url: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = url.split_once("://").ok_or(AddressError::NoServer)?;
        let (scheme, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        if !matches!(kind, "sentinel" | "cluster") {
            return Ok(Self::Single(node(url)?));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), authority),
        };
        let nodes = hosts
            .split(',')
            .filter(|host| !host.is_empty())
            .map(|host| node(&format!("{scheme}://{user}{host}")))
            .collect::<Result<Vec<_>, _>>()?;
        if nodes.is_empty() {
            return Err(AddressError::NoServer);
        }
        if kind == "cluster" {
            return Ok(Self::Cluster { nodes });
        }
        let (master, database) = path.split_once('/').unwrap_or((path, "0"));
        if master.is_empty() {
            return Err(AddressError::NoMaster);
        }
        let database = database
            .parse()
            .map_err(|_| AddressError::Refused("the database is no number".to_owned()))?;
        Ok(Self::Sentinel { sentinels: nodes, master: master.to_owned(), database })
    }

    /// `timeout`: what one call may take. `ca`: certificates in PEM that take the place of the
    /// system's.
    pub(super) fn dialer(
        &self,
        timeout: Duration,
        ca: Option<&[u8]>,
    ) -> Result<Dialer, AddressError> {
        let trust =
            ca.map(|pem| TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) });
        let kind = match self {
            Self::Single(info) => {
                Kind::Single(Box::new(client(info, trust.as_ref()).map_err(refused)?))
            }
            Self::Sentinel { sentinels, master, database } => {
                let client = sentinel(sentinels, master, *database, trust.as_ref());
                Kind::Sentinel(Box::new(client.map_err(refused)?))
            }
            Self::Cluster { nodes } => {
                let each = nodes.iter().map(|info| client(info, trust.as_ref()));
                Kind::Cluster(Box::new(Cluster {
                    nodes: each.collect::<RedisResult<_>>().map_err(refused)?,
                    client: cluster(nodes, timeout, trust).map_err(refused)?,
                }))
            }
        };
        Ok(Dialer { kind, timeout })
    }
}

fn node(url: &str) -> Result<ConnectionInfo, AddressError> {
    let info = url.into_connection_info().map_err(refused)?;
    Ok(info.set_tcp_settings(tcp()))
}

fn client(info: &ConnectionInfo, trust: Option<&TlsCertificates>) -> RedisResult<Client> {
    match trust {
        Some(trust) if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) => {
            Client::build_with_tls(info.clone(), trust.clone())
        }
        _ => Client::open(info.clone()),
    }
}

fn tcp() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(USER_TIMEOUT);
    settings
}

/// Its detail may quote the address: the description alone does not.
#[expect(clippy::needless_pass_by_value, reason = "so that map_err can name it")]
fn refused(error: RedisError) -> AddressError {
    AddressError::Refused(error.category().to_owned())
}

/// User and password are those of the servers; the sentinels themselves are asked without.
fn sentinel(
    sentinels: &[ConnectionInfo],
    master: &str,
    database: i64,
    trust: Option<&TlsCertificates>,
) -> RedisResult<SentinelClient> {
    let addresses = sentinels.iter().map(|info| info.addr().clone());
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
        .set_client_to_redis_db(database)
        .set_client_to_redis_tcp_settings(tcp())
        .set_client_to_sentinel_tcp_settings(tcp());
    if let Some(info) = sentinels.first() {
        let settings = info.redis_settings();
        if let Some(user) = settings.username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = settings.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_tls_mode(TlsMode::Secure);
            if let Some(trust) = trust {
                builder = builder
                    .set_client_to_redis_certificates(trust.clone())
                    .set_client_to_sentinel_certificates(trust.clone());
            }
        }
    }
    builder.build()
}

/// By default one frozen node of several holds up all slots for longer than twelve seconds.
fn cluster(
    nodes: &[ConnectionInfo],
    timeout: Duration,
    trust: Option<TlsCertificates>,
) -> RedisResult<ClusterClient> {
    let mut builder = ClusterClient::builder(nodes.to_vec());
    if let Some(trust) = trust {
        builder = builder.certs(trust);
    }
    builder
        .retries(1)
        .min_retry_wait(10)
        .max_retry_wait(50)
        .connection_timeout(timeout.saturating_mul(4))
        .response_timeout(timeout.saturating_mul(2))
        .overall_response_timeout(Some(timeout.saturating_mul(2)))
        .tcp_settings(tcp())
        .build()
}

impl Dialer {
    /// Another one for the same single server. Sentinel and Cluster are asked by one only.
    pub(super) fn twin(&self) -> Option<Self> {
        match &self.kind {
            Kind::Single(client) => {
                Some(Self { kind: Kind::Single(client.clone()), timeout: self.timeout })
            }
            Kind::Sentinel(_) | Kind::Cluster(_) => None,
        }
    }

    /// A connection for calls. The caller bounds how long it takes.
    pub(super) async fn dial(&mut self) -> RedisResult<Connection> {
        // The caller's limit is the one that counts; this one is in its place if it is forgotten.
        let config =
            AsyncConnectionConfig::new().set_response_timeout(Some(self.timeout.saturating_mul(4)));
        match &mut self.kind {
            Kind::Single(client) => {
                let made = client.get_multiplexed_async_connection_with_config(&config).await;
                made.map(Connection::One)
            }
            Kind::Sentinel(client) => {
                let made = client.get_async_connection_with_config(&config).await;
                made.map(Connection::One)
            }
            Kind::Cluster(cluster) => {
                cluster.client.get_async_connection().await.map(Connection::Cluster)
            }
        }
    }

    /// A connection to listen on. The caller bounds how long it takes.
    pub(super) async fn listen(&mut self) -> RedisResult<PubSub> {
        match &mut self.kind {
            Kind::Single(client) => client.get_async_pubsub().await,
            // A plain PUBLISH reaches every node of a cluster, so any that answers will do.
            Kind::Cluster(cluster) => {
                let node = cluster.nodes.front().cloned();
                // Should this one fail, or not answer in time, the next is tried next.
                cluster.nodes.rotate_left(1);
                let node = node.ok_or(RedisError::from((ErrorKind::Io, "no node")))?;
                let connection = node.get_async_pubsub().await?;
                cluster.nodes.rotate_right(1);
                Ok(connection)
            }
            Kind::Sentinel(sentinel) => {
                let client = sentinel.async_get_client().await?;
                client.get_async_pubsub().await
            }
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(one) => one.req_packed_command(command),
            Self::Cluster(cluster) => cluster.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(one) => one.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(one) => one.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_address_is_read_with_its_user_and_password() {
        for url in ["redis://:p%40ss@h", "rediss://h:6380/2", "valkey://ada:secret@h:1/0"] {
            assert!(matches!(Address::parse(url), Ok(Address::Single(_))), "{url}");
        }
        let Ok(Address::Sentinel { sentinels, master, database }) =
            Address::parse("rediss+sentinel://ada:p%40ss@a:26379,b:26380/main/3")
        else {
            panic!("not read");
        };
        assert_eq!((sentinels.len(), master.as_str(), database), (2, "main", 3));
        let settings = sentinels[1].redis_settings();
        assert_eq!((settings.username(), settings.password()), (Some("ada"), Some("p@ss")));
        assert!(matches!(sentinels[1].addr(), ConnectionAddr::TcpTls { .. }));
        let Ok(Address::Cluster { nodes }) = Address::parse("redis+cluster://:secret@a:1,b:2")
        else {
            panic!("not read");
        };
        assert_eq!(nodes.len(), 2);
        assert_eq!(nodes[1].redis_settings().password(), Some("secret"));
    }

    #[test]
    fn every_address_can_be_dialled() {
        for url in ["redis://h", "rediss://h", "redis+sentinel://a/main", "redis+cluster://a,b"] {
            let address = Address::parse(url).unwrap();
            assert!(address.dialer(Duration::from_millis(50), None).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_fault_does_not_show_the_password() {
        for url in ["redis://:hunter2@", "redis+sentinel://:hunter2@a", "redis+cluster://:hunter2@"]
        {
            let fault = Address::parse(url).err().map(|fault| format!("{fault} {fault:?}"));
            assert!(fault.is_some_and(|fault| !fault.contains("hunter2")), "{url}");
        }
    }
}
