//! Connections: a few that are shared by all writes and reads of history, and a capped pool of those that one client each
//! holds for itself.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use deadpool_redis::{
    Connection, Manager, Pool, PoolConfig, Runtime, Timeouts,
    redis::{
        AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisResult, Value,
        aio::{ConnectionManager, ConnectionManagerConfig},
        io::tcp::TcpSettings,
    },
};

use crate::{config::Settings, store::StoreError};

/// The fixed connections. Multiplexed rather than pooled: commands of many requests share a connection's pipeline, where a
/// pool would pay a `PING` per checkout and keep a slow reply's connection from everyone else.
pub(super) struct Fixed {
    managers: Vec<ConnectionManager>,
    next: AtomicUsize,
}

/// Attempts of a command that found no connection. Only what was never sent is tried again.
const ATTEMPTS: u32 = 4;

fn connection_info(url: &str, protocol: ProtocolVersion) -> RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    let redis = info.redis_settings().clone().set_protocol(protocol);
    // An append is one small packet that somebody waits for.
    Ok(info.set_redis_settings(redis).set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

impl Fixed {
    pub(super) fn new(url: &str, settings: &Settings) -> RedisResult<Self> {
        // RESP3 makes the manager notice a lost connection at once, rather than by the next command's failure.
        let client = Client::open(connection_info(url, ProtocolVersion::RESP3)?)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(settings.redis_timeout))
            .set_response_timeout(Some(settings.redis_timeout))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_millis(200));
        let managers = (0..settings.redis_pool)
            .map(|_| ConnectionManager::new_lazy_with_config(client.clone(), config.clone()))
            .collect::<RedisResult<_>>()?;
        Ok(Self { managers, next: AtomicUsize::new(0) })
    }

    pub(super) fn len(&self) -> usize {
        self.managers.len()
    }

    /// One of the connections, in turn.
    pub(super) fn get(&self) -> ConnectionManager {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.managers.len();
        self.managers[turn].clone()
    }

    /// Runs a command on one of the connections. A manager whose last attempt to connect was refused fails the next command
    /// before it tries anew: such a command was never sent, so that it is tried again, a write too.
    pub(super) async fn run<F, Fut>(&self, command: F) -> Result<Value, StoreError>
    where
        F: Fn(ConnectionManager) -> Fut,
        Fut: Future<Output = RedisResult<Value>>,
    {
        // The same one each time: every manager has a refusal of its own to get rid of.
        let connection = self.get();
        let mut attempt = 1;
        loop {
            match command(connection.clone()).await {
                Err(error) if error.is_connection_refusal() && attempt < ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(50) * attempt).await;
                    attempt += 1;
                }
                answer => return answer.map_err(|error| StoreError::Unavailable(error.to_string())),
            }
        }
    }
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
pub(super) fn subscription(url: &str, settings: &Settings) -> RedisResult<(Client, AsyncConnectionConfig)> {
    let client = Client::open(connection_info(url, ProtocolVersion::RESP3)?)?;
    let timeout = Some(settings.redis_timeout);
    Ok((client, AsyncConnectionConfig::new().set_connection_timeout(timeout).set_response_timeout(timeout)))
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
