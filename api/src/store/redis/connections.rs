//! Connections to one server, or to the nodes of one Cluster: a few that are shared by all writes
//! and reads of history, and a capped pool of those that one client each holds for itself, or the
//! means to subscribe.

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use deadpool_redis::{
    Connection, Manager, Pool, PoolConfig, PoolError, Runtime, Timeouts,
    redis::{
        AsyncConnectionConfig, Client, Cmd, ConnectionInfo, IntoConnectionInfo, Pipeline,
        ProtocolVersion, RedisFuture, RedisResult, Value,
        aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
        cluster::{ClusterClient, ClusterConfig},
        cluster_async::ClusterConnection,
        io::tcp::TcpSettings,
    },
};

use super::{fault, node_pools::NodePools, replies, shared::pubsub::PubSubClient};
use crate::{
    config::{Delivery, Settings},
    store::StoreError,
};

/// All connections to a server, none of which is made before it is needed.
pub(super) struct ServerConnections {
    /// Multiplexed rather than pooled: commands of many requests share a connection's pipeline,
    /// where a pool would pay a `PING` per checkout and keep a slow reply's connection from
    /// everyone else.
    fixed: Vec<RwLock<FixedConnection>>,
    connect: Box<dyn Fn() -> RedisResult<SharedConnection> + Send + Sync>,
    pub(super) live: DeliveryConnections,
}

/// One of the fixed connections, which is made anew when it is silent.
#[derive(Clone)]
pub(super) struct FixedConnection {
    pub(super) connection: SharedConnection,
    /// How many were there before it.
    generation: u64,
}

/// The connections by which live entries come.
pub(super) enum DeliveryConnections {
    Exclusive(Pool),
    /// The same on a Cluster.
    ExclusiveNodes(Box<NodePools>),
    Shared(Box<PubSubClient>),
}

/// A connection that many commands share at a time. Cheap to clone.
#[derive(Clone)]
pub(super) enum SharedConnection {
    /// To the one server.
    Single(ConnectionManager),
    /// To every node of a Cluster.
    Cluster(ClusterConnection),
}

impl ConnectionLike for SharedConnection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// How a server is spoken to: an append is one small packet that somebody waits for.
fn tuned(info: &ConnectionInfo, protocol: ProtocolVersion) -> ConnectionInfo {
    let redis = info.redis_settings().clone().set_protocol(protocol);
    info.clone()
        .set_redis_settings(redis)
        .set_tcp_settings(TcpSettings::default().set_nodelay(true))
}

impl ServerConnections {
    /// To one server.
    pub(super) fn to_server(info: &ConnectionInfo, settings: &Settings) -> RedisResult<Self> {
        // RESP3 makes the manager notice a lost connection at once, rather than by the next
        // command's failure.
        let client = Client::open(tuned(info, ProtocolVersion::RESP3))?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(settings.redis_timeout))
            .set_response_timeout(Some(settings.redis_timeout))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_millis(200));
        let manager = client.clone();
        let connect = move || {
            ConnectionManager::new_lazy_with_config(manager.clone(), config.clone())
                .map(SharedConnection::Single)
        };
        let live = match settings.delivery {
            Delivery::Exclusive => DeliveryConnections::Exclusive(exclusive_pool(info, settings)?),
            Delivery::Shared => {
                let timeout = Some(settings.redis_timeout);
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(timeout)
                    .set_response_timeout(timeout);
                DeliveryConnections::Shared(Box::new(PubSubClient::Single(client, config)))
            }
        };
        Self::new(Box::new(connect), live, settings)
    }

    /// To a Cluster, of which these are some of the nodes; each fixed connection is one to every
    /// node.
    pub(super) fn to_cluster(nodes: &[String], settings: &Settings) -> RedisResult<Self> {
        let client = cluster(nodes, settings)?;
        let nodes_client = client.clone();
        let connect = move || {
            Ok(SharedConnection::Cluster(
                nodes_client.get_pending_async_connection_with_config(ClusterConfig::new()),
            ))
        };
        let live = match settings.delivery {
            Delivery::Exclusive => {
                DeliveryConnections::ExclusiveNodes(Box::new(NodePools::new(nodes, settings)?))
            }
            Delivery::Shared => {
                DeliveryConnections::Shared(Box::new(PubSubClient::Cluster(client)))
            }
        };
        Self::new(Box::new(connect), live, settings)
    }

    /// Connections of exclusive delivery, and those of them that a client holds.
    pub(super) fn exclusive_size(&self) -> (usize, usize) {
        match &self.live {
            DeliveryConnections::Exclusive(pool) => size(pool),
            DeliveryConnections::ExclusiveNodes(nodes) => nodes.size(),
            DeliveryConnections::Shared(_) => (0, 0),
        }
    }

    /// No longer knows which node of a Cluster has the bucket: the one that did does not answer.
    pub(super) fn forget(&self, bucket: &str) {
        if let DeliveryConnections::ExclusiveNodes(nodes) = &self.live {
            nodes.forget(bucket);
        }
    }

    fn new(
        connect: Box<dyn Fn() -> RedisResult<SharedConnection> + Send + Sync>,
        live: DeliveryConnections,
        settings: &Settings,
    ) -> RedisResult<Self> {
        let fixed = (0..settings.redis_pool).map(|_| {
            Ok(RwLock::new(FixedConnection {
                connection: connect()?,
                generation: 0,
            }))
        });
        Ok(Self {
            fixed: fixed.collect::<RedisResult<_>>()?,
            connect,
            live,
        })
    }

    /// One of the fixed connections: the same for the same turn.
    pub(super) fn fixed(&self, turn: usize) -> FixedConnection {
        // No code panics while it holds the lock, so that what is behind a poisoned one is whole.
        self.fixed[turn % self.fixed.len()]
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Makes a connection anew on which an answer did not come, unless somebody has done so. Where
    /// the network swallows what is sent, nothing else would end it for a quarter of an hour.
    pub(super) fn renew(&self, turn: usize, silent: &FixedConnection) {
        let mut fixed = self.fixed[turn % self.fixed.len()]
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if fixed.generation == silent.generation {
            match (self.connect)() {
                Ok(connection) => {
                    *fixed = FixedConnection {
                        connection,
                        generation: silent.generation + 1,
                    }
                }
                Err(error) => tracing::error!(%error, "a connection can't be made anew"),
            }
        }
    }
}

/// How the nodes of a Cluster are reached. Without retries of the library's own: it would send
/// again what may have been run.
fn cluster(nodes: &[String], settings: &Settings) -> RedisResult<ClusterClient> {
    let nodes = nodes.iter().map(|url| {
        Ok(tuned(
            &url.as_str().into_connection_info()?,
            ProtocolVersion::RESP3,
        ))
    });
    let nodes = nodes.collect::<RedisResult<Vec<_>>>()?;
    ClusterClient::builder(nodes)
        .use_protocol(ProtocolVersion::RESP3)
        .tcp_settings(TcpSettings::default().set_nodelay(true))
        .connection_timeout(settings.redis_timeout)
        .response_timeout(settings.redis_timeout)
        .overall_response_timeout(Some(settings.redis_timeout))
        .retries(0)
        .build()
}

/// The capped pool of connections for `XREAD BLOCK`.
pub(super) fn exclusive_pool(info: &ConnectionInfo, settings: &Settings) -> RedisResult<Pool> {
    // No response timeout: waiting is what these are for. Whoever waits has a deadline of its own.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(settings.redis_timeout))
        .set_response_timeout(None);
    let manager = Manager::new_with_config(tuned(info, ProtocolVersion::RESP2), config)?;
    let timeouts = Timeouts {
        wait: Some(settings.redis_timeout),
        create: Some(settings.redis_timeout),
        recycle: Some(settings.redis_timeout),
    };
    let pool = Pool::builder(manager)
        .config(PoolConfig {
            max_size: settings.max_clients,
            timeouts,
            ..PoolConfig::default()
        })
        .runtime(Runtime::Tokio1);
    pool.build().map_err(|error| {
        (
            deadpool_redis::redis::ErrorKind::Client,
            "no pool",
            error.to_string(),
        )
            .into()
    })
}

/// Connections of a pool, and those of them that are in use.
pub(super) fn size(pool: &Pool) -> (usize, usize) {
    let status = pool.status();
    (status.size, status.size.saturating_sub(status.available))
}

/// An exclusive connection. It goes back to the pool only when no command is pending on it: one
/// that is dropped while it waits is closed, so that nobody else is handed its answer, and Redis
/// forgets the wait.
pub(super) struct Lease {
    connection: Option<Connection>,
    pending: bool,
}

/// Why there is no answer on a lease.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeaseError {
    /// Another node has the stream, which is known now: a lease that is taken again leads to it.
    #[error("another node has the stream")]
    Elsewhere,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Lease {
    /// Takes a connection to the server that has this bucket, or to one that will say which it is.
    pub(super) async fn take(link: &ServerConnections, bucket: &str) -> Result<Self, StoreError> {
        let pool = match &link.live {
            DeliveryConnections::Exclusive(pool) => Some(pool.clone()),
            DeliveryConnections::ExclusiveNodes(nodes) => nodes.pool(bucket),
            DeliveryConnections::Shared(_) => None,
        };
        let pool = pool.ok_or(StoreError::Unexpected("no pool of exclusive connections"))?;
        let connection = pool.get().await.map_err(|error| {
            link.forget(bucket);
            match &error {
                PoolError::Backend(error) => fault::failed(error),
                error => StoreError::Unavailable(error.to_string()),
            }
        })?;
        Ok(Self {
            connection: Some(connection),
            pending: false,
        })
    }

    /// Runs a pipeline that ignores errors, and returns its replies, none for a key of another
    /// type. After an error the connection is not used again.
    pub(super) async fn run(
        &mut self,
        link: &ServerConnections,
        bucket: &str,
        pipeline: &Pipeline,
    ) -> Result<Vec<Option<Value>>, LeaseError> {
        let Some(connection) = &mut self.connection else {
            return Err(StoreError::Unexpected("a lease without a connection").into());
        };
        self.pending = true;
        let answer = pipeline
            .query_async::<Vec<Value>>(connection)
            .await
            .and_then(replies::of_right_type);
        self.pending = answer.is_err();
        answer.map_err(|error| match &link.live {
            DeliveryConnections::ExclusiveNodes(nodes) if nodes.learn(bucket, &error) => {
                LeaseError::Elsewhere
            }
            _ => fault::failed(&error).into(),
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|_| self.pending) {
            drop(Connection::take(connection));
        }
    }
}
