//! One connection that a subscriber has to itself while it waits for events.

use deadpool_redis::{
    Connection, PoolError,
    redis::{Pipeline, Value},
};

use super::{
    connections::{DeliveryConnections, ServerConnections},
    fan_out, fault,
};
use crate::store::StoreError;

/// An exclusive connection. It goes back to the pool only when no command is pending on it. A lease
/// that is dropped while it waits closes the connection: no other caller receives its answer, and
/// Redis ends the wait.
pub(super) struct Lease {
    connection: Option<Connection>,
    is_pending: bool,
}

/// Why there is no answer on a lease.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeaseError {
    /// Another node has the stream. That node is known now, and the next lease leads to it.
    #[error("another node has the stream")]
    Elsewhere,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Lease {
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
    /// Not cancel safe: dropping the future makes the lease close its connection.
    pub(super) async fn run(
        &mut self,
        connections: &ServerConnections,
        bucket: &str,
        pipeline: &Pipeline,
    ) -> Result<Vec<Option<Value>>, LeaseError> {
        let Some(connection) = &mut self.connection else {
            return Err(StoreError::Unexpected("a lease without a connection").into());
        };
        self.is_pending = true;
        let answer = fan_out::run_pipeline(pipeline, connection).await;
        self.is_pending = answer.is_err();
        answer.map_err(|error| match &connections.live {
            DeliveryConnections::ExclusiveNodes(nodes) if nodes.learn(bucket, &error) => {
                LeaseError::Elsewhere
            }
            _ => fault::from_redis(&error).into(),
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|_| self.is_pending) {
            drop(Connection::take(connection));
        }
    }
}
