//! One connection that a subscriber has to itself while it waits for events.

use deadpool_redis::{
    Connection, PoolError,
    redis::{Pipeline, Value},
};

use crate::store::{
    StoreError,
    redis::{
        connections::{DeliveryConnections, ServerConnections},
        fan_out, fault,
    },
};

/// A connection of the exclusive pool. It goes back to the pool only when no command is pending on
/// it. One that is dropped while it waits is closed: no other caller receives its answer, and Redis
/// ends the wait.
pub(super) struct ExclusiveConnection {
    connection: Option<Connection>,
    is_pending: bool,
}

/// Why there is no answer on an exclusive connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// Another node has the stream. That node is known now, and the next connection leads to it.
    #[error("another node has the stream")]
    Elsewhere,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ExclusiveConnection {
    /// Takes a connection to the server that has this bucket. On a Cluster that may be another
    /// node, which then redirects to the right one.
    pub(super) async fn take(
        connections: &ServerConnections,
        bucket: &str,
    ) -> Result<Self, StoreError> {
        let pool = match &connections.live {
            DeliveryConnections::Exclusive(pool) => Some(pool.clone()),
            DeliveryConnections::ExclusiveNodes(nodes) => nodes.pool(bucket),
            DeliveryConnections::Shared(_) => None,
        };
        let pool = pool.ok_or(StoreError::Unexpected("no pool of exclusive connections"))?;
        let connection = pool.get().await.map_err(|error| {
            connections.forget(bucket);
            match &error {
                PoolError::Backend(error) => fault::from_redis(error),
                error => StoreError::Unavailable(error.to_string()),
            }
        })?;
        Ok(Self {
            connection: Some(connection),
            is_pending: false,
        })
    }

    /// Runs a pipeline of reads, as [`fan_out::run_pipeline`] does. After an error the connection
    /// is not used again.
    ///
    /// Not cancel safe: dropping the future closes the connection.
    pub(super) async fn run(
        &mut self,
        connections: &ServerConnections,
        bucket: &str,
        pipeline: &Pipeline,
    ) -> Result<Vec<Option<Value>>, ConnectionError> {
        let Some(connection) = &mut self.connection else {
            return Err(
                StoreError::Unexpected("an exclusive connection that was given back").into(),
            );
        };
        self.is_pending = true;
        let answer = fan_out::run_pipeline(pipeline, connection).await;
        self.is_pending = answer.is_err();
        answer.map_err(|error| match &connections.live {
            DeliveryConnections::ExclusiveNodes(nodes) if nodes.learn(bucket, &error) => {
                ConnectionError::Elsewhere
            }
            _ => fault::from_redis(&error).into(),
        })
    }
}

impl Drop for ExclusiveConnection {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|_| self.is_pending) {
            drop(Connection::take(connection));
        }
    }
}
