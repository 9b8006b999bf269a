//! A capped pool of connections to one server, for exclusive delivery.

use deadpool_redis::{
    Manager, Pool, PoolConfig, Runtime, Timeouts,
    redis::{
        AsyncConnectionConfig, ConnectionInfo, ErrorKind, ProtocolVersion, RedisResult,
        io::tcp::TcpSettings,
    },
};

use crate::config::Settings;

/// The address with the protocol and TCP options that every connection of the broker uses. Nagle's
/// algorithm is off: an append is one small packet, and a caller waits for its answer.
pub(super) fn tuned(info: &ConnectionInfo, protocol: ProtocolVersion) -> ConnectionInfo {
    let redis = info.redis_settings().clone().set_protocol(protocol);
    info.clone()
        .set_redis_settings(redis)
        .set_tcp_settings(TcpSettings::default().set_nodelay(true))
}

/// A pool of connections for `XREAD BLOCK`, at most one for each subscriber that the node admits.
///
/// Errors: the address can't be used.
pub(super) fn exclusive_pool(info: &ConnectionInfo, settings: &Settings) -> RedisResult<Pool> {
    // No response timeout: these connections exist to wait. Each caller sets its own deadline.
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
    pool.build()
        .map_err(|error| (ErrorKind::Client, "no pool", error.to_string()).into())
}

/// The connections of a pool, and how many of them are in use.
pub(super) fn size(pool: &Pool) -> (usize, usize) {
    let status = pool.status();
    (status.size, status.size.saturating_sub(status.available))
}
