//! Keys at which subscribers wait for a stream.
//!
//! One task of the node checks all of them, with one round trip at a time. So what waiting costs
//! Redis does not grow with the subscribers, and nothing is read while nobody waits.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use deadpool_redis::redis;
use parking_lot::Mutex;
use tokio::{sync::watch, time::sleep};

use super::{reader::RedisReader, replies};
use crate::{
    store::{StoreError, StreamInfo},
    stream::StreamKey,
    telemetry::metrics::Operation,
};

/// The time between two checks.
const INTERVAL: Duration = Duration::from_millis(100);

/// Keys that one round trip checks.
const KEYS_PER_READ: usize = 512;

/// The keys at which subscribers of this node wait.
pub(super) struct AwaitedStreams {
    reader: Arc<RedisReader>,
    awaited: Mutex<Awaited>,
}

#[derive(Debug, Default)]
struct Awaited {
    /// A sender is dropped when its stream exists.
    streams: HashMap<StreamKey, watch::Sender<()>>,
    /// A task checks them.
    is_checked: bool,
}

impl AwaitedStreams {
    pub(super) fn new(reader: Arc<RedisReader>) -> Self {
        Self {
            reader,
            awaited: Mutex::default(),
        }
    }

    /// Resolves when there is a stream at the key. While Redis fails, it waits.
    pub(super) async fn appears(self: Arc<Self>, key: StreamKey) -> StreamInfo {
        loop {
            let mut appeared = {
                let mut awaited = self.awaited.lock();
                if !std::mem::replace(&mut awaited.is_checked, true) {
                    tokio::spawn(check(Arc::downgrade(&self)));
                }
                awaited.streams.entry(key.clone()).or_default().subscribe()
            };
            // Nothing is ever sent. The error reports that the sender was dropped.
            let _ = appeared.changed().await;
            if let Ok(info) = self.reader.info(&key).await {
                return info;
            }
        }
    }

    /// The keys at which somebody still waits.
    fn keys(&self) -> Vec<StreamKey> {
        let mut awaited = self.awaited.lock();
        awaited
            .streams
            .retain(|_, sender| sender.receiver_count() > 0);
        awaited.streams.keys().cloned().collect()
    }

    /// Whether there is a stream at each of the keys.
    async fn exist(&self, keys: &[StreamKey]) -> Result<Vec<bool>, StoreError> {
        let reads = keys.iter().map(|key| {
            let mut read = redis::cmd("EXISTS");
            read.arg(self.reader.keys(key).meta);
            read
        });
        let counts = self
            .reader
            .run_all(Operation::Await, reads.collect())
            .await?;
        counts
            .iter()
            .map(|count| match count {
                Some(count) => Ok(replies::number(count)? > 0),
                None => Ok(false),
            })
            .collect()
    }
}

/// Checks the keys again and again, as long as somebody waits.
async fn check(streams: Weak<AwaitedStreams>) {
    loop {
        sleep(INTERVAL).await;
        let Some(streams) = streams.upgrade() else {
            return;
        };
        for keys in streams.keys().chunks(KEYS_PER_READ) {
            // Other commands report a failure of Redis. The next check comes soon.
            if let Ok(exist) = streams.exist(keys).await {
                let mut awaited = streams.awaited.lock();
                for (key, _) in keys.iter().zip(exist).filter(|(_, exists)| *exists) {
                    awaited.streams.remove(key);
                }
            }
        }
        let mut awaited = streams.awaited.lock();
        if awaited.streams.is_empty() {
            // Set under the lock, so that the next subscriber that waits starts a new task.
            awaited.is_checked = false;
            return;
        }
    }
}
