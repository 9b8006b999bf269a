//! The connection on which a node receives published messages.
//!
//! It leads to the one server, or to all nodes of a Cluster. On a Cluster the channels are sharded:
//! a message goes only to the node that has the channel's slot.

use std::collections::{HashMap, HashSet};

use deadpool_redis::redis::{
    self, AsyncConnectionConfig, Client, PushInfo, RedisResult,
    aio::MultiplexedConnection,
    cluster::{ClusterClient, ClusterConfig},
    cluster_async::ClusterConnection,
};
use futures::future::join_all;

/// Makes a [`PubSubConnection`].
#[derive(Clone)]
pub(super) enum PubSubClient {
    /// To the one server.
    Single(Client, AsyncConnectionConfig),
    /// To a Cluster.
    Cluster(ClusterClient),
}

/// A connection that receives messages.
pub(super) enum PubSubConnection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl PubSubClient {
    /// Connects. Each push of the server goes to `receive`: messages, and the loss of the
    /// connection.
    pub(super) async fn connect(
        &self,
        receive: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<PubSubConnection> {
        let receive = move |push| {
            receive(push);
            Ok::<_, std::convert::Infallible>(())
        };
        Ok(match self {
            Self::Single(client, config) => {
                let config = config.clone().set_push_sender(receive);
                PubSubConnection::Single(
                    client
                        .get_multiplexed_async_connection_with_config(&config)
                        .await?,
                )
            }
            Self::Cluster(nodes) => {
                let config = ClusterConfig::new().set_push_sender(receive);
                PubSubConnection::Cluster(nodes.get_async_connection_with_config(config).await?)
            }
        })
    }
}

impl PubSubConnection {
    /// Subscribes to the channels, and returns when Redis has done so. Returns the channels that
    /// failed, because their part of a Cluster is down.
    pub(super) async fn subscribe(&mut self, channels: &[String]) -> RedisResult<HashSet<String>> {
        match self {
            Self::Single(connection) => {
                connection.subscribe(channels).await?;
                // Redis answers in the order of the commands: after this one it has subscribed.
                redis::cmd("PING").exec_async(connection).await?;
                Ok(HashSet::new())
            }
            Self::Cluster(connection) => {
                let each = by_hash_tag(channels).into_values().map(|channels| {
                    let mut connection = connection.clone();
                    async move {
                        let subscribed = async {
                            connection.ssubscribe(&channels).await?;
                            // A read of the same slot goes to the same node, after the
                            // subscription.
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

    /// Unsubscribes from the channels.
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

/// The part of a channel's name that decides its slot.
pub(super) fn hash_tag(channel: &str) -> &str {
    channel.split(['{', '}']).nth(1).unwrap_or(channel)
}

/// Groups channels by slot, because one command takes channels of one slot only.
fn by_hash_tag(channels: &[String]) -> HashMap<&str, Vec<&String>> {
    let mut groups = HashMap::<_, Vec<_>>::new();
    for channel in channels {
        groups.entry(hash_tag(channel)).or_default().push(channel);
    }
    groups
}
