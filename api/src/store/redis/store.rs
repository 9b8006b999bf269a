//! Streams in Redis 6.2 and later, or Valkey: the same promises as the embedded store, each kept by
//! one script.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use deadpool_redis::redis::{self, Value};
use futures::future::BoxFuture;

use super::{
    awaited,
    awaited::AwaitedStreams,
    exclusive::tails::ExclusiveTails,
    fault, keys,
    keys::Keys,
    message,
    presence::RedisPresence,
    primary::Primary,
    readiness,
    readiness::Readiness,
    replies,
    scripts::{LuaScript, Scripts},
    shared::{
        hub::{self, Hub},
        receive,
        tail::Topics,
    },
};
use crate::{
    codec::segment::{Part, Segment},
    config::{Delivery, Settings},
    store::{
        Appended, ConnectionCounts, CrossSlot, NewStream, PAGE_BYTES, PAGE_ENTRIES, Page, Store,
        StoreError, StoreFault, StreamInfo, Tails,
        merge::Merged,
        presence::{PresenceOutcome, PresenceUpdate},
        resume::{Around, Start, cursor_before, start},
    },
    stream::{
        EventId, Finish, Generation, MAX_PRODUCERS, Missed, NewEvent, ProducerSequence,
        StartPosition, StreamKey,
    },
    telemetry::metrics::{Operation, SharedMetrics},
};

/// Names of keys of another type that are remembered, so that each is logged once.
const STRANGE_KEYS: usize = 1_000;

/// Streams in Redis. Cheap to clone.
#[derive(Clone)]
pub struct RedisStore(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) prefix: String,
    pub(super) timeout: Duration,
    pub(super) fixed: usize,
    pub(super) primary: Arc<Primary>,
    /// In shared delivery.
    pub(super) hub: Option<Arc<Hub>>,
    pub(super) scripts: Scripts,
    pub(super) presence: RedisPresence,
    pub(super) awaited: AwaitedStreams,
    pub(super) readiness: Readiness,
    /// Keys of another type that were logged.
    pub(super) strange: Mutex<HashSet<String>>,
    /// The last write stored its events but failed in the rest, which was logged.
    pub(super) is_half_done: AtomicBool,
    pub(super) metrics: SharedMetrics,
}

impl RedisStore {
    /// A store on the Redis of the settings. Nothing connects before the first command, but for
    /// what looks for a primary or hears of events.
    ///
    /// It must be made within a runtime, which keeps the subscription. Errors: the URL can't be
    /// used.
    pub fn new(settings: &Settings, metrics: SharedMetrics) -> Result<Self, StoreError> {
        let primary = Primary::find(settings, SharedMetrics::clone(&metrics))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let (hub, wants) = match settings.delivery {
            Delivery::Exclusive => (None, None),
            Delivery::Shared => {
                let (hub, wants) = Hub::new(
                    settings,
                    primary.is_cluster(),
                    SharedMetrics::clone(&metrics),
                );
                (Some(Arc::new(hub)), Some(wants))
            }
        };
        let scripts = Scripts::new(primary.is_cluster());
        let presence = RedisPresence::new(Arc::clone(&primary), &settings.key_prefix);
        let (prefix, timeout, fixed) = (
            settings.key_prefix.clone(),
            settings.redis_timeout,
            settings.redis_pool,
        );
        let store = Self(Arc::new(Inner {
            prefix,
            timeout,
            fixed,
            primary,
            hub,
            scripts,
            presence,
            awaited: AwaitedStreams::default(),
            readiness: Readiness::default(),
            strange: Mutex::default(),
            is_half_done: AtomicBool::new(false),
            metrics,
        }));
        if let Some(wants) = wants {
            tokio::spawn(receive::run(Arc::downgrade(&store.0), wants));
        }
        Ok(store)
    }

    pub(super) fn hub(&self) -> Option<Arc<Hub>> {
        self.0.hub.clone()
    }

    pub(super) fn keys(&self, key: &StreamKey) -> Keys {
        Keys::new(&self.0.prefix, key)
    }

    pub(super) async fn run(
        &self,
        operation: Operation,
        script: &LuaScript,
        call: &redis::Cmd,
    ) -> Result<Value, StoreError> {
        self.0
            .primary
            .run(operation, |mut connection| async move {
                script.run(call, &mut connection).await
            })
            .await
    }

    pub(super) async fn snapshot(
        &self,
        keys: &Keys,
        from: Option<EventId>,
        limit: usize,
    ) -> Result<replies::Snapshot, StoreError> {
        let script = &self.0.scripts.snapshot;
        let mut call = script.call(&[&keys.events, &keys.meta], 256);
        call.arg(from.map_or_else(|| "-".to_owned(), |from| format!("({from}")))
            .arg(limit)
            .arg(PAGE_BYTES);
        let answer = self
            .run(Operation::Snapshot, script, &call)
            .await
            .map_err(|error| self.not_a_stream(&keys.events, error))?;
        replies::snapshot(answer)?.ok_or(StoreError::NotFound)
    }

    /// What is of another type is no stream: it must not fail what is asked of other streams along
    /// with it.
    pub(super) fn not_a_stream(&self, name: &str, error: StoreError) -> StoreError {
        match error {
            StoreError::Refused {
                fault: StoreFault::WrongType,
                ..
            } => {
                self.passed_over(name);
                StoreError::NotFound
            }
            error => error,
        }
    }

    /// Logs, once, that a key of another type was passed over.
    pub(super) fn passed_over(&self, name: &str) {
        // No code panics while it holds the lock, so that what is behind a poisoned one is whole.
        let mut strange = self
            .0
            .strange
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if strange.len() < STRANGE_KEYS && strange.insert(name.to_owned()) {
            tracing::error!(
                name,
                "Redis holds a key of another type under a name of the broker; it is passed over"
            );
        }
    }

    /// Takes what a script stored. What failed beside it is logged when it begins, and the
    /// subscribers of this node do not wait for a message that was perhaps not published.
    pub(super) fn stored<T>(&self, keys: &Keys, stored: replies::Stored<T>) -> T {
        let is_new = self.0.is_half_done.load(Ordering::Relaxed) != stored.problem.is_some()
            && self
                .0
                .is_half_done
                .swap(stored.problem.is_some(), Ordering::Relaxed)
                != stored.problem.is_some();
        if let Some(problem) = &stored.problem {
            if is_new {
                let error = fault::reported(problem);
                tracing::error!(%error, "events are stored, but not published or not listed; subscribers on other nodes get them late");
            }
            if let Some(hub) = self.hub() {
                hub::ask_for(self, &hub, &keys.live);
            }
        } else if is_new {
            tracing::info!("events are published and listed again");
        }
        stored.what
    }

    pub(super) async fn page(
        &self,
        key: &StreamKey,
        cursor: Option<EventId>,
    ) -> Result<Page, StoreError> {
        let keys = self.keys(key);
        let found = self.snapshot(&keys, cursor, PAGE_ENTRIES).await?;
        let around = Around {
            created_ms: found.info.created_ms,
            first: found.info.first,
            last: found.info.last,
            next: found.entries.first().map(|entry| entry.id),
        };
        let (from, missed, found) = match start(cursor, &around) {
            Start::AtCursor(missed) => (cursor, missed, found),
            Start::AtFirst(missed) => {
                let all = self.snapshot(&keys, None, PAGE_ENTRIES).await?;
                // What was trimmed between the two looks moves the first event that follows, and
                // nothing else.
                (
                    None,
                    Some(Missed {
                        first: all.info.first,
                        ..missed
                    }),
                    all,
                )
            }
        };
        let cursor = found.entries.last().map(|entry| entry.id).or(from);
        let parts = if found.entries.is_empty() {
            Vec::new()
        } else {
            vec![Part::new(Arc::new(Segment::new(found.entries)), 0)]
        };
        Ok(Page {
            key: key.clone(),
            info: found.info,
            missed,
            parts,
            cursor,
            is_read: true,
        })
    }
}

#[async_trait]
impl Store for RedisStore {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn delivery(&self) -> &'static str {
        if self.0.hub.is_some() {
            Delivery::Shared.as_str()
        } else {
            Delivery::Exclusive.as_str()
        }
    }

    fn connections(&self) -> ConnectionCounts {
        let (streaming, streaming_in_use) = match &self.0.hub {
            Some(hub) => (hub.connections(), hub.connections()),
            None => self.0.primary.exclusive_size(),
        };
        ConnectionCounts {
            fixed: self.0.fixed,
            streaming,
            streaming_in_use,
        }
    }

    async fn ready(&self) -> Result<Vec<String>, StoreError> {
        readiness::ready(self).await
    }

    async fn create(&self, key: &StreamKey, new: NewStream) -> Result<StreamInfo, StoreError> {
        let (keys, generation, script) =
            (self.keys(key), Generation::fresh()?, &self.0.scripts.create);
        let mut call = script.call(&[&keys.events, &keys.meta, &keys.index], 512);
        call.arg(key.as_str())
            .arg(hex::encode(generation.0))
            .arg(millis(new.ttl))
            .arg(new.max_events);
        let created_ms = match self.run(Operation::Create, script, &call).await? {
            Value::Nil => return Err(StoreError::Exists),
            ms => replies::number(&ms)?,
        };
        let start = EventId {
            ms: created_ms,
            n: 0,
        };
        Ok(StreamInfo {
            generation,
            status: crate::stream::Status::Active,
            length: 1,
            ttl: new.ttl,
            first: start,
            last: start,
            created_ms,
        })
    }

    async fn append(
        &self,
        key: &StreamKey,
        events: &[NewEvent],
        producer_sequence: Option<&ProducerSequence>,
    ) -> Result<Appended, StoreError> {
        let (keys, script) = (self.keys(key), &self.0.scripts.append);
        let batch = message::encode(events);
        let mut call = script.call(
            &[&keys.events, &keys.meta, &keys.index, &keys.live],
            512 + batch.len(),
        );
        call.arg(key.as_str()).arg(batch).arg(events.len());
        if let Some(ProducerSequence { producer, sequence }) = producer_sequence {
            call.arg(producer.as_str()).arg(sequence).arg(MAX_PRODUCERS);
        }
        let stored = replies::appended(self.run(Operation::Append, script, &call).await?)?;
        Ok(self.stored(&keys, stored))
    }

    async fn finish(&self, key: &StreamKey, finish: Finish) -> Result<EventId, StoreError> {
        let (keys, script) = (self.keys(key), &self.0.scripts.finish);
        let mut call = script.call(&[&keys.events, &keys.meta, &keys.index, &keys.live], 512);
        call.arg(key.as_str())
            .arg(finish.event_name())
            .arg(finish.status().as_str())
            .arg(message::encode_own(finish.event_name()));
        let stored = replies::finished(self.run(Operation::Finish, script, &call).await?)?;
        Ok(self.stored(&keys, stored))
    }

    async fn info(&self, key: &StreamKey) -> Result<StreamInfo, StoreError> {
        Ok(self.snapshot(&self.keys(key), None, 0).await?.info)
    }

    async fn list(&self) -> Result<Vec<StreamKey>, StoreError> {
        let now = chrono::Utc::now().timestamp_millis();
        // Entries carry a time before which they have not expired. An hour is allowed for clocks
        // that disagree: what is listed too long is sorted out when it is looked at; what was
        // listed too briefly would be lost.
        let since = format!("({}", now - 3_600_000);
        let asks = keys::indexes(&self.0.prefix).map(|index| {
            let mut ask = redis::cmd("ZRANGEBYSCORE");
            ask.arg(index).arg(&since).arg("+inf");
            ask
        });
        let buckets = self
            .0
            .primary
            .run_all(Operation::List, asks.collect())
            .await?;
        let mut found = Vec::new();
        for (bucket, index) in buckets.into_iter().zip(keys::indexes(&self.0.prefix)) {
            match bucket {
                Some(bucket) => found.extend(
                    replies::texts(bucket)?
                        .iter()
                        .filter_map(|text| text.parse().ok()),
                ),
                None => self.passed_over(&index),
            }
        }
        Ok(found)
    }

    async fn read(&self, key: &StreamKey, cursor: Option<EventId>) -> Result<Page, StoreError> {
        self.page(key, cursor).await
    }

    async fn locate(
        &self,
        key: &StreamKey,
        start_position: StartPosition,
    ) -> Result<Option<EventId>, StoreError> {
        let (what, number) = match start_position {
            StartPosition::Start => return Ok(None),
            StartPosition::Now => ("last", 0),
            StartPosition::Last(count) => ("last", count),
            StartPosition::Since(ms) => ("since", ms),
        };
        let (keys, script) = (self.keys(key), &self.0.scripts.locate);
        let mut call = script.call(&[&keys.events, &keys.meta], 256);
        call.arg(what).arg(number);
        let answer = self
            .run(Operation::Locate, script, &call)
            .await
            .map_err(|error| self.not_a_stream(&keys.events, error))?;
        let wanted = replies::optional_id(answer)?.ok_or(StoreError::NotFound)?;
        Ok(cursor_before(wanted))
    }

    fn appears(&self, key: &StreamKey) -> BoxFuture<'static, StreamInfo> {
        Box::pin(awaited::appears(self.clone(), key.clone()))
    }

    async fn update_presence(
        &self,
        update: &PresenceUpdate,
    ) -> Result<PresenceOutcome, StoreError> {
        self.0.presence.update_presence(update).await
    }

    async fn subscribers_elsewhere(&self, key: &StreamKey) -> Result<u64, StoreError> {
        self.0.presence.subscribers_elsewhere(key).await
    }

    fn may_share(&self, keys: &[StreamKey]) -> Result<(), CrossSlot> {
        // A blocking XREAD goes to one node, and takes only keys of one slot even there.
        let is_bound = self.0.hub.is_none() && self.0.primary.is_cluster();
        let mut indexes = keys.iter().map(|key| self.keys(key).index);
        let first = indexes.next();
        if is_bound && indexes.any(|index| Some(index) != first) {
            Err(CrossSlot)
        } else {
            Ok(())
        }
    }

    fn tails(&self) -> Box<dyn Tails> {
        match self.hub() {
            None => Box::new(ExclusiveTails::new(self.clone())),
            Some(hub) => Box::new(Merged::new(Topics {
                store: self.clone(),
                hub,
            })),
        }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Tells rustls which cryptography to use for `rediss://`; without it redis-rs panics at the first
/// such connection.
pub fn install_crypto_provider() {
    // An error says that a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
