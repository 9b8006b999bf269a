//! Connections: a few that are shared by all writes and reads of history, and a capped pool of those that one client each
//! holds for itself. On a Cluster, where commands go by their keys, a shared one is a set of connections, one to each node.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use deadpool_redis::{
    Connection, Manager, Pool, PoolConfig, Runtime, Timeouts,
    redis::{
        AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, IntoConnectionInfo, Pipeline, ProtocolVersion, RedisError,
        RedisFuture, RedisResult, ServerErrorKind, Value,
        aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
        cluster::{ClusterClient, ClusterConfig},
        cluster_async::ClusterConnection,
        io::tcp::TcpSettings,
    },
};

use super::shared::Subscriber;
use crate::{
    config::Settings,
    metrics::{Operation, SharedMetrics},
    store::StoreError,
};

/// The fixed connections. Multiplexed rather than pooled: commands of many requests share a connection's pipeline, where a
/// pool would pay a `PING` per checkout and keep a slow reply's connection from everyone else.
pub(super) struct Fixed {
    connections: Vec<SharedConnection>,
    next: AtomicUsize,
    metrics: SharedMetrics,
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

    fn req_packed_commands<'a>(&'a mut self, pipeline: &'a Pipeline, offset: usize, count: usize) -> RedisFuture<'a, Vec<Value>> {
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

/// Attempts of a command that was not run. Only what certainly was not is tried again.
const ATTEMPTS: u32 = 5;

/// The wait before the second attempt, doubled with each.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Whether the command certainly was not run: it found no connection, or a server that had it said that it is another's to
/// run, or not now.
fn was_not_run(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain};
    match error.kind() {
        ErrorKind::Server(kind) => matches!(kind, Ask | BusyLoading | ClusterDown | MasterDown | Moved | ReadOnly | TryAgain),
        ErrorKind::ClusterConnectionNotFound => true,
        _ => error.is_connection_refusal(),
    }
}

fn connection_info(url: &str, protocol: ProtocolVersion) -> RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    let redis = info.redis_settings().clone().set_protocol(protocol);
    // An append is one small packet that somebody waits for.
    Ok(info.set_redis_settings(redis).set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

impl Fixed {
    pub(super) fn new(url: &str, settings: &Settings, metrics: SharedMetrics) -> RedisResult<Self> {
        // RESP3 makes the manager notice a lost connection at once, rather than by the next command's failure.
        let client = Client::open(connection_info(url, ProtocolVersion::RESP3)?)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(settings.redis_timeout))
            .set_response_timeout(Some(settings.redis_timeout))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_millis(200));
        let connections = (0..settings.redis_pool)
            .map(|_| ConnectionManager::new_lazy_with_config(client.clone(), config.clone()).map(SharedConnection::Single))
            .collect::<RedisResult<_>>()?;
        Ok(Self { connections, next: AtomicUsize::new(0), metrics })
    }

    /// The same to a Cluster; each of them is a connection to every node.
    pub(super) fn on_cluster(nodes: &[String], settings: &Settings, metrics: SharedMetrics) -> RedisResult<Self> {
        let client = cluster(nodes, settings)?;
        let connect = || SharedConnection::Cluster(client.get_pending_async_connection_with_config(ClusterConfig::new()));
        Ok(Self { connections: (0..settings.redis_pool).map(|_| connect()).collect(), next: AtomicUsize::new(0), metrics })
    }

    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.connections.first(), Some(SharedConnection::Cluster(_)))
    }

    /// One of the connections, in turn.
    pub(super) fn get(&self) -> SharedConnection {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        self.connections[turn].clone()
    }

    /// Runs a command on one of the connections. One that was not run is tried again, a write too: a manager whose last attempt
    /// to connect was refused fails the next command before it tries anew, and a Cluster's slots move.
    pub(super) async fn run<F, Fut>(&self, operation: Operation, command: F) -> Result<Value, StoreError>
    where
        F: Fn(SharedConnection) -> Fut,
        Fut: Future<Output = RedisResult<Value>>,
    {
        // The same one each time: every manager has a refusal of its own to get rid of.
        let connection = self.get();
        let (mut attempt, mut wait) = (1, FIRST_WAIT);
        loop {
            let begun = Instant::now();
            let answer = command(connection.clone()).await;
            self.metrics.redis.attempt(operation, begun.elapsed(), answer.is_err());
            match answer {
                Err(error) if attempt < ATTEMPTS && was_not_run(&error) => {
                    tokio::time::sleep(wait).await;
                    (attempt, wait) = (attempt + 1, wait * 2);
                }
                answer => return answer.map_err(|error| StoreError::Unavailable(error.to_string())),
            }
        }
    }
}

/// How the nodes of a Cluster are reached. Without retries of the library's own: it would send again what may have been run.
fn cluster(nodes: &[String], settings: &Settings) -> RedisResult<ClusterClient> {
    let nodes = nodes.iter().map(|url| connection_info(url, ProtocolVersion::RESP3)).collect::<RedisResult<Vec<_>>>()?;
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
pub(super) fn exclusive_pool(url: &str, settings: &Settings) -> RedisResult<Pool> {
    let info = connection_info(url, ProtocolVersion::RESP2)?;
    // No response timeout: waiting is what these are for. Whoever waits has a deadline of its own.
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(settings.redis_timeout)).set_response_timeout(None);
    let manager = Manager::new_with_config(info, config)?;
    let timeouts =
        Timeouts { wait: Some(settings.redis_timeout), create: Some(settings.redis_timeout), recycle: Some(settings.redis_timeout) };
    let pool = Pool::builder(manager)
        .config(PoolConfig { max_size: settings.max_clients, timeouts, ..PoolConfig::default() })
        .runtime(Runtime::Tokio1);
    pool.build().map_err(|error| (deadpool_redis::redis::ErrorKind::Client, "no pool", error.to_string()).into())
}

/// How the connection is made that all of a node's clients share. RESP3, so that messages and answers share it too.
pub(super) fn subscription(url: &str, settings: &Settings) -> RedisResult<Subscriber> {
    let client = Client::open(connection_info(url, ProtocolVersion::RESP3)?)?;
    let timeout = Some(settings.redis_timeout);
    Ok(Subscriber::Single(client, AsyncConnectionConfig::new().set_connection_timeout(timeout).set_response_timeout(timeout)))
}

/// The same for a Cluster.
pub(super) fn cluster_subscription(nodes: &[String], settings: &Settings) -> RedisResult<Subscriber> {
    Ok(Subscriber::Cluster(cluster(nodes, settings)?))
}

/// An exclusive connection. It goes back to the pool only when no command is pending on it: one that is dropped while it
/// waits is closed, so that nobody else is handed its answer, and Redis forgets the wait.
pub(super) struct Lease {
    connection: Option<Connection>,
    pending: bool,
}

impl Lease {
    pub(super) async fn take(pool: &Pool) -> Result<Self, StoreError> {
        let connection = pool.get().await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { connection: Some(connection), pending: false })
    }

    /// Runs a pipeline and returns its replies. After an error the connection is not used again.
    pub(super) async fn run(&mut self, pipeline: &deadpool_redis::redis::Pipeline) -> Result<Vec<Value>, StoreError> {
        let Some(connection) = &mut self.connection else { return Err(StoreError::Unexpected("a lease without a connection")) };
        self.pending = true;
        let answer = pipeline.query_async::<Vec<Value>>(connection).await;
        self.pending = answer.is_err();
        answer.map_err(|error| StoreError::Unavailable(error.to_string()))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|_| self.pending) {
            drop(Connection::take(connection));
        }
    }
}
