//! Reads of many keys in one round trip. A key of another type fails its own read only.

use deadpool_redis::redis::{
    self, Cmd, Pipeline, RedisError, RedisResult, Value, aio::ConnectionLike,
};
use futures::future::try_join_all;

use super::primary::Primary;
use crate::{
    store::{StoreError, StoreFault},
    telemetry::metrics::Operation,
};

/// The code of the error of a command that meets a key of another type.
const WRONG_TYPE: &str = "WRONGTYPE";

/// Runs commands that read, each of one key. `None` in the place of a key of another type.
///
/// Errors: any other error of one of the commands.
pub(super) async fn run_all(
    primary: &Primary,
    operation: Operation,
    commands: Vec<Cmd>,
) -> Result<Vec<Option<Value>>, StoreError> {
    if primary.is_cluster() {
        // A pipeline goes to one node. These commands go to all nodes.
        let read = |command: Cmd| async move {
            match primary.query(operation, &command).await {
                Err(StoreError::Refused {
                    fault: StoreFault::WrongType,
                    ..
                }) => Ok(None),
                answer => answer.map(Some),
            }
        };
        return try_join_all(commands.into_iter().map(read)).await;
    }
    let mut pipeline = redis::pipe();
    pipeline.ignore_errors();
    for command in commands {
        pipeline.add_command(command);
    }
    let pipeline = &pipeline;
    primary
        .run(operation, |mut connection| async move {
            run_pipeline(pipeline, &mut connection).await
        })
        .await
}

/// Runs a pipeline of reads on one connection. `None` in the place of the reply for a key of
/// another type. The pipeline must ignore errors, so that the client library returns each command's
/// own.
///
/// Errors: any other error of one of the commands.
pub(super) async fn run_pipeline(
    pipeline: &Pipeline,
    connection: &mut impl ConnectionLike,
) -> RedisResult<Vec<Option<Value>>> {
    let reply = |reply| match reply {
        Value::ServerError(error) if error.code() == WRONG_TYPE => Ok(None),
        Value::ServerError(error) => Err(RedisError::from(error)),
        value => Ok(Some(value)),
    };
    let replies: Vec<Value> = pipeline.query_async(connection).await?;
    replies.into_iter().map(reply).collect()
}
