//! The events of one stream in the embedded store, and what the store knows of them.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{clock::now_ms, deadlines::StreamDeadlines, signals::SignalLog};
use crate::{
    codec::segment::{Part, Segment},
    store::{
        NewStream, PAGE_BYTES, PAGE_ENTRIES, Page, REQUEST_ID_TTL, Renewed, RequestId, StoreError,
        StreamInfo,
        resume::{Around, Start, cursor_before, start},
    },
    stream::{
        Deadlines, Entry, EventId, Generation, MAX_PRODUCERS, NewSignal, Producer,
        ProducerSequence, Renewal, StartPosition, Status, StreamKey,
    },
    telemetry::metrics::Metrics,
};

/// The stored events of one stream, its status, and its time to live.
pub(super) struct Log {
    pub(super) generation: Generation,
    pub(super) status: Status,
    ttl: Duration,
    max_events: u64,
    pub(super) created_ms: u64,
    /// One segment for each batch that was written.
    segments: VecDeque<Arc<Segment>>,
    /// The entries of the first segment that are trimmed.
    skip: usize,
    length: usize,
    pub(super) last: EventId,
    /// How many events each producer has written.
    producers: HashMap<Producer, u64>,
    pub(super) expires_at: Instant,
    pub(super) signals: SignalLog,
    pub(super) deadlines: StreamDeadlines,
    /// The request that created it, and until when the request may be repeated.
    request: Option<(RequestId, Instant)>,
    /// Wakes the tails after each change. It is dropped with the stream, which wakes them too.
    pub(super) changed: watch::Sender<()>,
}

impl Log {
    /// A stream with its event `start`. `after_ms`: the time of the newest event of the stream that
    /// this one replaces.
    pub(super) fn new(generation: Generation, new: &NewStream, after_ms: Option<u64>) -> Self {
        // All ids come after those of the replaced stream, so that no cursor fits both streams.
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
        let mut log = Self {
            generation,
            status: Status::Active,
            ttl: new.ttl,
            max_events: new.max_events,
            created_ms,
            segments: VecDeque::from([Arc::new(start)]),
            skip: 0,
            length: 1,
            last: id,
            producers: HashMap::new(),
            expires_at: Instant::now() + new.ttl,
            signals: SignalLog::default(),
            deadlines: StreamDeadlines::new(new),
            request: (new.request_id.clone()).map(|id| (id, Instant::now() + REQUEST_ID_TTL)),
            changed: watch::Sender::new(()),
        };
        log.outlive_deadlines();
        log
    }

    /// Whether this request created it, not long ago.
    pub(super) fn is_of(&self, request: Option<&RequestId>) -> bool {
        self.request
            .as_ref()
            .is_some_and(|(id, until)| request == Some(id) && *until > Instant::now())
    }

    /// Counts a stream that expires before it is finished.
    pub(super) fn expire(&self, metrics: &Metrics) {
        if self.status == Status::Active {
            metrics.streams.expired.inc();
        }
    }

    /// The id of the next event. The clock may go back; ids may not.
    pub(super) fn next_id(&self) -> EventId {
        EventId {
            ms: now_ms().max(self.last.ms),
            n: self.last.n + 1,
        }
    }

    /// Writes the entries, trims the stream, and renews its time to live.
    pub(super) fn push(&mut self, entries: Vec<Entry>) {
        self.deadlines.write(!entries.is_empty());
        if let Some(entry) = entries.last() {
            self.last = entry.id;
            self.length += entries.len();
            self.segments.push_back(Arc::new(Segment::new(entries)));
        }
        self.trim();
        self.expires_at = Instant::now() + self.ttl;
        self.outlive_deadlines();
        self.changed.send_replace(());
    }

    /// Stores a signal. As `StreamStore::signal` has it.
    pub(super) fn signal(&mut self, new: &NewSignal) -> Result<u64, StoreError> {
        let had_stop = self.signals.stop_requested_ms().is_some();
        let seq = self.signals.add(new, now_ms())?;
        if new.name.is_stop() && !had_stop {
            self.deadlines.request_stop();
            self.outlive_deadlines();
        }
        Ok(seq)
    }

    /// As `StreamStore::renew` has it.
    pub(super) fn renew(&mut self, renewal: Renewal) -> Renewed {
        self.deadlines.renew(renewal);
        self.outlive_deadlines();
        Renewed {
            deadlines: self.deadlines.promised(),
            stop_expires_ms: self.deadlines.stop_expires_ms(),
            stop_requested_ms: self.signals.stop_requested_ms(),
        }
    }

    /// Prolongs the life of an active stream that has deadlines.
    fn outlive_deadlines(&mut self) {
        if let (Status::Active, Some(at)) = (self.status, self.deadlines.outlive(self.ttl)) {
            self.expires_at = self.expires_at.max(at);
        }
    }

    /// Writes the last event.
    pub(super) fn finish(&mut self, status: Status, name: &str, data: Option<Box<str>>) -> EventId {
        let id = self.next_id();
        self.status = status;
        self.push(vec![Entry {
            id,
            name: name.into(),
            data,
        }]);
        id
    }

    /// Counts a producer's batch of `count` events. Returns how many of them are stored already.
    ///
    /// Errors: [`StoreError::SequenceGap`], [`StoreError::TooManyProducers`].
    pub(super) fn count_in(
        &mut self,
        batch: &ProducerSequence,
        count: usize,
    ) -> Result<usize, StoreError> {
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
        let keep = usize::try_from(self.max_events).unwrap_or(usize::MAX);
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
        // A stream always stores an event: it begins with `start`, and trimming keeps at least one.
        self.segments
            .front()
            .and_then(|front| front.entries().get(self.skip))
            .map_or(self.last, |entry| entry.id)
    }

    /// The first stored event for which `passed` is false. Where there is none: the id that the
    /// next event will not come before. `passed` must be true up to some event and false from there
    /// on.
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

    /// As `Store::locate` has it.
    pub(super) fn locate(&self, start_position: StartPosition) -> Option<EventId> {
        let next = self.last.n + 1;
        cursor_before(match start_position {
            StartPosition::Start => return None,
            StartPosition::Now => self.first_after(|_| true),
            StartPosition::Last(count) => self.first_after(|id| id.n < next.saturating_sub(count)),
            StartPosition::Since(ms) => self.first_after(|id| id.ms < ms),
        })
    }

    pub(super) fn info(&self) -> StreamInfo {
        StreamInfo {
            generation: self.generation,
            status: self.status,
            length: self.length as u64,
            // Deadlines may prolong the life of the stream beyond its TTL.
            ttl: self
                .ttl
                .min(self.expires_at.saturating_duration_since(Instant::now())),
            first: self.first(),
            last: self.last,
            created_ms: self.created_ms,
            stop_requested_ms: self.signals.stop_requested_ms(),
            deadlines: if self.status.is_finished() {
                Deadlines::default()
            } else {
                self.deadlines.promised()
            },
        }
    }

    /// All stored entries after the cursor. Nothing is copied before the caller takes it.
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

    /// As `Store::read` has it.
    pub(super) fn page(&self, key: &StreamKey, cursor: Option<EventId>) -> Page {
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
