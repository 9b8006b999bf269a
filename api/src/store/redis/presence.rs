//! Nodes tell each other how many clients they have, by keys that expire.
//!
//! ```text
//! {prefix}clients:NODE   hash: stream key → the node's clients of it; expires unless the node tells it again
//! {prefix}nodes          sorted set: nodes with clients, by when they told it last, in milliseconds by their own clocks
//! ```

use std::{sync::Arc, time::Duration};

use deadpool_redis::redis::{self, Cmd, Pipeline, Value};

use super::{connections::SharedConnection, fan_out, primary::Primary, replies, scripts::millis};
use crate::{
    store::{
        StoreError,
        presence::{PRESENCE_TTL, PresenceOutcome, PresenceUpdate},
    },
    stream::StreamKey,
    telemetry::metrics::Operation,
};

/// How much longer than an announcement holds its node is asked for: clocks may differ by so much.
/// What a node has told that is gone expires by Redis' clock, so that asking for it costs a moment
/// and changes nothing.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);

/// A node's word to the others, and theirs to it.
pub(super) struct RedisPresence {
    primary: Arc<Primary>,
    prefix: String,
    node: String,
    nodes: String,
}

impl RedisPresence {
    pub(super) fn new(primary: Arc<Primary>, prefix: &str) -> Self {
        let node = format!("{:016x}", fastrand::u64(..));
        Self {
            primary,
            prefix: prefix.to_owned(),
            node,
            nodes: format!("{prefix}nodes"),
        }
    }

    fn clients_key(&self, node: &str) -> String {
        format!("{}clients:{node}", self.prefix)
    }

    /// As [`crate::store::Presence::update_presence`] has it.
    pub(super) async fn update_presence(
        &self,
        update: &PresenceUpdate,
    ) -> Result<PresenceOutcome, StoreError> {
        let mut pipeline = self.told(update);
        let seen = self.seen(update.is_none());
        let first = if self.primary.is_cluster() {
            // Their keys are on different slots.
            let told = self.ask(Operation::Announce, &pipeline).await?;
            self.ask(Operation::Announce, &seen).await?;
            told
        } else {
            for command in seen.cmd_iter() {
                pipeline.add_command(command.clone());
            }
            self.ask(Operation::Announce, &pipeline).await?
        };
        let was_there = first
            .first()
            .ok_or(StoreError::Unexpected("no answer to a presence update"))
            .and_then(replies::number)?
            > 0;
        Ok(if was_there || update.whole {
            PresenceOutcome::Kept
        } else {
            PresenceOutcome::PreviousExpired
        })
    }

    /// The node's hash as it is to be; whether it was there comes first. All or nothing: half of it
    /// might have no expiry.
    fn told(&self, update: &PresenceUpdate) -> Pipeline {
        let key = self.clients_key(&self.node);
        let (gone, here): (Vec<_>, Vec<_>) =
            update.counts.iter().partition(|(_, count)| *count == 0);
        let mut pipeline = redis::pipe();
        pipeline.atomic().exists(&key);
        if update.whole {
            pipeline.del(&key);
        }
        if !gone.is_empty() {
            pipeline.hdel(
                &key,
                gone.iter()
                    .map(|(stream, _)| stream.as_str())
                    .collect::<Vec<_>>(),
            );
        }
        if !here.is_empty() {
            // The library's own function sends `HMSET`, for which a user would need a further
            // right.
            let counts: Vec<_> = here
                .iter()
                .map(|(stream, count)| (stream.as_str(), *count))
                .collect();
            pipeline.cmd("HSET").arg(&key).arg(&counts);
        }
        pipeline.cmd("PEXPIRE").arg(&key).arg(millis(PRESENCE_TTL));
        pipeline
    }

    /// The node's place among those with clients, and the end of the places of nodes that are long
    /// gone.
    fn seen(&self, leaves: bool) -> Pipeline {
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        if leaves {
            pipeline.zrem(&self.nodes, &self.node);
        } else {
            pipeline.zadd(&self.nodes, &self.node, now_ms());
        }
        pipeline
            .cmd("ZREMRANGEBYSCORE")
            .arg(&self.nodes)
            .arg("-inf")
            .arg(format!("({}", oldest_ms()));
        pipeline
            .cmd("PEXPIRE")
            .arg(&self.nodes)
            .arg(millis(PRESENCE_TTL + CLOCKS_DIFFER));
        pipeline
    }

    /// As [`crate::store::Store::clients_elsewhere`] has it.
    pub(super) async fn subscribers_elsewhere(&self, key: &StreamKey) -> Result<u64, StoreError> {
        let mut seen = redis::cmd("ZRANGEBYSCORE");
        seen.arg(&self.nodes).arg(oldest_ms()).arg("+inf");
        let seen = &seen;
        let run = |mut connection: SharedConnection| async move {
            seen.query_async(&mut connection).await
        };
        let nodes = replies::texts(self.primary.run(Operation::Count, run).await?)?;
        let asks: Vec<Cmd> = nodes
            .iter()
            .filter(|node| **node != self.node)
            .map(|node| Cmd::hget(self.clients_key(node), key.as_str()))
            .collect();
        if asks.is_empty() {
            return Ok(0);
        }
        let counts = fan_out::run_all(&self.primary, Operation::Count, asks).await?;
        // What is of another type is no node's.
        counts
            .iter()
            .flatten()
            .filter(|count| **count != Value::Nil)
            .map(replies::number)
            .sum()
    }

    async fn ask(
        &self,
        operation: Operation,
        pipeline: &Pipeline,
    ) -> Result<Vec<Value>, StoreError> {
        let run = |mut connection: SharedConnection| async move {
            pipeline.query_async(&mut connection).await
        };
        match self.primary.run(operation, run).await? {
            Value::Array(answers) => Ok(answers),
            _ => Err(StoreError::Unexpected("not the answers to a pipeline")),
        }
    }
}

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// From when on a node may still be there.
fn oldest_ms() -> i64 {
    now_ms().saturating_sub_unsigned(millis(PRESENCE_TTL + CLOCKS_DIFFER))
}
