//! The connections to one server, or to the nodes of one Cluster.
//!
//! A few are shared by all writes and by all reads of history. Others bring live entries: in
//! exclusive delivery a capped pool with a connection for each subscriber, in shared delivery the
//! one that subscribes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use deadpool_redis::{
    Pool,
    redis::{
        AsyncConnectionConfig, Client, Cmd, ConnectionInfo, IntoConnectionInfo, Pipeline,
        ProtocolVersion, RedisFuture, RedisResult, Value,
        aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
        cluster::{ClusterClient, ClusterConfig},
        cluster_async::ClusterConnection,
        io::tcp::TcpSettings,
    },
};
use parking_lot::RwLock;

use super::{
    node_pools::NodePools,
    pool::{exclusive_pool, size, tuned},
    pubsub::PubSubClient,
};
use crate::config::{Delivery, Settings};

/// All connections to a server. Each is made when it is first needed.
pub(super) struct ServerConnections {
    /// Multiplexed rather than pooled: the commands of many requests share the pipeline of one
    /// connection. A pool would pay a `PING` for each checkout, and a slow reply would keep its
    /// connection from all other requests.
    fixed: Vec<RwLock<FixedConnection>>,
    connect: Box<dyn Fn() -> RedisResult<SharedConnection> + Send + Sync>,
    pub(super) live: DeliveryConnections,
    /// For the node's notifications.
    pub(super) notifications: PubSubClient,
}

/// One of the fixed connections. It is replaced when an answer does not come.
#[derive(Clone)]
pub(super) struct FixedConnection {
    pub(super) connection: SharedConnection,
    /// How many connections it has replaced.
    replaced: u64,
    /// How many commands came back, with an answer or with an error of the connection.
    answers: Arc<AtomicU64>,
}

impl FixedConnection {
    fn new(connection: SharedConnection, replaced: u64) -> Self {
        Self {
            connection,
            replaced,
            answers: Arc::default(),
        }
    }

    /// Counts a command that came back.
    pub(super) fn count_answer(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// How many commands have come back.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }
}

/// The connections that bring live entries.
pub(super) enum DeliveryConnections {
    Exclusive(Pool),
    /// Exclusive delivery on a Cluster.
    ExclusiveNodes(Box<NodePools>),
    Shared(Box<PubSubClient>),
}

/// A connection that many commands use at the same time. Cheap to clone.
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

impl ServerConnections {
    /// Connections to one server. Errors: the address can't be used.
    pub(super) fn to_server(info: &ConnectionInfo, settings: &Settings) -> RedisResult<Self> {
        // With RESP3 the manager notices a lost connection at once, not only when the next command
        // fails.
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
        let timeout = Some(settings.redis_timeout);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(timeout)
            .set_response_timeout(timeout);
        let subscriber = PubSubClient::Single(client, config);
        let live = match settings.delivery {
            Delivery::Exclusive => DeliveryConnections::Exclusive(exclusive_pool(info, settings)?),
            Delivery::Shared => DeliveryConnections::Shared(Box::new(subscriber.clone())),
        };
        Self::new(Box::new(connect), live, subscriber, settings)
    }

    /// Connections to a Cluster. `nodes` are the URLs of some of its nodes. Each fixed connection
    /// leads to every node. Errors: a URL can't be used.
    pub(super) fn to_cluster(nodes: &[String], settings: &Settings) -> RedisResult<Self> {
        let client = cluster(nodes, settings)?;
        let nodes_client = client.clone();
        let connect = move || {
            Ok(SharedConnection::Cluster(
                nodes_client.get_pending_async_connection_with_config(ClusterConfig::new()),
            ))
        };
        let subscriber = PubSubClient::Cluster(client);
        let live = match settings.delivery {
            Delivery::Exclusive => {
                DeliveryConnections::ExclusiveNodes(Box::new(NodePools::new(nodes, settings)?))
            }
            Delivery::Shared => DeliveryConnections::Shared(Box::new(subscriber.clone())),
        };
        Self::new(Box::new(connect), live, subscriber, settings)
    }

    /// The connections of exclusive delivery, and how many of them a subscriber holds.
    pub(super) fn exclusive_size(&self) -> (usize, usize) {
        match &self.live {
            DeliveryConnections::Exclusive(pool) => size(pool),
            DeliveryConnections::ExclusiveNodes(nodes) => nodes.size(),
            DeliveryConnections::Shared(_) => (0, 0),
        }
    }

    /// Forgets which node of a Cluster has the bucket, because that node does not answer.
    pub(super) fn forget(&self, bucket: &str) {
        if let DeliveryConnections::ExclusiveNodes(nodes) = &self.live {
            nodes.forget(bucket);
        }
    }

    fn new(
        connect: Box<dyn Fn() -> RedisResult<SharedConnection> + Send + Sync>,
        live: DeliveryConnections,
        notifications: PubSubClient,
        settings: &Settings,
    ) -> RedisResult<Self> {
        let fixed =
            (0..settings.redis_pool).map(|_| Ok(RwLock::new(FixedConnection::new(connect()?, 0))));
        Ok(Self {
            fixed: fixed.collect::<RedisResult<_>>()?,
            connect,
            live,
            notifications,
        })
    }

    /// One of the fixed connections: the same one for the same `index`, which may be any number.
    pub(super) fn fixed(&self, index: usize) -> FixedConnection {
        self.fixed[index % self.fixed.len()].read().clone()
    }

    /// Replaces a connection on which no answer came, unless another caller has done so. Where the
    /// network drops all packets, nothing else would end that connection for a quarter of an hour.
    pub(super) fn replace(&self, index: usize, silent: &FixedConnection) {
        let mut fixed = self.fixed[index % self.fixed.len()].write();
        if fixed.replaced == silent.replaced {
            match (self.connect)() {
                Ok(connection) => {
                    *fixed = FixedConnection::new(connection, silent.replaced + 1);
                }
                Err(error) => tracing::error!(%error, "a connection to Redis can't be replaced"),
            }
        }
    }
}

/// A client for the nodes of a Cluster. It does not retry: the library would send commands again
/// that may have been run.
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
