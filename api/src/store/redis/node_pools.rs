//! Exclusive connections to the nodes of a Cluster: a pool for each node.
//!
//! The nodes report which of them has a stream, by [redirection].
//!
//! [redirection]:
//! https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#moved-redirection

use std::collections::{BTreeMap, HashMap};

use deadpool_redis::{
    Pool,
    redis::{
        ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, RedisResult,
    },
};

use parking_lot::Mutex;

use super::pool::{exclusive_pool, size};
use crate::config::Settings;

/// The pools of all nodes that are known so far.
pub(super) struct NodePools {
    /// The user, protocol and TLS options of every node. Only the addresses differ.
    template: ConnectionInfo,
    settings: Settings,
    known: Mutex<Known>,
}

struct Known {
    /// By `host:port`.
    pools: BTreeMap<String, Pool>,
    /// The address of the node that has a bucket's slot, by the bucket's index key.
    homes: HashMap<String, String>,
    /// The node to ask next for a bucket whose node is not known.
    next: usize,
}

impl NodePools {
    /// Pools for the nodes at these URLs. Other nodes are added when a node redirects to them.
    ///
    /// Errors: a URL can't be used.
    pub(super) fn new(nodes: &[String], settings: &Settings) -> RedisResult<Self> {
        let infos = nodes
            .iter()
            .map(|url| url.as_str().into_connection_info())
            .collect::<RedisResult<Vec<_>>>()?;
        let template = infos.first().cloned().ok_or(RedisError::from((
            ErrorKind::InvalidClientConfig,
            "a Cluster without nodes",
        )))?;
        let pools = infos
            .iter()
            .map(|info| Ok((info.addr().to_string(), exclusive_pool(info, settings)?)));
        let known = Known {
            pools: pools.collect::<RedisResult<_>>()?,
            homes: HashMap::new(),
            next: 0,
        };
        Ok(Self {
            template,
            settings: settings.clone(),
            known: Mutex::new(known),
        })
    }

    /// The pool of the node that has the bucket. Where that is not known: the pool of any node,
    /// which then redirects.
    pub(super) fn pool(&self, bucket: &str) -> Option<Pool> {
        let mut known = self.known.lock();
        if let Some(pool) = known
            .homes
            .get(bucket)
            .and_then(|home| known.pools.get(home))
        {
            return Some(pool.clone());
        }
        known.next = (known.next + 1) % known.pools.len().max(1);
        known.pools.values().nth(known.next).cloned()
    }

    /// Forgets the bucket's node, because it does not answer. Another node may have the bucket now.
    pub(super) fn forget(&self, bucket: &str) {
        self.known.lock().homes.remove(bucket);
    }

    /// Learns from an error which node has the bucket. Returns whether that is known now.
    pub(super) fn learn(&self, bucket: &str, error: &RedisError) -> bool {
        // Each command of a pipeline is redirected by itself, all to the same node.
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
        let mut known = self.known.lock();
        known.pools.entry(address.to_owned()).or_insert(pool);
        known.homes.insert(bucket.to_owned(), address.to_owned());
        true
    }

    fn pool_at(&self, address: &str) -> Option<Pool> {
        if let Some(pool) = self.known.lock().pools.get(address) {
            return Some(pool.clone());
        }
        let (host, port) = address.rsplit_once(':')?;
        let (host, port) = (host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?);
        let address = match self.template.addr().clone() {
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
        exclusive_pool(&self.template.clone().set_addr(address), &self.settings).ok()
    }

    /// The connections to all nodes, and how many of them a subscriber holds.
    pub(super) fn size(&self) -> (usize, usize) {
        self.known
            .lock()
            .pools
            .values()
            .map(size)
            .fold((0, 0), |(all, used), (a, u)| (all + a, used + u))
    }
}
