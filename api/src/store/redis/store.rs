//! The store on Redis: writes, and the parts that keep the other promises of the contract.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use deadpool_redis::redis;
use futures::future::BoxFuture;

use super::{
    awaited::AwaitedStreams,
    create,
    exclusive::tails::ExclusiveTails,
    fault,
    keys::{self, Keys},
    message,
    notifications::Notifications,
    presence::RedisPresence,
    reader::RedisReader,
    readiness::Readiness,
    renew, replies,
    scripts::expected,
    shared::{hub::Hub, receive, tail::Topics},
    signals,
    sweep::Sweeper,
};
use crate::{
    config::{Delivery, Settings},
    store::{
        Appended, ConnectionCounts, Created, CrossSlot, Introspect, NewStream, Page, Presence,
        PresenceOutcome, PresenceUpdate, Renewed, SignalPage, StoreError, StreamInfo, StreamStore,
        StreamWatch, Swept, TailSet, merge::MergedTails, resume::cursor_before,
    },
    stream::{
        EventId, Finish, Generation, MAX_PRODUCERS, NewEvent, NewSignal, ProducerSequence, Renewal,
        StartPosition, StreamKey,
    },
    telemetry::metrics::{Operation, SharedMetrics},
};

/// How far the clocks of nodes may differ from that of Redis when streams are listed, in
/// milliseconds.
const CLOCK_TOLERANCE_MS: i64 = 3_600_000;

/// Streams in Redis 6.2 and later, or Valkey. It keeps the same promises as the embedded store,
/// each by one script.
pub struct RedisStore {
    reader: Arc<RedisReader>,
    /// In shared delivery.
    hub: Option<Arc<Hub>>,
    presence: RedisPresence,
    awaited: Arc<AwaitedStreams>,
    sweeper: Sweeper,
    notifications: Arc<Notifications>,
    readiness: Readiness,
    /// The number of connections for writes and management.
    fixed: usize,
    /// The last write stored its events but failed to publish or list them, which was logged.
    is_half_done: AtomicBool,
}

impl RedisStore {
    /// A store on the Redis of the settings. It connects at the first command, except that
    /// Sentinels are asked and, in shared delivery, a subscription is made at once.
    ///
    /// It must be made within a runtime, which runs the tasks for both. Errors: the URL can't be
    /// used.
    pub fn new(settings: &Settings, metrics: SharedMetrics) -> Result<Self, StoreError> {
        let reader = RedisReader::new(settings, metrics)?;
        let hub = match settings.delivery {
            Delivery::Exclusive => None,
            Delivery::Shared => {
                let (hub, new_topics) = Hub::new(Arc::clone(&reader));
                let hub = Arc::new(hub);
                tokio::spawn(receive::run(Arc::downgrade(&hub), new_topics));
                Some(hub)
            }
        };
        Ok(Self {
            presence: RedisPresence::new(Arc::clone(&reader)),
            awaited: Arc::new(AwaitedStreams::new(Arc::clone(&reader))),
            sweeper: Sweeper::new(Arc::clone(&reader)),
            notifications: Arc::new(Notifications::new(Arc::clone(&reader))),
            readiness: Readiness::new(Arc::clone(&reader), hub.clone()),
            reader,
            hub,
            fixed: settings.redis_pool,
            is_half_done: AtomicBool::new(false),
        })
    }

    /// Takes the result of a script that wrote. Logs when publishing or listing begins to fail, and
    /// when it works again. After a failure the subscribers of this node get the events from Redis
    /// at once, because a message may never come.
    fn accept<T>(&self, keys: &Keys, stored: replies::Stored<T>) -> T {
        let has_problem = stored.problem.is_some();
        // The swap comes second: with one for each write, all writers would wait for each other.
        let is_new = self.is_half_done.load(Ordering::Relaxed) != has_problem
            && self.is_half_done.swap(has_problem, Ordering::Relaxed) != has_problem;
        if let Some(problem) = &stored.problem {
            if is_new {
                let error = fault::from_script(problem);
                tracing::error!(
                    %error,
                    "events are stored, but not published or not listed; \
                     subscribers on other nodes get them late"
                );
            }
            if let Some(hub) = &self.hub {
                hub.repair_channel(&keys.live);
            }
        } else if is_new {
            tracing::info!("events are published and listed again");
        }
        stored.value
    }
}

#[async_trait]
impl StreamStore for RedisStore {
    async fn create(&self, key: &StreamKey, new: &NewStream) -> Result<Created, StoreError> {
        create::create(&self.reader, key, new).await
    }

    async fn append(
        &self,
        key: &StreamKey,
        generation: Option<Generation>,
        events: &[NewEvent],
        producer_sequence: Option<&ProducerSequence>,
    ) -> Result<Appended, StoreError> {
        let (keys, script) = (self.reader.keys(key), &self.reader.scripts.append);
        let batch = message::encode(events);
        let names = [
            &*keys.events,
            &keys.meta,
            &keys.index,
            &keys.live,
            &keys.signals(),
        ];
        let mut call = script.call(&names, 512 + batch.len());
        call.arg(key.as_str())
            .arg(batch)
            .arg(events.len())
            .arg(expected(generation));
        if let Some(ProducerSequence { producer, sequence }) = producer_sequence {
            call.arg(producer.as_str()).arg(sequence).arg(MAX_PRODUCERS);
        }
        let stored = replies::appended(self.reader.run(Operation::Append, script, &call).await?)?;
        Ok(self.accept(&keys, stored))
    }

    async fn finish(
        &self,
        key: &StreamKey,
        generation: Option<Generation>,
        finish: &Finish,
    ) -> Result<EventId, StoreError> {
        let (keys, script) = (self.reader.keys(key), &self.reader.scripts.finish);
        let mut call = script.call(&keys.of_finish(), 512);
        let Finish { kind, data } = finish;
        call.arg(key.as_str())
            .arg(kind.event_name())
            .arg(kind.status().as_str())
            .arg(message::encode_own(kind.event_name(), data.as_deref()))
            .arg(expected(generation));
        if let Some(data) = data {
            call.arg(&**data);
        }
        let stored = replies::finished(self.reader.run(Operation::Finish, script, &call).await?)?;
        Ok(self.accept(&keys, stored))
    }

    async fn signal(
        &self,
        key: &StreamKey,
        generation: Option<Generation>,
        signal: &NewSignal,
    ) -> Result<u64, StoreError> {
        let stored = signals::store(&self.reader, key, generation, signal).await?;
        Ok(self.accept(&self.reader.keys(key), stored))
    }

    async fn signals(&self, key: &StreamKey, after: u64) -> Result<SignalPage, StoreError> {
        signals::read(&self.reader, key, after).await
    }

    async fn renew(
        &self,
        key: &StreamKey,
        generation: Option<Generation>,
        renewal: Renewal,
    ) -> Result<Renewed, StoreError> {
        renew::renew(&self.reader, key, generation, renewal).await
    }

    async fn sweep(&self) -> Result<Swept, StoreError> {
        self.sweeper
            .sweep(|keys, stored| {
                self.accept(keys, stored);
            })
            .await
    }

    async fn info(&self, key: &StreamKey) -> Result<StreamInfo, StoreError> {
        self.reader.info(key).await
    }

    async fn list(&self) -> Result<Vec<StreamKey>, StoreError> {
        // Entries of an index carry a time before which their streams have not expired. A stream
        // that is listed too long is left out when it is read. One that is listed too briefly would
        // be lost.
        let since = chrono::Utc::now().timestamp_millis() - CLOCK_TOLERANCE_MS;
        let since = format!("({since}");
        let reads = keys::indexes(&self.reader.prefix).map(|index| {
            let mut read = redis::cmd("ZRANGEBYSCORE");
            read.arg(index).arg(&since).arg("+inf");
            read
        });
        let buckets = self
            .reader
            .run_all(Operation::List, reads.collect())
            .await?;
        let mut listed = Vec::new();
        for (bucket, index) in buckets.into_iter().zip(keys::indexes(&self.reader.prefix)) {
            let Some(bucket) = bucket else {
                self.reader.log_wrong_type(&index);
                continue;
            };
            let names = replies::texts(bucket)?;
            listed.extend(names.iter().filter_map(|name| name.parse().ok()));
        }
        Ok(listed)
    }

    async fn read(&self, key: &StreamKey, cursor: Option<EventId>) -> Result<Page, StoreError> {
        self.reader.page(key, cursor).await
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
        let (keys, script) = (self.reader.keys(key), &self.reader.scripts.locate);
        let mut call = script.call(&[&keys.events, &keys.meta], 256);
        call.arg(what).arg(number);
        let answer = self
            .reader
            .run(Operation::Locate, script, &call)
            .await
            .map_err(|error| self.reader.ignore_wrong_type(&keys.events, error))?;
        let wanted = replies::optional_id(answer)?.ok_or(StoreError::NotFound)?;
        Ok(cursor_before(wanted))
    }

    fn appears(&self, key: &StreamKey) -> BoxFuture<'static, StreamInfo> {
        Box::pin(Arc::clone(&self.awaited).appears(key.clone()))
    }

    fn watch(&self, key: &StreamKey) -> StreamWatch {
        self.notifications.watch(key)
    }

    fn may_share(&self, keys: &[StreamKey]) -> Result<(), CrossSlot> {
        // An `XREAD BLOCK` goes to one node, and takes only keys of one slot there.
        let is_one_slot = self.hub.is_none() && self.reader.primary.is_cluster();
        let mut indexes = keys.iter().map(|key| self.reader.keys(key).index);
        let first = indexes.next();
        if is_one_slot && indexes.any(|index| Some(index) != first) {
            Err(CrossSlot)
        } else {
            Ok(())
        }
    }

    fn tails(&self) -> Box<dyn TailSet> {
        match &self.hub {
            None => Box::new(ExclusiveTails::new(Arc::clone(&self.reader))),
            Some(hub) => Box::new(MergedTails::new(Topics {
                hub: Arc::clone(hub),
            })),
        }
    }
}

#[async_trait]
impl Presence for RedisStore {
    async fn update_presence(
        &self,
        update: &PresenceUpdate,
    ) -> Result<PresenceOutcome, StoreError> {
        self.presence.update(update).await
    }

    async fn subscribers_elsewhere(&self, key: &StreamKey) -> Result<u64, StoreError> {
        self.presence.subscribers_elsewhere(key).await
    }
}

#[async_trait]
impl Introspect for RedisStore {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn delivery(&self) -> &'static str {
        if self.hub.is_some() {
            Delivery::Shared.as_str()
        } else {
            Delivery::Exclusive.as_str()
        }
    }

    fn connections(&self) -> ConnectionCounts {
        let (streaming, streaming_in_use) = match &self.hub {
            Some(hub) => (hub.connections(), hub.connections()),
            None => self.reader.primary.exclusive_size(),
        };
        ConnectionCounts {
            fixed: self.fixed,
            streaming,
            streaming_in_use,
        }
    }

    async fn ready(&self) -> Result<Vec<String>, StoreError> {
        self.readiness.ready().await
    }
}

/// Selects the cryptography that rustls uses for `rediss://`. Without it redis-rs panics at the
/// first such connection.
pub fn install_crypto_provider() {
    // An error reports that a provider is installed already, which is enough.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
