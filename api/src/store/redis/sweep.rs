//! Streams whose deadlines have passed.
//!
//! Every second each node asks for the work, with one command. One node gets it, and with it the
//! streams of all buckets that are due; on a Cluster by a pipeline. It runs a script for each of
//! them, which decides by the clock of Redis whether the deadline has passed. So it does no harm if
//! two nodes work.

use std::{sync::Arc, time::Duration};

use deadpool_redis::redis::{self, Value};
use futures::{StreamExt, future::ready, stream};

use super::{
    keys::{self, Keys},
    reader::RedisReader,
    replies::{self, Stored},
    scripts::{expected, millis},
};
use crate::{
    store::{DEFAULT_STOP_GRACE, StoreError},
    stream::{EventId, Generation, StreamKey},
    telemetry::metrics::Operation,
};

/// After how long another node takes over. Longer than the time between two requests for the work.
const TAKEOVER: Duration = Duration::from_millis(1_500);

/// Streams of one bucket that one sweep looks at.
const MAX_DUE: usize = 64;

/// Streams that are finished at the same time.
const CONCURRENT_FINISHES: usize = 32;

/// Looks for streams whose deadlines have passed.
pub(super) struct Sweeper {
    reader: Arc<RedisReader>,
    /// This node's name.
    node: String,
}

impl Sweeper {
    pub(super) fn new(reader: Arc<RedisReader>) -> Self {
        Self {
            reader,
            node: format!("{:016x}", fastrand::u64(..)),
        }
    }

    /// Finishes the streams that are due, if it is this node's work. `accept` takes what was
    /// stored. Returns how many it finished.
    pub(super) async fn sweep(
        &self,
        accept: impl Fn(&Keys, Stored<EventId>),
    ) -> Result<usize, StoreError> {
        let accept = &accept;
        let finished = stream::iter(self.due().await?).map(|key| async move {
            let keys = self.reader.keys(&key);
            match self.finish(&key, &keys).await {
                Ok(Some(stored)) => {
                    accept(&keys, stored);
                    1
                }
                Ok(None) => 0,
                // The others must not wait for this one.
                Err(error) => {
                    tracing::debug!(%error, %key, "a stream that is due could not be finished");
                    0
                }
            }
        });
        let finished = finished.buffer_unordered(CONCURRENT_FINISHES);
        Ok(finished.fold(0, |sum, one| ready(sum + one)).await)
    }

    /// The streams that are due, if it is this node's work to look for them.
    async fn due(&self) -> Result<Vec<StreamKey>, StoreError> {
        let is_cluster = self.reader.primary.is_cluster();
        let mut names = vec![format!("{}sweeper", self.reader.prefix)];
        if !is_cluster {
            names.extend(keys::deadlines(&self.reader.prefix));
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let script = &self.reader.scripts.sweeper;
        let mut call = script.call(&names, names.len() * 32);
        call.arg(&self.node).arg(millis(TAKEOVER)).arg(MAX_DUE);
        let answer = self.reader.run(Operation::Sweep, script, &call).await?;
        let fields = replies::optional_array(answer)?.unwrap_or_default();
        let (is_ours, now, due) = match <[Value; 3]>::try_from(fields) {
            Ok([Value::Int(is_ours), now, due]) => (is_ours == 1, now, due),
            _ => return replies::unexpected("not the answer of sweeper.lua"),
        };
        let mut due = vec![due];
        if is_ours && is_cluster {
            due = self.due_on_cluster(replies::number(&now)?).await?;
        }
        let mut keys = Vec::new();
        for names in due {
            let names = replies::texts(names)?;
            keys.extend(names.iter().filter_map(|name| name.parse().ok()));
        }
        Ok(keys)
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
    ) -> Result<Option<Stored<EventId>>, StoreError> {
        let script = &self.reader.scripts.finish;
        let mut call = script.call(&keys.of_finish(), 512);
        call.arg(key.as_str()).arg("due");
        let answer = self.reader.run(Operation::Finish, script, &call).await?;
        match answer {
            Value::Array(fields) if fields.is_empty() => Ok(None),
            answer => replies::finished(answer).map(Some),
        }
    }
}

/// As `StreamStore::renew` has it.
pub(super) async fn renew(
    reader: &RedisReader,
    key: &StreamKey,
    generation: Option<Generation>,
    stop_ack: bool,
) -> Result<Option<u64>, StoreError> {
    let (keys, script) = (reader.keys(key), &reader.scripts.renew);
    let names = [
        &*keys.meta,
        &keys.deadlines(),
        &keys.events,
        &keys.signals(),
    ];
    let mut call = script.call(&names, 256);
    call.arg(key.as_str())
        .arg(expected(generation))
        .arg(u8::from(stop_ack))
        .arg(millis(DEFAULT_STOP_GRACE));
    let fields = replies::written(reader.run(Operation::Renew, script, &call).await?)?;
    match fields.as_slice() {
        [stop_at] => Ok(Some(replies::number(stop_at)?).filter(|ms| *ms > 0)),
        _ => replies::unexpected("an answer of another length"),
    }
}
