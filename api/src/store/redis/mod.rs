//! Streams in Redis 6.2 and later, or Valkey: the same promises as the embedded store, each kept by one script.

use std::{sync::Arc, time::Duration};

use deadpool_redis::{
    Pool,
    redis::{self, Value},
};
use rocket::async_trait;
use tokio::time::timeout;

use self::{
    connect::{Fixed, SharedConnection},
    exclusive::ExclusiveTail,
    keys::Keys,
    scripts::Scripts,
    shared::{Hub, SharedTail, Subscriber},
};
use super::{
    Appended, Birth, Connections, MAX_PRODUCERS, NewStream, Numbered, PAGE_BYTES, PAGE_ENTRIES, Page, Store, StoreError, StreamInfo, Tail,
    resume::{Around, Start, start},
};
use crate::{
    config::{Delivery, Settings},
    event::{EventId, Finish, NewEvent, Part, Segment, StreamKey},
    metrics::{Operation, SharedMetrics},
};

mod connect;
mod decode;
mod exclusive;
mod keys;
mod published;
mod scripts;
mod shared;

/// How long [`Store::ready`] waits.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// Streams in Redis. Cheap to clone.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    prefix: String,
    timeout: Duration,
    fixed: Fixed,
    live: Live,
    scripts: Scripts,
    metrics: SharedMetrics,
}

/// How live entries reach the node.
enum Live {
    Exclusive(Pool),
    Shared(Arc<Hub>),
}

impl RedisStore {
    /// A store on the Redis at `url`. Nothing connects before the first command.
    ///
    /// With shared delivery it must be made within a runtime, which keeps the subscription.
    ///
    /// Errors: the URL can't be used.
    pub fn new(url: &str, settings: &Settings, metrics: SharedMetrics) -> Result<Self, StoreError> {
        let fixed = Fixed::new(url, settings, SharedMetrics::clone(&metrics)).map_err(|error| unusable(&error))?;
        match settings.delivery {
            Delivery::Exclusive => {
                let pool = connect::exclusive_pool(url, settings).map_err(|error| unusable(&error))?;
                Ok(Self::with(settings, fixed, Live::Exclusive(pool), metrics))
            }
            Delivery::Shared => {
                Ok(Self::subscribed(settings, fixed, connect::subscription(url, settings).map_err(|error| unusable(&error))?, metrics))
            }
        }
    }

    /// A store on a Redis Cluster, of which these are some of the nodes. The delivery is shared, whatever the settings say.
    ///
    /// It must be made within a runtime. Errors: a URL can't be used.
    pub fn on_cluster(nodes: &[String], settings: &Settings, metrics: SharedMetrics) -> Result<Self, StoreError> {
        let fixed = Fixed::on_cluster(nodes, settings, SharedMetrics::clone(&metrics)).map_err(|error| unusable(&error))?;
        let subscriber = connect::cluster_subscription(nodes, settings).map_err(|error| unusable(&error))?;
        Ok(Self::subscribed(settings, fixed, subscriber, metrics))
    }

    fn subscribed(settings: &Settings, fixed: Fixed, subscriber: Subscriber, metrics: SharedMetrics) -> Self {
        let (hub, wants) = Hub::new(settings, &subscriber, SharedMetrics::clone(&metrics));
        let store = Self::with(settings, fixed, Live::Shared(Arc::new(hub)), metrics);
        tokio::spawn(shared::run(Arc::downgrade(&store.0), subscriber, wants));
        store
    }

    fn with(settings: &Settings, fixed: Fixed, live: Live, metrics: SharedMetrics) -> Self {
        let scripts = Scripts::new(fixed.is_cluster());
        Self(Arc::new(Inner { prefix: settings.key_prefix.clone(), timeout: settings.redis_timeout, fixed, live, scripts, metrics }))
    }

    fn hub(&self) -> Option<Arc<Hub>> {
        match &self.0.live {
            Live::Exclusive(_) => None,
            Live::Shared(hub) => Some(Arc::clone(hub)),
        }
    }

    fn keys(&self, key: &StreamKey) -> Keys {
        Keys::new(&self.0.prefix, key)
    }

    async fn run(&self, operation: Operation, script: &scripts::LuaScript, call: &redis::Cmd) -> Result<Value, StoreError> {
        self.0.fixed.run(operation, |mut connection| async move { script.run(call, &mut connection).await }).await
    }

    async fn snapshot(&self, keys: &Keys, from: Option<EventId>, limit: usize) -> Result<decode::Snapshot, StoreError> {
        let script = &self.0.scripts.snapshot;
        let mut call = script.call(&[&keys.events, &keys.meta], 256);
        call.arg(from.map_or_else(|| "-".to_owned(), |from| format!("({from}"))).arg(limit).arg(PAGE_BYTES);
        decode::snapshot(self.run(Operation::Snapshot, script, &call).await?)?.ok_or(StoreError::NotFound)
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
                // What was trimmed between the two looks moves the first event that follows, and nothing else.
                (None, Some(super::Missed { first: all.info.first, ..missed }), all)
            }
        };
        let cursor = found.entries.last().map(|entry| entry.id).or(from);
        let parts = if found.entries.is_empty() { Vec::new() } else { vec![Part::new(Arc::new(Segment::new(found.entries)), 0)] };
        Ok(Page { key: key.clone(), info: found.info, missed, parts, cursor })
    }
}

#[async_trait]
impl Store for RedisStore {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn delivery(&self) -> &'static str {
        match self.0.live {
            Live::Exclusive(_) => Delivery::Exclusive.as_str(),
            Live::Shared(_) => Delivery::Shared.as_str(),
        }
    }

    fn connections(&self) -> Connections {
        let (streaming, streaming_in_use) = match &self.0.live {
            Live::Exclusive(pool) => {
                let status = pool.status();
                (status.size, status.size.saturating_sub(status.available))
            }
            Live::Shared(hub) => (hub.connections(), hub.connections()),
        };
        Connections { fixed: self.0.fixed.len(), streaming, streaming_in_use }
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let ping = self.0.fixed.run(Operation::Ping, |mut connection| async move { redis::cmd("PING").query_async(&mut connection).await });
        timeout(READY_TIMEOUT, ping).await.map_err(|_| StoreError::Unavailable("no answer to PING in a second".to_owned()))??;
        Ok(())
    }

    async fn create(&self, key: &StreamKey, new: NewStream) -> Result<StreamInfo, StoreError> {
        let (keys, birth, script) = (self.keys(key), Birth::fresh()?, &self.0.scripts.create);
        let mut call = script.call(&[&keys.events, &keys.meta, &keys.index], 512);
        call.arg(key.as_str()).arg(hex::encode(birth.0)).arg(millis(new.ttl)).arg(new.max_events);
        let created_ms = match self.run(Operation::Create, script, &call).await? {
            Value::Nil => return Err(StoreError::Exists),
            ms => decode::number(&ms)?,
        };
        let start = EventId { ms: created_ms, n: 0 };
        Ok(StreamInfo { birth, status: crate::event::Status::Active, length: 1, ttl: new.ttl, first: start, last: start, created_ms })
    }

    async fn append(&self, key: &StreamKey, events: &[NewEvent], numbered: Option<&Numbered>) -> Result<Appended, StoreError> {
        let (keys, script) = (self.keys(key), &self.0.scripts.append);
        let batch = published::encode(events);
        let mut call = script.call(&[&keys.events, &keys.meta, &keys.index, &keys.live], 512 + batch.len());
        call.arg(key.as_str()).arg(batch);
        if let Some(Numbered { producer, sequence }) = numbered {
            call.arg(producer.as_str()).arg(sequence).arg(MAX_PRODUCERS);
        }
        decode::appended(self.run(Operation::Append, script, &call).await?)
    }

    async fn finish(&self, key: &StreamKey, finish: Finish) -> Result<EventId, StoreError> {
        let (keys, script) = (self.keys(key), &self.0.scripts.finish);
        let mut call = script.call(&[&keys.events, &keys.meta, &keys.index, &keys.live], 512);
        call.arg(key.as_str()).arg(finish.event_name()).arg(finish.status().as_str()).arg(published::encode_own(finish.event_name()));
        decode::written_id(self.run(Operation::Finish, script, &call).await?)?.ok_or(StoreError::NotActive)
    }

    async fn info(&self, key: &StreamKey) -> Result<StreamInfo, StoreError> {
        Ok(self.snapshot(&self.keys(key), None, 0).await?.info)
    }

    async fn list(&self) -> Result<Vec<StreamKey>, StoreError> {
        let now = chrono::Utc::now().timestamp_millis();
        // Entries carry a time before which they have not expired. An hour is allowed for clocks that disagree: what is
        // listed too long is sorted out when it is looked at; what was listed too briefly would be lost.
        let since = format!("({}", now - 3_600_000);
        let asks = keys::indexes(&self.0.prefix).map(|index| {
            let mut ask = redis::cmd("ZRANGEBYSCORE");
            ask.arg(index).arg(&since).arg("+inf");
            ask
        });
        let buckets = if self.0.fixed.is_cluster() {
            // A pipeline goes to one node; these go to all.
            let ask = |ask: redis::Cmd| async move {
                let ask = &ask;
                self.0.fixed.run(Operation::List, |mut connection| async move { ask.query_async(&mut connection).await }).await
            };
            futures::future::try_join_all(asks.map(ask)).await?
        } else {
            let mut pipeline = redis::pipe();
            for ask in asks {
                pipeline.add_command(ask);
            }
            let pipeline = &pipeline;
            let ask = |mut connection: SharedConnection| async move { pipeline.query_async(&mut connection).await };
            let Value::Array(buckets) = self.0.fixed.run(Operation::List, ask).await? else {
                return Err(StoreError::Unexpected("not a list"));
            };
            buckets
        };
        let mut found = Vec::new();
        for bucket in buckets {
            found.extend(decode::texts(bucket)?.iter().filter_map(|text| text.parse().ok()));
        }
        Ok(found)
    }

    async fn read(&self, key: &StreamKey, cursor: Option<EventId>) -> Result<Page, StoreError> {
        self.page(key, cursor).await
    }

    fn tail(&self, page: Page) -> Box<dyn Tail> {
        match &self.0.live {
            Live::Exclusive(pool) => Box::new(ExclusiveTail::new(self.clone(), pool.clone(), page)),
            Live::Shared(hub) => Box::new(SharedTail::new(self.clone(), hub, page)),
        }
    }
}

fn unusable(error: &redis::RedisError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Tells rustls which cryptography to use for `rediss://`; without it redis-rs panics at the first such connection.
pub fn install_crypto_provider() {
    // An error says that a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
