//! Streams whose deadlines have passed.
//!
//! Every second each node asks for the work, with one command. One node gets it, and with it the
//! streams of all buckets that are due; on a Cluster by a pipeline. It runs a script for each of
//! them, which decides by the clock of Redis whether the deadline has passed. So it does no harm if
//! two nodes work.
//!
//! A producer that can't reach Redis looks silent. So the sweep knows for how long nodes have had
//! contact with Redis without a break, and the script abandons no stream whose period is longer.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use deadpool_redis::redis::{self, Value};
use futures::{StreamExt, future::ready, stream};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    connections::ServerConnections,
    keys::{self, Keys},
    reader::RedisReader,
    replies::{self, Stored},
    scripts::millis,
};
use crate::{
    store::{StoreError, Swept},
    stream::{EventId, Status, StreamKey},
    telemetry::metrics::Operation,
};

/// After how long another node takes over. Longer than the time between two requests for the work.
const TAKEOVER: Duration = Duration::from_millis(1_500);

/// How long no node may reach Redis before that counts as an outage.
const OUTAGE: Duration = Duration::from_secs(3);

/// Streams of one bucket that one sweep looks at.
const MAX_DUE: usize = 64;

/// Streams that are finished at the same time.
const CONCURRENT_FINISHES: usize = 32;

/// Looks for streams whose deadlines have passed.
pub(super) struct Sweeper {
    reader: Arc<RedisReader>,
    /// This node's name.
    node: String,
    contact: Mutex<Contact>,
}

/// The contact of this node with the primary. Redis has that of all nodes, but does not know of an
/// outage that only its clients see, as a failover.
#[derive(Default)]
struct Contact {
    /// Since when the contact has had no break. None: there was none since the node started.
    since: Option<Instant>,
    is_broken: bool,
    /// The connections of the last sweep. Others lead to another primary.
    connections: Option<Weak<ServerConnections>>,
}

/// The streams that are due, if it is this node's work to look for them.
struct Work {
    due: Vec<StreamKey>,
    /// How long the contact with Redis has had no break.
    contact: Duration,
    /// The time of Redis, in milliseconds. None on a Cluster, where each shard has its own clock.
    now: Option<u64>,
}

impl Sweeper {
    pub(super) fn new(reader: Arc<RedisReader>) -> Self {
        Self {
            reader,
            node: format!("{:016x}", fastrand::u64(..)),
            contact: Mutex::default(),
        }
    }

    /// Finishes the streams that are due, if it is this node's work. `accept` takes what was
    /// stored.
    pub(super) async fn sweep(
        &self,
        accept: impl Fn(&Keys, Stored<EventId>),
    ) -> Result<Swept, StoreError> {
        let work = self.work().await;
        let Work { due, contact, now } = match work {
            Ok(work) => work,
            Err(error) => {
                self.contact.lock().is_broken = true;
                return Err(error);
            }
        };
        let contact = contact.min(self.own_contact());
        let accept = &accept;
        let finished = stream::iter(due).map(|key| async move {
            let keys = self.reader.keys(&key);
            match self.finish(&key, &keys, contact, now).await {
                Ok(Some((status, stored))) => {
                    accept(&keys, stored);
                    Some(status)
                }
                Ok(None) => None,
                // The others must not wait for this one.
                Err(error) => {
                    tracing::debug!(%error, %key, "a stream that is due could not be finished");
                    None
                }
            }
        });
        let finished = finished.buffer_unordered(CONCURRENT_FINISHES);
        let count = |mut swept: Swept, status| {
            match status {
                Some(Status::Abandoned) => swept.abandoned += 1,
                Some(_) => swept.cancelled += 1,
                None => {}
            }
            ready(swept)
        };
        Ok(finished.fold(Swept::default(), count).await)
    }

    /// How long this node has had contact with the primary without a break, up to now.
    fn own_contact(&self) -> Duration {
        let connections = self.reader.primary.watch().borrow().clone();
        let mut contact = self.contact.lock();
        let now = connections.as_ref().map(Arc::downgrade);
        let is_new = match (&contact.connections, &now) {
            (Some(before), Some(now)) => !Weak::ptr_eq(before, now),
            _ => false,
        };
        contact.connections = now.or(contact.connections.take());
        if std::mem::take(&mut contact.is_broken) || is_new {
            contact.since = Some(Instant::now());
        }
        contact.since.map_or(Duration::MAX, |since| since.elapsed())
    }

    /// Asks for the work of this second.
    async fn work(&self) -> Result<Work, StoreError> {
        let is_cluster = self.reader.primary.is_cluster();
        let mut names = vec![format!("{}sweeper", self.reader.prefix)];
        if !is_cluster {
            names.extend(keys::deadlines(&self.reader.prefix));
        }
        let script = &self.reader.scripts.sweeper;
        let mut call = script.call(&names, names.len() * 32);
        call.arg(&self.node)
            .arg(millis(TAKEOVER))
            .arg(MAX_DUE)
            .arg(millis(OUTAGE));
        let answer = self.reader.run(Operation::Sweep, script, &call).await?;
        let fields = replies::optional_array(answer)?.unwrap_or_default();
        let Ok([Value::Int(is_ours), now, contact, due]) = <[Value; 4]>::try_from(fields) else {
            return replies::unexpected("not the answer of sweeper.lua");
        };
        let now = replies::number(&now)?;
        let mut due = vec![due];
        if is_ours == 1 && is_cluster {
            due = self.due_on_cluster(now).await?;
        }
        let mut keys = Vec::new();
        for names in due {
            let names = replies::texts(names)?;
            keys.extend(names.iter().filter_map(|name| name.parse().ok()));
        }
        Ok(Work {
            due: keys,
            contact: Duration::from_millis(replies::number(&contact)?),
            now: (!is_cluster).then_some(now),
        })
    }

    /// The streams that are due at this time, by bucket: a script takes keys of one slot alone.
    async fn due_on_cluster(&self, now: u64) -> Result<Vec<Value>, StoreError> {
        let reads = keys::deadlines(&self.reader.prefix).map(|deadlines| {
            let mut read = redis::cmd("ZRANGEBYSCORE");
            read.arg(deadlines).arg("-inf").arg(now);
            read.arg("LIMIT").arg(0).arg(MAX_DUE);
            read
        });
        let buckets = self
            .reader
            .run_all(Operation::Sweep, reads.collect())
            .await?;
        Ok(buckets.into_iter().flatten().collect())
    }

    /// Finishes the stream if a deadline has passed. None: it has not.
    async fn finish(
        &self,
        key: &StreamKey,
        keys: &Keys,
        contact: Duration,
        now: Option<u64>,
    ) -> Result<Option<(Status, Stored<EventId>)>, StoreError> {
        let script = &self.reader.scripts.finish;
        let mut now = now;
        loop {
            let mut call = script.call(&keys.of_finish(), 512);
            call.arg(key.as_str()).arg("due").arg(millis(contact));
            call.arg(now.map_or_else(String::new, |now| now.to_string()));
            let answer = self.reader.run(Operation::Finish, script, &call).await?;
            match due(answer)? {
                Due::No => return Ok(None),
                Due::Finished(status, stored) => return Ok(Some((status, stored))),
                Due::AskAgain(_) if now.is_some() => {
                    return replies::unexpected("a second request for the time");
                }
                Due::AskAgain(ms) => now = Some(ms),
            }
        }
    }
}

/// The result of `finish.lua` where the deadlines decide.
enum Due {
    /// No deadline has passed that counts.
    No,
    /// The script must be called again with this time, in milliseconds.
    AskAgain(u64),
    /// The stream was finished.
    Finished(Status, Stored<EventId>),
}

/// The reply of `finish.lua` where the deadlines decide.
fn due(value: Value) -> Result<Due, StoreError> {
    match &value {
        Value::Array(fields) if fields.is_empty() => Ok(Due::No),
        Value::Array(fields) if fields.len() == 1 => {
            Ok(Due::AskAgain(replies::number(&fields[0])?))
        }
        Value::Array(fields) if fields.len() > 2 => {
            let status = replies::status(&fields[2])?;
            Ok(Due::Finished(status, replies::finished(value)?))
        }
        // Redis has evicted the events.
        Value::Nil => Ok(Due::No),
        _ => replies::unexpected("an answer of another length"),
    }
}
