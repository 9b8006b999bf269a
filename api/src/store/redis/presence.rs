//! Nodes send each other how many subscribers they have, in keys that expire.
//!
//! ```text
//! {prefix}clients:NODE   hash: stream key → the node's subscribers; expires unless it is renewed
//! {prefix}nodes          sorted set: the nodes that have subscribers, by the time of their last
//!                        update in milliseconds, by their own clocks
//! ```

use std::{sync::Arc, time::Duration};

use deadpool_redis::redis::{self, Cmd, Value};

use super::{reader::RedisReader, replies, scripts::millis};
use crate::{
    store::{PRESENCE_TTL, PresenceOutcome, PresenceUpdate, StoreError},
    stream::StreamKey,
    telemetry::metrics::Operation,
};

/// How far the clocks of nodes may differ. A node is asked about for so much longer than its counts
/// live. They expire by Redis' clock, so asking about a node that left gives no wrong count.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// Sends this node's subscriber counts, and reads those of the others.
pub(super) struct RedisPresence {
    reader: Arc<RedisReader>,
    /// This node's name.
    node: String,
    /// The key of the sorted set of nodes.
    nodes: String,
}

impl RedisPresence {
    pub(super) fn new(reader: Arc<RedisReader>) -> Self {
        let nodes = format!("{}nodes", reader.prefix);
        Self {
            reader,
            node: format!("{:016x}", fastrand::u64(..)),
            nodes,
        }
    }

    /// The key of a node's counts.
    fn counts_key(&self, node: &str) -> String {
        format!("{}clients:{node}", self.reader.prefix)
    }

    /// Sends an update, as `Store::update_presence` has it.
    pub(super) async fn update(
        &self,
        update: &PresenceUpdate,
    ) -> Result<PresenceOutcome, StoreError> {
        let counts = self.counts_key(&self.node);
        let existed = if self.reader.primary.is_cluster() {
            // The keys are on different slots.
            let existed = self.run("counts", &[&counts], update).await?;
            self.run("nodes", &[&self.nodes], update).await?;
            existed
        } else {
            self.run("both", &[&counts, &self.nodes], update).await?
        };
        Ok(if existed || update.whole {
            PresenceOutcome::Kept
        } else {
            PresenceOutcome::PreviousExpired
        })
    }

    /// Runs `presence.lua` with these keys. Returns whether the node had counts before.
    async fn run(
        &self,
        which: &str,
        keys: &[&str],
        update: &PresenceUpdate,
    ) -> Result<bool, StoreError> {
        let script = &self.reader.scripts.presence;
        let mut call = script.call(keys, 512);
        call.arg(which).arg(&self.node);
        if update.is_none() {
            call.arg("");
        } else {
            call.arg(now_ms());
        }
        call.arg(oldest_ms())
            .arg(millis(PRESENCE_TTL + CLOCK_TOLERANCE))
            .arg(millis(PRESENCE_TTL))
            .arg(if update.whole { "all" } else { "changes" });
        if which != "nodes" {
            for (key, count) in &update.counts {
                call.arg(key.as_str()).arg(count);
            }
        }
        let existed = self.reader.run(Operation::Announce, script, &call).await?;
        Ok(replies::number(&existed)? > 0)
    }

    /// As `Store::subscribers_elsewhere` has it.
    pub(super) async fn subscribers_elsewhere(&self, key: &StreamKey) -> Result<u64, StoreError> {
        let mut recent = redis::cmd("ZRANGEBYSCORE");
        recent.arg(&self.nodes).arg(oldest_ms()).arg("+inf");
        let nodes = self.reader.primary.query(Operation::Count, &recent).await?;
        let nodes = replies::texts(nodes)?;
        let reads: Vec<Cmd> = nodes
            .iter()
            .filter(|node| **node != self.node)
            .map(|node| Cmd::hget(self.counts_key(node), key.as_str()))
            .collect();
        if reads.is_empty() {
            return Ok(0);
        }
        let counts = self.reader.run_all(Operation::Count, reads).await?;
        // A node does not write a key of another type, so that is no count.
        counts
            .iter()
            .flatten()
            .filter(|count| **count != Value::Nil)
            .map(replies::number)
            .sum()
    }
}

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// The oldest time of an update that may still hold.
fn oldest_ms() -> i64 {
    now_ms().saturating_sub_unsigned(millis(PRESENCE_TTL + CLOCK_TOLERANCE))
}
