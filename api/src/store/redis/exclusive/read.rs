//! One `XREAD BLOCK`, and the state of the streams after it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use deadpool_redis::redis::{self, Value};
use tokio::time::timeout;

use super::connection::{ConnectionError, ExclusiveConnection};
use crate::{
    store::{
        PAGE_BYTES, PAGE_ENTRIES, StoreError,
        redis::{
            connections::ServerConnections,
            keys::Keys,
            replies::{self, Head},
        },
    },
    stream::{Entry, EventId},
};

/// How long one `XREAD` blocks at the most. It is finite, so that the deletion of a stream is
/// noticed.
const BLOCK_MS: u64 = 5_000;

/// How often in a row a read may be redirected to another node of a Cluster.
const REDIRECTIONS: u32 = 3;

/// A stream, and the cursor to read after.
pub(super) struct ReadFrom {
    pub(super) number: usize,
    pub(super) keys: Arc<Keys>,
    pub(super) cursor: Option<EventId>,
    pub(super) entry_bytes: usize,
}

/// The result of one `XREAD BLOCK`, and its connection.
pub(super) struct ReadResult {
    pub(super) connection: ExclusiveConnection,
    pub(super) streams: Vec<StreamReply>,
}

/// The result for one stream.
pub(super) struct StreamReply {
    pub(super) number: usize,
    pub(super) entries: Vec<Entry>,
    /// The stream's head after the read. A generation never comes twice: if the head has the
    /// stream's generation, so had the entries.
    pub(super) head: Option<Head>,
}

/// A blocking read that is about to start.
pub(super) struct BlockingRead {
    pub(super) link: Option<Arc<ServerConnections>>,
    pub(super) connection: Option<ExclusiveConnection>,
    /// How long Redis may take to answer, beyond the time that it blocks.
    pub(super) timeout: Duration,
    /// After a failure the read must not block, so that it shows whether Redis is back.
    pub(super) is_probe: bool,
}

impl BlockingRead {
    /// Reads these streams, at least one. On a Cluster they are on one slot.
    pub(super) async fn run(self, positions: Vec<ReadFrom>) -> Result<ReadResult, StoreError> {
        let link = self.link.ok_or_else(|| {
            StoreError::Unavailable("no Sentinel has named a primary yet".to_owned())
        })?;
        let bucket = positions
            .first()
            .map(|position| position.keys.index.as_str())
            .unwrap_or_default();
        let mut connection = match self.connection {
            Some(connection) => connection,
            None => ExclusiveConnection::take(&link, bucket).await?,
        };
        let block_ms = if self.is_probe { 1 } else { BLOCK_MS };
        let pipeline = pipeline(&positions, block_ms);
        let mut redirections = 0;
        let replies = loop {
            let answer = timeout(
                Duration::from_millis(BLOCK_MS) + self.timeout,
                connection.run(&link, bucket, &pipeline),
            )
            .await;
            let Ok(answer) = answer else {
                link.forget(bucket);
                return Err(StoreError::Unavailable(
                    "no answer to XREAD BLOCK".to_owned(),
                ));
            };
            match answer {
                Ok(replies) => break replies,
                Err(ConnectionError::Elsewhere) if redirections < REDIRECTIONS => {
                    redirections += 1;
                    connection = ExclusiveConnection::take(&link, bucket).await?;
                }
                Err(ConnectionError::Elsewhere) => {
                    return Err(StoreError::Unavailable(
                        "the nodes of the Cluster disagree".to_owned(),
                    ));
                }
                Err(ConnectionError::Store(error)) => return Err(error),
            }
        };
        let mut replies = replies;
        if replies.first().is_some_and(Option::is_none) {
            let answer = timeout(
                self.timeout,
                without_events(&mut connection, &link, bucket, &positions),
            )
            .await;
            replies = answer
                .unwrap_or_else(|_| Err(StoreError::Unavailable("no answer to XLEN".to_owned())))?;
        }
        Ok(ReadResult {
            connection,
            streams: streams(&positions, replies)?,
        })
    }
}

/// Replaces the replies of an `XREAD` that failed because one key is of another type. There are no
/// entries, and no head for that key. The heads of the other streams show whether they have new
/// entries.
async fn without_events(
    connection: &mut ExclusiveConnection,
    link: &ServerConnections,
    bucket: &str,
    positions: &[ReadFrom],
) -> Result<Vec<Option<Value>>, StoreError> {
    let mut pipeline = redis::pipe();
    pipeline.ignore_errors();
    for position in positions {
        pipeline.cmd("XLEN").arg(&position.keys.events);
    }
    heads(&mut pipeline, positions);
    let mut replies =
        connection
            .run(link, bucket, &pipeline)
            .await
            .map_err(|error| match error {
                ConnectionError::Store(error) => error,
                ConnectionError::Elsewhere => {
                    StoreError::Unavailable("the slot has moved".to_owned())
                }
            })?;
    let heads = replies.split_off(positions.len().min(replies.len()));
    let heads = replies
        .into_iter()
        .zip(heads)
        .map(|(length, head)| length.and(head));
    Ok(std::iter::once(Some(Value::Nil)).chain(heads).collect())
}

fn heads(pipeline: &mut redis::Pipeline, positions: &[ReadFrom]) {
    for position in positions {
        pipeline
            .cmd("HMGET")
            .arg(&position.keys.meta)
            .arg(&["birth", "status", "last_ms", "next"]);
    }
}

/// One blocking read. Redis runs the commands behind a blocking one after it, so that the heads are
/// read after the entries.
fn pipeline(positions: &[ReadFrom], block_ms: u64) -> redis::Pipeline {
    let entry_bytes = positions
        .iter()
        .map(|position| position.entry_bytes)
        .max()
        .unwrap_or(1);
    // The count is for each stream; the limit in bytes is for all of them together.
    let count = (PAGE_BYTES / entry_bytes / positions.len().max(1)).clamp(8, PAGE_ENTRIES);
    let mut pipeline = redis::pipe();
    pipeline.ignore_errors();
    pipeline
        .cmd("XREAD")
        .arg("COUNT")
        .arg(count)
        .arg("BLOCK")
        .arg(block_ms)
        .arg("STREAMS");
    for position in positions {
        pipeline.arg(&position.keys.events);
    }
    for position in positions {
        pipeline.arg(
            position
                .cursor
                .map_or_else(|| "0-0".to_owned(), |cursor| cursor.to_string()),
        );
    }
    heads(&mut pipeline, positions);
    pipeline
}

fn streams(
    positions: &[ReadFrom],
    replies: Vec<Option<Value>>,
) -> Result<Vec<StreamReply>, StoreError> {
    let mut replies = replies.into_iter();
    let Some(Some(events)) = replies.next().filter(|_| replies.len() == positions.len()) else {
        return Err(StoreError::Unexpected("a reply too few or too many"));
    };
    let mut events: HashMap<String, Vec<Entry>> = replies::xread(events)?.into_iter().collect();
    // A key of another type has no head: its stream was deleted.
    let stream = |(position, head): (&ReadFrom, Option<Value>)| {
        let entries = events.remove(&position.keys.events).unwrap_or_default();
        Ok(StreamReply {
            number: position.number,
            entries,
            head: head.map(replies::head).transpose()?.flatten(),
        })
    };
    positions.iter().zip(replies).map(stream).collect()
}
