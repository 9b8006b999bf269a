//! The connection on which a node hears: to the one server, or to all nodes of a Cluster, where
//! channels are sharded: a message goes only to the node that has the channel's slot.

use std::collections::{HashMap, HashSet};

use deadpool_redis::redis::{
    self, AsyncConnectionConfig, Client, PushInfo, RedisResult,
    aio::MultiplexedConnection,
    cluster::{ClusterClient, ClusterConfig},
    cluster_async::ClusterConnection,
};
use futures::future::join_all;

/// How a [`PubSubConnection`] is made.
pub(in super::super) enum PubSubClient {
    /// To the one server.
    Single(Client, AsyncConnectionConfig),
    /// To a Cluster.
    Cluster(ClusterClient),
}

/// A connection that hears.
pub(super) enum PubSubConnection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl PubSubClient {
    /// Connects. What comes without being asked for, messages and the loss of the connection, goes
    /// to `hear`.
    pub(super) async fn connect(
        &self,
        hear: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<PubSubConnection> {
        let hear = move |push| {
            hear(push);
            Ok::<_, std::convert::Infallible>(())
        };
        Ok(match self {
            Self::Single(client, config) => {
                let config = config.clone().set_push_sender(hear);
                PubSubConnection::Single(
                    client
                        .get_multiplexed_async_connection_with_config(&config)
                        .await?,
                )
            }
            Self::Cluster(nodes) => {
                let config = ClusterConfig::new().set_push_sender(hear);
                PubSubConnection::Cluster(nodes.get_async_connection_with_config(config).await?)
            }
        })
    }
}

impl PubSubConnection {
    /// Subscribes, and returns when Redis has done it: it answers in the order of asking. Channels
    /// that it did not subscribe to, as their part of a Cluster is down, are returned.
    pub(super) async fn subscribe(&mut self, channels: &[String]) -> RedisResult<HashSet<String>> {
        match self {
            Self::Single(connection) => {
                connection.subscribe(channels).await?;
                redis::cmd("PING").exec_async(connection).await?;
                Ok(HashSet::new())
            }
            Self::Cluster(connection) => {
                let each = by_hash_tag(channels).into_values().map(|channels| {
                    let mut connection = connection.clone();
                    async move {
                        let subscribed = async {
                            connection.ssubscribe(&channels).await?;
                            // A read of the same slot goes the same way.
                            redis::cmd("EXISTS")
                                .arg(channels.first())
                                .exec_async(&mut connection)
                                .await
                        };
                        match subscribed.await {
                            Ok(()) => Vec::new(),
                            Err(error) => {
                                tracing::debug!(%error, "some channels can't be subscribed to");
                                channels
                            }
                        }
                    }
                });
                Ok(join_all(each)
                    .await
                    .into_iter()
                    .flatten()
                    .cloned()
                    .collect())
            }
        }
    }

    /// Lets go of channels.
    pub(super) async fn unsubscribe(&mut self, channels: &[String]) -> RedisResult<()> {
        match self {
            Self::Single(connection) => connection.unsubscribe(channels).await,
            Self::Cluster(connection) => {
                for channels in by_hash_tag(channels).values() {
                    connection.sunsubscribe(channels).await?;
                }
                Ok(())
            }
        }
    }
}

/// Channels of one slot together, as one command takes no others.
fn by_hash_tag(channels: &[String]) -> HashMap<&str, Vec<&String>> {
    let mut groups = HashMap::<_, Vec<_>>::new();
    for channel in channels {
        let tag = channel.split(['{', '}']).nth(1).unwrap_or(channel);
        groups.entry(tag).or_default().push(channel);
    }
    groups
}
