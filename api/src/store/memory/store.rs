//! The promises of the contract, each in a few lines under one lock.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::watch, time::Instant};

use super::log::Log;
use crate::{
    store::{
        Appended, ConnectionCounts, CreateOutcome, Created, IfTaken, Introspect, NewStream, Page,
        Presence, PresenceOutcome, PresenceUpdate, Renewed, SignalPage, StoreError, StreamInfo,
        StreamStore, StreamWatch, Swept, TailSet, merge::MergedTails, watch::Watches,
    },
    stream::{
        Entry, EventId, Finish, Generation, NewEvent, NewSignal, ProducerSequence, Renewal,
        StartPosition, Status, StreamKey,
    },
    telemetry::metrics::SharedMetrics,
};

/// The least time between two searches for expired streams. Creating a stream searches, and so does
/// waiting for one.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How long no sweep may come before that counts as an outage: the process was stopped.
const OUTAGE: Duration = Duration::from_secs(3);

/// Streams in the memory of this process. Cheap to clone.
#[derive(Clone)]
pub struct MemoryStore {
    streams: Arc<Mutex<Streams>>,
}

pub(super) struct Streams {
    by_key: HashMap<StreamKey, Log>,
    /// Keys at which a caller waits for a stream. The sender is dropped when the stream is created.
    awaited: HashMap<StreamKey, watch::Sender<()>>,
    watches: Watches<StreamKey>,
    /// Streams with deadlines.
    with_deadlines: HashSet<StreamKey>,
    /// The last search for streams whose deadlines have passed.
    looked_at: Instant,
    /// Since when such searches have come without a break.
    contact_since: Instant,
    /// When expired streams are next removed. None: never so far.
    sweep_at: Option<Instant>,
    metrics: SharedMetrics,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(metrics: SharedMetrics) -> Self {
        Self {
            streams: Arc::new(Mutex::new(Streams {
                by_key: HashMap::new(),
                awaited: HashMap::new(),
                watches: Watches::default(),
                with_deadlines: HashSet::new(),
                looked_at: Instant::now(),
                contact_since: Instant::now(),
                sweep_at: None,
                metrics,
            })),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock()
    }
}

impl Streams {
    /// The stream at the key, unless it has expired.
    pub(super) fn get(&mut self, key: &StreamKey) -> Option<&mut Log> {
        let log = self.by_key.get(key)?;
        if log.expires_at <= Instant::now() {
            log.expire(&self.metrics);
            self.by_key.remove(key);
        }
        self.by_key.get_mut(key)
    }

    /// The active stream at the key, which must have this generation if one is given.
    fn active(
        &mut self,
        key: &StreamKey,
        generation: Option<Generation>,
    ) -> Result<&mut Log, StoreError> {
        let Some(log) = self.get(key) else {
            return Err(StoreError::NotActive { status: None });
        };
        if generation.is_some_and(|generation| generation != log.generation) {
            Err(StoreError::StaleGeneration)
        } else if log.status.is_finished() {
            let status = Some(log.status);
            Err(StoreError::NotActive { status })
        } else {
            Ok(log)
        }
    }

    /// Removes expired streams, and keys at which nobody waits any more, if it is time to.
    fn sweep(&mut self) {
        let now = Instant::now();
        if self.sweep_at.is_none_or(|at| at <= now) {
            self.by_key.retain(|_, log| {
                let keep = log.expires_at > now;
                if !keep {
                    log.expire(&self.metrics);
                }
                keep
            });
            self.awaited.retain(|_, sender| sender.receiver_count() > 0);
            self.watches.take_unused();
            self.sweep_at = Some(now + SWEEP_INTERVAL);
        }
    }
}

#[async_trait]
impl StreamStore for MemoryStore {
    async fn create(&self, key: &StreamKey, new: &NewStream) -> Result<Created, StoreError> {
        let generation = Generation::fresh()?;
        let mut streams = self.lock();
        streams.sweep();
        let old = streams.get(key);
        if let Some(log) = &old {
            let taken = |outcome| Created {
                info: log.info(),
                outcome,
            };
            let (status, is_finished) = (log.status, log.status.is_finished());
            match if is_finished {
                new.if_finished
            } else {
                new.if_exists
            } {
                _ if log.is_of(new.request_id.as_ref()) => {
                    return Ok(taken(CreateOutcome::Repeated));
                }
                IfTaken::Attach => return Ok(taken(CreateOutcome::Attached)),
                IfTaken::Error => return Err(StoreError::Exists { status }),
                IfTaken::Replace => {}
            }
        }
        let log = Log::new(generation, new, old.map(|log| log.last.ms));
        let info = log.info();
        if log.deadlines.exist() {
            streams.with_deadlines.insert(key.clone());
        }
        streams.by_key.insert(key.clone(), log);
        streams.awaited.remove(key);
        streams.watches.notify(key);
        Ok(Created {
            info,
            outcome: CreateOutcome::New,
        })
    }

    async fn append(
        &self,
        key: &StreamKey,
        generation: Option<Generation>,
        events: &[NewEvent],
        producer_sequence: Option<&ProducerSequence>,
    ) -> Result<Appended, StoreError> {
        let mut streams = self.lock();
        let log = streams.active(key, generation)?;
        let duplicates =
            producer_sequence.map_or(Ok(0), |batch| log.count_in(batch, events.len()))?;
        let first = log.next_id();
        let numbered = events[duplicates..].iter().zip(first.n..);
        let entry = |(event, n): (&NewEvent, u64)| Entry {
            id: EventId { ms: first.ms, n },
            name: event.name().into(),
            data: event.data().map(Into::into),
        };
        log.push(numbered.map(entry).collect());
        Ok(Appended { first, duplicates })
    }

    async fn finish(
        &self,
        key: &StreamKey,
        generation: Option<Generation>,
        finish: &Finish,
    ) -> Result<EventId, StoreError> {
        let mut streams = self.lock();
        let log = streams.active(key, generation)?;
        let Finish { kind, data } = finish;
        let id = log.finish(kind.status(), kind.event_name(), data.clone());
        streams.watches.notify(key);
        Ok(id)
    }

    async fn signal(
        &self,
        key: &StreamKey,
        generation: Option<Generation>,
        signal: &NewSignal,
    ) -> Result<u64, StoreError> {
        let mut streams = self.lock();
        let log = streams.active(key, generation)?;
        let seq = log.signal(signal)?;
        if log.deadlines.exist() {
            streams.with_deadlines.insert(key.clone());
        }
        streams.watches.notify(key);
        Ok(seq)
    }

    async fn renew(
        &self,
        key: &StreamKey,
        generation: Option<Generation>,
        renewal: Renewal,
    ) -> Result<Renewed, StoreError> {
        let mut streams = self.lock();
        let log = streams.active(key, generation)?;
        let renewed = log.renew(renewal);
        if log.deadlines.exist() {
            streams.with_deadlines.insert(key.clone());
        }
        if renewal.lease.is_some() || renewal.stall.is_some() {
            streams.watches.notify(key);
        }
        Ok(renewed)
    }

    async fn sweep(&self) -> Result<Swept, StoreError> {
        let mut streams = self.lock();
        let now = Instant::now();
        if now - streams.looked_at > OUTAGE {
            streams.contact_since = now;
        }
        streams.looked_at = now;
        let contact = now - streams.contact_since;
        let mut swept = Swept::default();
        for key in std::mem::take(&mut streams.with_deadlines) {
            let Ok(log) = streams.active(&key, None) else {
                continue;
            };
            if let Some(due) = log.deadlines.due(contact) {
                log.finish(due.status, due.event_name, Some(due.data.into()));
                streams.watches.notify(&key);
                if due.status == Status::Abandoned {
                    swept.abandoned += 1;
                } else {
                    swept.cancelled += 1;
                }
            } else if log.deadlines.exist() {
                streams.with_deadlines.insert(key);
            }
        }
        Ok(swept)
    }

    async fn signals(&self, key: &StreamKey, after: u64) -> Result<SignalPage, StoreError> {
        let mut streams = self.lock();
        let log = streams.get(key).ok_or(StoreError::NotFound)?;
        let StreamInfo {
            generation,
            status,
            ttl,
            ..
        } = log.info();
        Ok(SignalPage {
            generation,
            status,
            ttl,
            signals: log.signals.after(after),
        })
    }

    async fn info(&self, key: &StreamKey) -> Result<StreamInfo, StoreError> {
        self.lock()
            .get(key)
            .map(|log| log.info())
            .ok_or(StoreError::NotFound)
    }

    async fn list(&self) -> Result<Vec<StreamKey>, StoreError> {
        let now = Instant::now();
        let streams = self.lock();
        let active = streams
            .by_key
            .iter()
            .filter(|(_, log)| log.status == Status::Active && log.expires_at > now);
        Ok(active.map(|(key, _)| key.clone()).collect())
    }

    async fn read(&self, key: &StreamKey, cursor: Option<EventId>) -> Result<Page, StoreError> {
        self.lock()
            .get(key)
            .map(|log| log.page(key, cursor))
            .ok_or(StoreError::NotFound)
    }

    async fn locate(
        &self,
        key: &StreamKey,
        start_position: StartPosition,
    ) -> Result<Option<EventId>, StoreError> {
        if start_position == StartPosition::Start {
            return Ok(None);
        }
        self.lock()
            .get(key)
            .map(|log| log.locate(start_position))
            .ok_or(StoreError::NotFound)
    }

    fn appears(&self, key: &StreamKey) -> BoxFuture<'static, StreamInfo> {
        let (store, key) = (self.clone(), key.clone());
        Box::pin(async move {
            loop {
                let mut created = {
                    let mut streams = store.lock();
                    if let Some(log) = streams.get(&key) {
                        return log.info();
                    }
                    // Without this the keys of callers that gave up would stay until a stream is
                    // created.
                    streams.sweep();
                    streams.awaited.entry(key.clone()).or_default().subscribe()
                };
                // Nothing is ever sent. The error reports that the sender was dropped: the stream
                // exists.
                let _ = created.changed().await;
            }
        })
    }

    fn watch(&self, key: &StreamKey) -> StreamWatch {
        let mut streams = self.lock();
        // Without this the watches of past uploads would stay until a stream is created.
        streams.sweep();
        streams.watches.add(key.clone()).0
    }

    fn tails(&self) -> Box<dyn TailSet> {
        Box::new(MergedTails::new(self.clone()))
    }
}

#[async_trait]
impl Presence for MemoryStore {
    async fn update_presence(&self, _: &PresenceUpdate) -> Result<PresenceOutcome, StoreError> {
        // There are no other nodes.
        Ok(PresenceOutcome::Kept)
    }

    async fn subscribers_elsewhere(&self, _: &StreamKey) -> Result<u64, StoreError> {
        Ok(0)
    }
}

#[async_trait]
impl Introspect for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn delivery(&self) -> &'static str {
        "memory"
    }

    fn connections(&self) -> ConnectionCounts {
        ConnectionCounts::default()
    }

    async fn ready(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}
