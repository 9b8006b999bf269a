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

use deadpool_redis::redis::{self, Value};
use futures::future::BoxFuture;
use rocket::async_trait;

use self::{
    announce::Announcer,
    arrivals::Arrivals,
    exclusive::ExclusiveTails,
    keys::Keys,
    primary::Primary,
    ready::Readiness,
    scripts::Scripts,
    shared::{Hub, Topics},
};
use super::{
    Announced, Announcement, Appended, Beginning, Birth, Connections, CrossSlot, MAX_PRODUCERS,
    NewStream, Numbered, PAGE_BYTES, PAGE_ENTRIES, Page, Store, StoreError, StoreFault, StreamInfo,
    Tails,
    beginning::before,
    merged::Merged,
    resume::{Around, Start, start},
};
use crate::{
    config::{Delivery, Settings},
    event::{EventId, Finish, NewEvent, Part, Segment, StreamKey},
    metrics::{Operation, SharedMetrics},
};

mod announce;
mod arrivals;
mod connect;
mod decode;
mod exclusive;
mod fault;
mod keys;
mod nodes;
mod primary;
mod published;
mod ready;
mod scripts;
mod shared;

/// Names of keys of another type that are remembered, so that each is logged once.
const STRANGE_KEYS: usize = 1_000;

/// Streams in Redis. Cheap to clone.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    prefix: String,
    timeout: Duration,
    fixed: usize,
    primary: Arc<Primary>,
    /// In shared delivery.
    hub: Option<Arc<Hub>>,
    scripts: Scripts,
    announcer: Announcer,
    arrivals: Arrivals,
    readiness: Readiness,
    /// Keys of another type that were logged.
    strange: Mutex<HashSet<String>>,
    /// The last write stored its events but failed in the rest, which was logged.
    is_half_done: AtomicBool,
    metrics: SharedMetrics,
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
        let announcer = Announcer::new(Arc::clone(&primary), &settings.key_prefix);
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
            announcer,
            arrivals: Arrivals::default(),
            readiness: Readiness::default(),
            strange: Mutex::default(),
            is_half_done: AtomicBool::new(false),
            metrics,
        }));
        if let Some(wants) = wants {
            tokio::spawn(shared::run(Arc::downgrade(&store.0), wants));
        }
        Ok(store)
    }

    fn hub(&self) -> Option<Arc<Hub>> {
        self.0.hub.clone()
    }

    fn keys(&self, key: &StreamKey) -> Keys {
        Keys::new(&self.0.prefix, key)
    }

    async fn run(
        &self,
        operation: Operation,
        script: &scripts::LuaScript,
        call: &redis::Cmd,
    ) -> Result<Value, StoreError> {
        self.0
            .primary
            .run(operation, |mut connection| async move {
                script.run(call, &mut connection).await
            })
            .await
    }

    async fn snapshot(
        &self,
        keys: &Keys,
        from: Option<EventId>,
        limit: usize,
    ) -> Result<decode::Snapshot, StoreError> {
        let script = &self.0.scripts.snapshot;
        let mut call = script.call(&[&keys.events, &keys.meta], 256);
        call.arg(from.map_or_else(|| "-".to_owned(), |from| format!("({from}")))
            .arg(limit)
            .arg(PAGE_BYTES);
        let answer = self
            .run(Operation::Snapshot, script, &call)
            .await
            .map_err(|error| self.not_a_stream(&keys.events, error))?;
        decode::snapshot(answer)?.ok_or(StoreError::NotFound)
    }

    /// What is of another type is no stream: it must not fail what is asked of other streams along
    /// with it.
    fn not_a_stream(&self, name: &str, error: StoreError) -> StoreError {
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
    fn passed_over(&self, name: &str) {
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
    fn stored<T>(&self, keys: &Keys, stored: decode::Stored<T>) -> T {
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
                shared::ask_for(self, &hub, &keys.live);
            }
        } else if is_new {
            tracing::info!("events are published and listed again");
        }
        stored.what
    }

    async fn page(&self, key: &StreamKey, cursor: Option<EventId>) -> Result<Page, StoreError> {
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
                    Some(super::Missed {
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

    fn connections(&self) -> Connections {
        let (streaming, streaming_in_use) = match &self.0.hub {
            Some(hub) => (hub.connections(), hub.connections()),
            None => self.0.primary.exclusive_size(),
        };
        Connections {
            fixed: self.0.fixed,
            streaming,
            streaming_in_use,
        }
    }

    async fn ready(&self) -> Result<Vec<String>, StoreError> {
        ready::ready(self).await
    }

    async fn create(&self, key: &StreamKey, new: NewStream) -> Result<StreamInfo, StoreError> {
        let (keys, birth, script) = (self.keys(key), Birth::fresh()?, &self.0.scripts.create);
        let mut call = script.call(&[&keys.events, &keys.meta, &keys.index], 512);
        call.arg(key.as_str())
            .arg(hex::encode(birth.0))
            .arg(millis(new.ttl))
            .arg(new.max_events);
        let created_ms = match self.run(Operation::Create, script, &call).await? {
            Value::Nil => return Err(StoreError::Exists),
            ms => decode::number(&ms)?,
        };
        let start = EventId {
            ms: created_ms,
            n: 0,
        };
        Ok(StreamInfo {
            birth,
            status: crate::event::Status::Active,
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
        numbered: Option<&Numbered>,
    ) -> Result<Appended, StoreError> {
        let (keys, script) = (self.keys(key), &self.0.scripts.append);
        let batch = published::encode(events);
        let mut call = script.call(
            &[&keys.events, &keys.meta, &keys.index, &keys.live],
            512 + batch.len(),
        );
        call.arg(key.as_str()).arg(batch).arg(events.len());
        if let Some(Numbered { producer, sequence }) = numbered {
            call.arg(producer.as_str()).arg(sequence).arg(MAX_PRODUCERS);
        }
        let stored = decode::appended(self.run(Operation::Append, script, &call).await?)?;
        Ok(self.stored(&keys, stored))
    }

    async fn finish(&self, key: &StreamKey, finish: Finish) -> Result<EventId, StoreError> {
        let (keys, script) = (self.keys(key), &self.0.scripts.finish);
        let mut call = script.call(&[&keys.events, &keys.meta, &keys.index, &keys.live], 512);
        call.arg(key.as_str())
            .arg(finish.event_name())
            .arg(finish.status().as_str())
            .arg(published::encode_own(finish.event_name()));
        let stored = decode::finished(self.run(Operation::Finish, script, &call).await?)?;
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
                    decode::texts(bucket)?
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
        beginning: Beginning,
    ) -> Result<Option<EventId>, StoreError> {
        let (what, number) = match beginning {
            Beginning::Start => return Ok(None),
            Beginning::Now => ("last", 0),
            Beginning::Last(count) => ("last", count),
            Beginning::Since(ms) => ("since", ms),
        };
        let (keys, script) = (self.keys(key), &self.0.scripts.locate);
        let mut call = script.call(&[&keys.events, &keys.meta], 256);
        call.arg(what).arg(number);
        let answer = self
            .run(Operation::Locate, script, &call)
            .await
            .map_err(|error| self.not_a_stream(&keys.events, error))?;
        let wanted = decode::optional_id(answer)?.ok_or(StoreError::NotFound)?;
        Ok(before(wanted))
    }

    fn appears(&self, key: &StreamKey) -> BoxFuture<'static, StreamInfo> {
        Box::pin(arrivals::appears(self.clone(), key.clone()))
    }

    async fn announce(&self, announcement: &Announcement) -> Result<Announced, StoreError> {
        self.0.announcer.announce(announcement).await
    }

    async fn clients_elsewhere(&self, key: &StreamKey) -> Result<u64, StoreError> {
        self.0.announcer.clients_elsewhere(key).await
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Tells rustls which cryptography to use for `rediss://`; without it redis-rs panics at the first
/// such connection.
pub fn install_crypto_provider() {
    // An error says that a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
