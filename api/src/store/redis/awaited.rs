//! Streams that clients wait for. One task of the node looks for all of them, in one round trip at
//! a time: what waiting costs Redis does not grow with the clients, and nothing is asked when
//! nobody waits.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use deadpool_redis::redis;
use tokio::{sync::watch, time::sleep};

use super::{RedisStore, replies, store::Inner};
use crate::{
    store::{StoreError, StreamInfo, StreamStore},
    stream::StreamKey,
    telemetry::metrics::Operation,
};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// Keys that are asked for at a time.
const KEYS: usize = 512;

/// The streams that clients of this node wait for.
#[derive(Debug, Default)]
pub(super) struct AwaitedStreams(Mutex<Awaited>);

#[derive(Debug, Default)]
struct Awaited {
    /// A sender is dropped when its stream is there.
    streams: HashMap<StreamKey, watch::Sender<()>>,
    /// A task looks for them.
    is_looked_for: bool,
}

impl AwaitedStreams {
    /// No code panics while it holds the lock, so that what is behind a poisoned one is whole.
    fn awaited(&self) -> MutexGuard<'_, Awaited> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that somebody still waits for.
    fn keys(&self) -> Vec<StreamKey> {
        let mut awaited = self.awaited();
        awaited
            .streams
            .retain(|_, sender| sender.receiver_count() > 0);
        awaited.streams.keys().cloned().collect()
    }
}

/// Resolves when there is a stream at the key. While Redis fails, it waits.
pub(super) async fn appears(store: RedisStore, key: StreamKey) -> StreamInfo {
    loop {
        let mut arrived = {
            let mut awaited = store.0.awaited.awaited();
            if !std::mem::replace(&mut awaited.is_looked_for, true) {
                tokio::spawn(look(Arc::downgrade(&store.0)));
            }
            awaited.streams.entry(key.clone()).or_default().subscribe()
        };
        // Nothing is ever sent: the error says that the stream is there.
        let _ = arrived.changed().await;
        if let Ok(info) = store.info(&key).await {
            return info;
        }
    }
}

/// Looks again and again, for as long as somebody waits.
async fn look(store: Weak<Inner>) {
    loop {
        sleep(INTERVAL).await;
        let Some(store) = store.upgrade().map(RedisStore) else {
            return;
        };
        let keys = store.0.awaited.keys();
        for keys in keys.chunks(KEYS) {
            // A failure is told by whatever else is asked of Redis; the next look is soon.
            if let Ok(there) = exist(&store, keys).await {
                let mut awaited = store.0.awaited.awaited();
                keys.iter()
                    .zip(there)
                    .filter(|(_, there)| *there)
                    .for_each(|(key, _)| _ = awaited.streams.remove(key));
            }
        }
        let mut awaited = store.0.awaited.awaited();
        if awaited.streams.is_empty() {
            // Under the lock: whoever comes now begins anew.
            awaited.is_looked_for = false;
            return;
        }
    }
}

async fn exist(store: &RedisStore, keys: &[StreamKey]) -> Result<Vec<bool>, StoreError> {
    let asks = keys.iter().map(|key| {
        let mut ask = redis::cmd("EXISTS");
        ask.arg(store.keys(key).meta);
        ask
    });
    let answers = store
        .0
        .primary
        .run_all(Operation::Await, asks.collect())
        .await?;
    answers
        .iter()
        .map(|answer| {
            Ok(answer
                .as_ref()
                .map(replies::number)
                .transpose()?
                .is_some_and(|count| count > 0))
        })
        .collect()
}
