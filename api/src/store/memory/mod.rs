//! The embedded store: one process, nothing to install, nothing kept over a restart. It reads as
//! the specification of [`Store`]: every promise is a few lines under one lock.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{
    Appended, Batch, ConnectionCounts, NewStream, PAGE_BYTES, PAGE_ENTRIES, Page, Store,
    StoreError, StreamInfo, Tails,
    merge::{Merged, Source, Tail, TailError},
    presence::{PresenceOutcome, PresenceUpdate},
    resume::{Around, Start, cursor_before, start},
};
use crate::{
    codec::segment::{Part, Segment},
    stream::{
        Entry, EventId, Finish, Generation, MAX_PRODUCERS, NewEvent, Producer, ProducerSequence,
        StartPosition, Status, StreamKey,
    },
    telemetry::metrics::{Metrics, SharedMetrics},
};

/// Streams in this process' memory.
#[derive(Clone)]
pub struct MemoryStore {
    streams: Arc<Mutex<Streams>>,
}

struct Streams {
    by_key: HashMap<StreamKey, Log>,
    /// Streams that somebody waits for; a sender is dropped when its stream is there.
    awaited: HashMap<StreamKey, watch::Sender<()>>,
    /// When expired streams are next looked for.
    sweep_at: Option<Instant>,
    metrics: SharedMetrics,
}

/// How often expired streams are looked for, at the most; creating one asks, and so does waiting
/// for one.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// One stream.
struct Log {
    generation: Generation,
    status: Status,
    new: NewStream,
    created_ms: u64,
    /// One segment per batch written.
    segments: VecDeque<Arc<Segment>>,
    /// How many entries of the first segment are trimmed.
    skip: usize,
    length: usize,
    last: EventId,
    /// How many events of each producer were written.
    producers: HashMap<Producer, u64>,
    expires_at: Instant,
    /// Wakes the tails after every change; dropped with the stream, which wakes them too.
    changed: watch::Sender<()>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(metrics: SharedMetrics) -> Self {
        Self {
            streams: Arc::new(Mutex::new(Streams {
                by_key: HashMap::new(),
                awaited: HashMap::new(),
                sweep_at: None,
                metrics,
            })),
        }
    }

    /// No code panics while it holds the lock, so that the streams behind a poisoned one are whole.
    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Streams {
    fn get(&mut self, key: &StreamKey) -> Option<&mut Log> {
        let log = self.by_key.get(key)?;
        if log.expires_at <= Instant::now() {
            log.expire(&self.metrics);
            self.by_key.remove(key);
        }
        self.by_key.get_mut(key)
    }

    fn active(&mut self, key: &StreamKey) -> Result<&mut Log, StoreError> {
        self.get(key)
            .filter(|log| log.status == Status::Active)
            .ok_or(StoreError::NotActive)
    }

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
            self.sweep_at = Some(now + SWEEP_INTERVAL);
        }
    }
}

impl Log {
    fn new(generation: Generation, new: NewStream, after_ms: Option<u64>) -> Self {
        // Ids of a stream that replaces another lie after all of the other's, so that no cursor
        // fits both.
        let created_ms = now_ms().max(after_ms.map_or(0, |ms| ms + 1));
        let id = EventId {
            ms: created_ms,
            n: 0,
        };
        let start = Segment::new(vec![Entry {
            id,
            name: "start".into(),
            data: None,
        }]);
        Self {
            generation,
            status: Status::Active,
            new,
            created_ms,
            segments: VecDeque::from([Arc::new(start)]),
            skip: 0,
            length: 1,
            last: id,
            producers: HashMap::new(),
            expires_at: Instant::now() + new.ttl,
            changed: watch::Sender::new(()),
        }
    }

    /// Counts a stream whose time was up before it was finished.
    fn expire(&self, metrics: &Metrics) {
        if self.status == Status::Active {
            metrics.streams.expired.inc();
        }
    }

    fn next_id(&self) -> EventId {
        EventId {
            ms: now_ms().max(self.last.ms),
            n: self.last.n + 1,
        }
    }

    fn push(&mut self, entries: Vec<Entry>) {
        if let Some(entry) = entries.last() {
            self.last = entry.id;
            self.length += entries.len();
            self.segments.push_back(Arc::new(Segment::new(entries)));
        }
        self.trim();
        self.expires_at = Instant::now() + self.new.ttl;
        self.changed.send_replace(());
    }

    /// Remembers the events of a producer's batch; how many of them are here already.
    fn count_in(&mut self, batch: &ProducerSequence, count: usize) -> Result<usize, StoreError> {
        let has = self.producers.get(&batch.producer).copied();
        if has.is_none() && self.producers.len() >= MAX_PRODUCERS {
            return Err(StoreError::TooManyProducers);
        }
        let has = has.unwrap_or(0);
        let known = has
            .checked_sub(batch.sequence)
            .ok_or(StoreError::SequenceGap { has })?;
        self.producers.insert(
            batch.producer.clone(),
            has.max(batch.sequence + count as u64),
        );
        Ok(usize::try_from(known).unwrap_or(usize::MAX).min(count))
    }

    fn trim(&mut self) {
        let keep = usize::try_from(self.new.max_events).unwrap_or(usize::MAX);
        let surplus = self.length.saturating_sub(keep);
        self.length -= surplus;
        self.skip += surplus;
        while let Some(count) = self
            .segments
            .front()
            .map(|front| front.entries().len())
            .filter(|&count| count <= self.skip)
        {
            self.skip -= count;
            self.segments.pop_front();
        }
    }

    fn first(&self) -> EventId {
        // A stream has at least one event: `start` is there from the first, and trimming keeps at
        // least one.
        self.segments
            .front()
            .and_then(|front| front.entries().get(self.skip))
            .map_or(self.last, |entry| entry.id)
    }

    /// The first stored event that is not `passed`, as those before it are; where all are, the next
    /// to come.
    fn first_after(&self, passed: impl Fn(EventId) -> bool) -> EventId {
        let next = EventId {
            n: self.last.n + 1,
            ..self.last
        };
        let at = self.segments.partition_point(|segment| {
            segment
                .entries()
                .last()
                .is_some_and(|entry| passed(entry.id))
        });
        let trimmed = if at == 0 { self.skip } else { 0 };
        let entries = self
            .segments
            .get(at)
            .map_or(&[][..], |segment| segment.entries());
        entries
            .get(
                entries
                    .partition_point(|entry| passed(entry.id))
                    .max(trimmed),
            )
            .map_or(next, |entry| entry.id)
    }

    fn locate(&self, start_position: StartPosition) -> Option<EventId> {
        let next = self.last.n + 1;
        cursor_before(match start_position {
            StartPosition::Start => return None,
            StartPosition::Now => self.first_after(|_| true),
            StartPosition::Last(count) => self.first_after(|id| id.n < next.saturating_sub(count)),
            StartPosition::Since(ms) => self.first_after(|id| id.ms < ms),
        })
    }

    fn info(&self) -> StreamInfo {
        StreamInfo {
            generation: self.generation,
            status: self.status,
            length: self.length as u64,
            ttl: self.expires_at.saturating_duration_since(Instant::now()),
            first: self.first(),
            last: self.last,
            created_ms: self.created_ms,
        }
    }

    /// The stored entries after the cursor, all of them; cheap, as nothing is copied before it is
    /// taken.
    fn after(&self, cursor: Option<EventId>) -> impl Iterator<Item = Part> {
        let begin = match cursor {
            Some(cursor) => self.segments.partition_point(|segment| {
                segment
                    .entries()
                    .last()
                    .is_some_and(|entry| entry.id <= cursor)
            }),
            None => 0,
        };
        self.segments
            .iter()
            .enumerate()
            .skip(begin)
            .map(move |(index, segment)| {
                let trimmed = if index == 0 { self.skip } else { 0 };
                let seen = if index == begin {
                    cursor.map_or(0, |cursor| {
                        segment
                            .entries()
                            .partition_point(|entry| entry.id <= cursor)
                    })
                } else {
                    0
                };
                Part::new(Arc::clone(segment), trimmed.max(seen))
            })
    }

    fn page(&self, key: &StreamKey, cursor: Option<EventId>) -> Page {
        let info = self.info();
        let next = self
            .after(cursor)
            .next()
            .and_then(|part| part.entries().first().map(|entry| entry.id));
        let around = Around {
            created_ms: info.created_ms,
            first: info.first,
            last: info.last,
            next,
        };
        let (from, missed) = match start(cursor, &around) {
            Start::AtCursor(missed) => (cursor, missed),
            Start::AtFirst(missed) => (None, Some(missed)),
        };
        let (mut count, mut bytes) = (0, 0);
        let fits = |part: &Part| {
            let room = count < PAGE_ENTRIES && bytes < PAGE_BYTES;
            count += part.entries().len();
            bytes += part.entries().iter().map(Entry::weight).sum::<usize>();
            room
        };
        let parts: Vec<Part> = self.after(from).take_while(fits).collect();
        let last = parts
            .iter()
            .rev()
            .find_map(|part| part.entries().last())
            .map(|entry| entry.id);
        Page {
            key: key.clone(),
            info,
            missed,
            parts,
            cursor: last.or(from),
            is_read: true,
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
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

    async fn create(&self, key: &StreamKey, new: NewStream) -> Result<StreamInfo, StoreError> {
        let generation = Generation::fresh()?;
        let mut streams = self.lock();
        streams.sweep();
        let old = streams.get(key);
        if old.as_ref().is_some_and(|log| log.status == Status::Active) {
            return Err(StoreError::Exists);
        }
        let log = Log::new(generation, new, old.map(|log| log.last.ms));
        let info = log.info();
        streams.by_key.insert(key.clone(), log);
        streams.awaited.remove(key);
        Ok(info)
    }

    async fn append(
        &self,
        key: &StreamKey,
        events: &[NewEvent],
        producer_sequence: Option<&ProducerSequence>,
    ) -> Result<Appended, StoreError> {
        let mut streams = self.lock();
        let log = streams.active(key)?;
        let duplicates = producer_sequence.map_or(Ok(0), |producer_sequence| {
            log.count_in(producer_sequence, events.len())
        })?;
        let first = log.next_id();
        let producer_sequence = events[duplicates..].iter().zip(first.n..);
        let entry = |(event, n): (&NewEvent, u64)| Entry {
            id: EventId { ms: first.ms, n },
            name: event.name().into(),
            data: event.data().map(Into::into),
        };
        log.push(producer_sequence.map(entry).collect());
        Ok(Appended { first, duplicates })
    }

    async fn finish(&self, key: &StreamKey, finish: Finish) -> Result<EventId, StoreError> {
        let mut streams = self.lock();
        let log = streams.active(key)?;
        let id = log.next_id();
        log.status = finish.status();
        log.push(vec![Entry {
            id,
            name: finish.event_name().into(),
            data: None,
        }]);
        Ok(id)
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
                    // Those that left while they waited must not stay noted until somebody creates
                    // a stream.
                    streams.sweep();
                    streams.awaited.entry(key.clone()).or_default().subscribe()
                };
                // Nothing is ever sent: the error says that the stream is there.
                let _ = created.changed().await;
            }
        })
    }

    async fn update_presence(&self, _: &PresenceUpdate) -> Result<PresenceOutcome, StoreError> {
        // There are no other nodes.
        Ok(PresenceOutcome::Kept)
    }

    async fn subscribers_elsewhere(&self, _: &StreamKey) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn tails(&self) -> Box<dyn Tails> {
        Box::new(Merged::new(self.clone()))
    }
}

impl Source for MemoryStore {
    type Tail = MemoryTail;

    fn tail(&self, page: Page) -> MemoryTail {
        let changed = self
            .lock()
            .get(&page.key)
            .filter(|log| log.generation == page.info.generation)
            .map(|log| log.changed.subscribe());
        MemoryTail {
            store: self.clone(),
            key: page.key.clone(),
            generation: page.info.generation,
            cursor: page.cursor,
            first: page.is_read.then_some(page),
            changed,
        }
    }
}

/// Follows one stream: a page, and when there is nothing new, a wait for the stream to change.
pub(super) struct MemoryTail {
    store: MemoryStore,
    key: StreamKey,
    generation: Generation,
    cursor: Option<EventId>,
    first: Option<Page>,
    /// None when the stream had gone before the tail began.
    changed: Option<watch::Receiver<()>>,
}

impl Tail for MemoryTail {
    async fn next(&mut self) -> Result<Batch, TailError> {
        loop {
            let page = match self.first.take() {
                Some(page) => page,
                None => self.read()?,
            };
            let end = page.is_end();
            if end || page.missed.is_some() || !page.parts.is_empty() {
                self.cursor = page.cursor;
                return Ok(Batch {
                    missed: page.missed,
                    parts: page.parts,
                    end,
                });
            }
            let changed = self.changed.as_mut().ok_or(TailError::Gone)?;
            // Neither a write nor replacement: then the stream's time is up, or was prolonged
            // meanwhile.
            let expires_at = Instant::now() + page.info.ttl;
            let _ = timeout_at(expires_at, changed.changed()).await;
        }
    }
}

impl MemoryTail {
    fn read(&mut self) -> Result<Page, TailError> {
        // Marked as seen before the read, so that a write after the read is not taken for seen.
        if let Some(changed) = &mut self.changed {
            changed.mark_unchanged();
        }
        let mut streams = self.store.lock();
        let log = streams
            .get(&self.key)
            .filter(|log| log.generation == self.generation)
            .ok_or(TailError::Gone)?;
        Ok(log.page(&self.key, self.cursor))
    }
}

/// Milliseconds since the Unix epoch. A clock before it counts as the epoch.
fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// A stream of batches, each so many milliseconds after the one before and of so many events,
    /// that keeps so many.
    fn log(batches: &[(u64, u64)], max_events: u64) -> Log {
        let mut log = Log::new(
            Generation([0; 16]),
            NewStream {
                ttl: Duration::from_secs(60),
                max_events,
            },
            None,
        );
        for &(pause, count) in batches {
            let ids = (1..=count).map(|n| EventId {
                ms: log.last.ms + pause,
                n: log.last.n + n,
            });
            log.push(
                ids.map(|id| Entry {
                    id,
                    name: "n".into(),
                    data: None,
                })
                .collect(),
            );
        }
        log
    }

    fn ids(page: &Page) -> Vec<EventId> {
        page.parts
            .iter()
            .flat_map(Part::entries)
            .map(|entry| entry.id)
            .collect()
    }

    proptest! {
        #[test]
        fn a_reader_begins_with_the_events_that_it_asked_for_and_misses_none(
            batches in vec((0..4_u64, 1..6_u64), 0..12),
            max_events in 1..40_u64,
            count in 0..80_u64,
            ms in 0..50_u64,
        ) {
            let log = log(&batches, max_events);
            let key = "chat".parse().unwrap();
            let kept = ids(&log.page(&key, None));
            let since = (log.created_ms + ms).saturating_sub(5);
            let (few, none) = (usize::try_from(count).unwrap().min(kept.len()), kept.len());
            for (start_position, wanted) in [
                (StartPosition::Now, &kept[none..]),
                (StartPosition::Last(count), &kept[kept.len() - few..]),
                (StartPosition::Last(u64::MAX), &kept[..]),
                (StartPosition::Since(since), &kept[kept.iter().filter(|id| id.ms < since).count()..]),
                (StartPosition::Since(0), &kept[..]),
                (StartPosition::Since(u64::MAX), &kept[none..]),
            ] {
                let page = log.page(&key, log.locate(start_position));
                prop_assert_eq!((ids(&page), page.missed), (wanted.to_vec(), None), "{:?}", start_position);
            }
            prop_assert_eq!(log.locate(StartPosition::Start), None);
            prop_assert_eq!(log.locate(StartPosition::Now), Some(log.last));
        }
    }
}
