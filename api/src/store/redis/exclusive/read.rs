//! One `XREAD BLOCK`, with what tells how the streams stood when it was over.

use std::{collections::HashMap, sync::Arc, time::Duration};

use deadpool_redis::redis::{self, Value};
use tokio::time::timeout;

use crate::{
    store::{
        PAGE_BYTES, PAGE_ENTRIES, StoreError,
        redis::{
            connections::ServerConnections,
            keys::Keys,
            lease::{Lease, LeaseError},
            replies::{self, Head},
        },
    },
    stream::{Entry, EventId},
};

/// How long one `XREAD` blocks at the most. Finite, so that a stream that is no more is noticed.
const BLOCK_MS: u64 = 5_000;

/// How often in a row a wait may be sent to another node of a Cluster.
const REDIRECTIONS: u32 = 3;

/// A stream, and after what to wait in it.
pub(super) struct ReadFrom {
    pub(super) number: usize,
    pub(super) keys: Arc<Keys>,
    pub(super) cursor: Option<EventId>,
    pub(super) entry_bytes: usize,
}

/// What one `XREAD BLOCK` brought, and the connection back.
pub(super) struct ReadResult {
    pub(super) lease: Lease,
    pub(super) streams: Vec<StreamReply>,
}

/// What it brought of one stream.
pub(super) struct StreamReply {
    pub(super) number: usize,
    pub(super) entries: Vec<Entry>,
    /// The stream's head as it was after the read: whoever has this birth mark now had it then, as
    /// none comes twice.
    pub(super) head: Option<Head>,
}

/// On what to wait, and for how long.
pub(super) struct BlockingRead {
    pub(super) link: Option<Arc<ServerConnections>>,
    pub(super) lease: Option<Lease>,
    pub(super) patience: Duration,
    /// After a failure an answer is wanted at once, to know that Redis is back.
    pub(super) is_probe: bool,
}

impl BlockingRead {
    /// Waits in these streams, at least one. On a Cluster they have one slot.
    pub(super) async fn run(self, positions: Vec<ReadFrom>) -> Result<ReadResult, StoreError> {
        let link = self.link.ok_or_else(|| {
            StoreError::Unavailable("no Sentinel has named a primary yet".to_owned())
        })?;
        let bucket = positions
            .first()
            .map(|position| position.keys.index.as_str())
            .unwrap_or_default();
        let mut lease = match self.lease {
            Some(lease) => lease,
            None => Lease::take(&link, bucket).await?,
        };
        let block_ms = if self.is_probe { 1 } else { BLOCK_MS };
        let pipeline = pipeline(&positions, block_ms);
        let mut redirections = 0;
        let replies = loop {
            let answer = timeout(
                Duration::from_millis(BLOCK_MS) + self.patience,
                lease.run(&link, bucket, &pipeline),
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
                Err(LeaseError::Elsewhere) if redirections < REDIRECTIONS => {
                    redirections += 1;
                    lease = Lease::take(&link, bucket).await?;
                }
                Err(LeaseError::Elsewhere) => {
                    return Err(StoreError::Unavailable(
                        "the nodes of the Cluster disagree".to_owned(),
                    ));
                }
                Err(LeaseError::Store(error)) => return Err(error),
            }
        };
        let mut replies = replies;
        if replies.first().is_some_and(Option::is_none) {
            let answer = timeout(
                self.patience,
                without_events(&mut lease, &link, bucket, &positions),
            )
            .await;
            replies = answer
                .unwrap_or_else(|_| Err(StoreError::Unavailable("no answer to XLEN".to_owned())))?;
        }
        Ok(ReadResult {
            lease,
            streams: streams(&positions, replies)?,
        })
    }
}

/// The answers in place of those of an `XREAD` of which one stream is of another type, which fails
/// it for all: no events, and no head for that stream. The others look whether there is anything
/// new, by their heads.
async fn without_events(
    lease: &mut Lease,
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
    let mut replies = lease
        .run(link, bucket, &pipeline)
        .await
        .map_err(|error| match error {
            LeaseError::Store(error) => error,
            LeaseError::Elsewhere => StoreError::Unavailable("the slot has moved".to_owned()),
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

/// What follows a blocking command in a pipeline runs when it is done: the heads are read after the
/// events.
fn pipeline(positions: &[ReadFrom], block_ms: u64) -> redis::Pipeline {
    let entry_bytes = positions
        .iter()
        .map(|position| position.entry_bytes)
        .max()
        .unwrap_or(1);
    // Counted for each stream; the bytes are bounded for all of them together.
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
    // What is of another type is this stream no more.
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
