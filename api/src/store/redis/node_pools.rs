//! Exclusive connections to the nodes of a Cluster: a pool for each node. Which of them has a
//! stream the nodes say themselves, by
//! [redirection](https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#moved-redirection).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use deadpool_redis::{
    Pool,
    redis::{
        ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, RedisResult,
    },
};

use super::connections::exclusive_pool;
use crate::config::Settings;

/// The pools of all nodes that have been met.
pub(super) struct NodePools {
    /// How a node is spoken to, but for its address.
    like: ConnectionInfo,
    settings: Settings,
    known: Mutex<Known>,
}

struct Known {
    /// By `host:port`.
    pools: BTreeMap<String, Pool>,
    /// The node that has a bucket's slot, by the bucket's index key.
    homes: HashMap<String, String>,
    /// Whom to ask next for a home that is not known.
    turn: usize,
}

impl NodePools {
    /// Begins with these nodes.
    ///
    /// Errors: a URL can't be used.
    pub(super) fn new(nodes: &[String], settings: &Settings) -> RedisResult<Self> {
        let infos = nodes
            .iter()
            .map(|url| url.as_str().into_connection_info())
            .collect::<RedisResult<Vec<_>>>()?;
        let like = infos.first().cloned().ok_or(RedisError::from((
            ErrorKind::InvalidClientConfig,
            "a Cluster without nodes",
        )))?;
        let pools = infos
            .iter()
            .map(|info| Ok((info.addr().to_string(), exclusive_pool(info, settings)?)));
        let known = Known {
            pools: pools.collect::<RedisResult<_>>()?,
            homes: HashMap::new(),
            turn: 0,
        };
        Ok(Self {
            like,
            settings: settings.clone(),
            known: Mutex::new(known),
        })
    }

    /// No code panics while it holds the lock, so that what is behind a poisoned one is whole.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pool of the node that has the bucket, or of one that will say which it is.
    pub(super) fn pool(&self, bucket: &str) -> Option<Pool> {
        let mut known = self.known();
        if let Some(pool) = known
            .homes
            .get(bucket)
            .and_then(|home| known.pools.get(home))
        {
            return Some(pool.clone());
        }
        known.turn = (known.turn + 1) % known.pools.len().max(1);
        known.pools.values().nth(known.turn).cloned()
    }

    /// The node does not answer: another may have the bucket by now, and will be asked.
    pub(super) fn forget(&self, bucket: &str) {
        self.known().homes.remove(bucket);
    }

    /// Learns from what went wrong with the bucket. Whether it is now known where it is.
    pub(super) fn learn(&self, bucket: &str, error: &RedisError) -> bool {
        // Of a pipeline each command is redirected by itself, all to the same node.
        let of_pipeline = error
            .clone()
            .into_server_errors()
            .and_then(|errors| errors.first().map(|(_, error)| error.clone()));
        let error = of_pipeline.map_or_else(|| error.clone(), RedisError::from);
        let Some((address, pool)) = error
            .redirect_node()
            .and_then(|(address, _)| Some((address, self.pool_at(address)?)))
        else {
            self.forget(bucket);
            return false;
        };
        let mut known = self.known();
        known.pools.entry(address.to_owned()).or_insert(pool);
        known.homes.insert(bucket.to_owned(), address.to_owned());
        true
    }

    fn pool_at(&self, address: &str) -> Option<Pool> {
        if let Some(pool) = self.known().pools.get(address) {
            return Some(pool.clone());
        }
        let (host, port) = address.rsplit_once(':')?;
        let (host, port) = (host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?);
        let address = match self.like.addr().clone() {
            ConnectionAddr::TcpTls {
                insecure,
                tls_params,
                ..
            } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure,
                tls_params,
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        exclusive_pool(&self.like.clone().set_addr(address), &self.settings).ok()
    }

    /// Connections, and those of them that a client holds.
    pub(super) fn size(&self) -> (usize, usize) {
        self.known()
            .pools
            .values()
            .map(super::connections::size)
            .fold((0, 0), |(all, used), (a, u)| (all + a, used + u))
    }
}
