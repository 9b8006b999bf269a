//! One stream as a node follows it for all of its clients: the newest entries in a ring, and where
//! the stream's end is.
//!
//! The ring is a cache and nothing more. What is in it is contiguous and reaches the newest entry
//! that the node knows of; whatever a client needs and the ring does not have is read from the
//! store. A lost message therefore costs a read, never an event.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Duration, Instant},
};

use crate::{
    codec::segment::{Part, Segment},
    store::{Batch, PAGE_BYTES, PAGE_ENTRIES, Page, StreamUpdate, redis::message::Published},
    stream::{Entry, EventId, Generation, Status, StreamKey},
};

/// What one ring holds at the most, and all rings of a node together: with many topics each gets
/// less, down to the newest segment, as whatever is not in a ring is in the store.
const RING_SEGMENTS: usize = 256;
const RING_BYTES: usize = 256 << 10;
const ALL_RINGS_BYTES: usize = 64 << 20;

/// Bytes that an entry takes beside its name and data, about.
const ENTRY_BYTES: usize = 96;

/// The first look at a topic that has gone silent, and the longest time between two: each look is
/// twice as late as the one before.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LAST_LOOK: Duration = Duration::from_secs(60);

/// A stream that the node has clients on.
pub(in super::super) struct Topic {
    pub(super) key: StreamKey,
    pub(super) generation: Generation,
    state: Mutex<State>,
    /// Wakes the tails after every change.
    changed: watch::Sender<()>,
}

struct State {
    ring: VecDeque<Arc<Segment>>,
    ring_bytes: usize,
    /// The newest entry known to be stored.
    newest: EventId,
    /// Nothing follows `newest`.
    ended: bool,
    /// The stream is no more.
    gone: bool,
    /// Counts how often the store was found to have lost entries: cursors from before mean nothing.
    epoch: u64,
    health: Health,
    repair: Repair,
    clients: usize,
    idle_since: Instant,
    look_at: Instant,
    look_after: Duration,
}

/// How the node hears of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Messages come, but `newest` may be behind: the store is to be asked.
    Unsure,
    /// Messages come, and `newest` was the newest when it was last looked at.
    Live,
    /// No messages come.
    Down,
}

/// Whether somebody reads what the node has missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repair {
    None,
    UnderWay,
    /// Something more was missed since it began.
    Again,
}

/// What a look at the store brought.
pub(super) struct Repaired {
    /// The topic has all that the store had.
    pub(super) complete: bool,
    /// Events that the topic had not heard of.
    pub(super) found: usize,
}

/// What the topic knows of a tail's position.
pub(super) enum Lookup {
    /// An update follows it.
    Update(StreamUpdate),
    /// Entries may follow it that the ring does not have: read the store.
    ReadStore,
    /// Nothing follows it yet: wait for a change.
    NothingNew,
    /// Nothing is known, because no messages arrive at this time.
    Disconnected,
}

impl Topic {
    /// A topic that begins with the newest entry that its first client's page told of.
    pub(super) fn new(page: &Page, health: Health) -> Self {
        let now = Instant::now();
        let state = State {
            ring: VecDeque::new(),
            ring_bytes: 0,
            newest: page.info.last,
            ended: false,
            gone: false,
            epoch: 0,
            health,
            repair: Repair::None,
            clients: 0,
            idle_since: now,
            look_at: now + FIRST_LOOK,
            look_after: FIRST_LOOK,
        };
        Self {
            key: page.key.clone(),
            generation: page.info.generation,
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock());
        self.changed.send_replace(());
        result
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn epoch(&self) -> u64 {
        self.state.lock().epoch
    }

    /// The newest entry known.
    pub(super) fn newest(&self) -> EventId {
        self.state.lock().newest
    }

    pub(super) fn set_health(&self, health: Health) {
        self.change(|state| state.health = health);
    }

    pub(super) fn is_down(&self) -> bool {
        self.state.lock().health == Health::Down
    }

    pub(super) fn is_gone(&self) -> bool {
        self.state.lock().gone
    }

    /// The stream is no more.
    pub(super) fn gone(&self) {
        self.change(|state| state.gone = true);
    }

    pub(super) fn join(&self) {
        self.state.lock().clients += 1;
    }

    pub(super) fn leave(&self) {
        let mut state = self.state.lock();
        state.clients -= 1;
        state.idle_since = Instant::now();
    }

    /// Whether nobody has needed the topic for so long.
    pub(super) fn is_idle(&self, linger: Duration) -> bool {
        let state = self.state.lock();
        state.clients == 0 && state.idle_since.elapsed() >= linger
    }

    /// Whether the store should be asked for the stream's position. Each time is later than the one
    /// before, unless messages came meanwhile.
    pub(super) fn look_is_due(&self) -> bool {
        let mut state = self.state.lock();
        let due = state.health == Health::Live
            && !state.ended
            && !state.gone
            && state.look_at <= Instant::now();
        if due {
            state.look_after = (state.look_after * 2).min(LAST_LOOK);
            state.look_at = Instant::now() + state.look_after;
        }
        due
    }

    /// Takes a message, on a node with so many topics. Whether it follows what is known: if not,
    /// the store is to be asked.
    pub(super) fn publish(&self, message: Published, topics: usize) -> bool {
        if message.generation != self.generation {
            // An earlier stream's is late; a later one's says that this one is no more.
            let (Some(entry), newest) = (message.entries.first(), self.newest()) else {
                return true;
            };
            if entry.id > newest {
                self.gone();
            }
            return true;
        }
        let mut state = self.state.lock();
        let (Some(first), Some(last)) = (
            message.entries.first().map(|entry| entry.id),
            message.entries.last().map(|entry| entry.id),
        ) else {
            return true;
        };
        if last.n <= state.newest.n && last <= state.newest {
            return true;
        }
        if first.n != state.newest.n + 1 {
            state.health = Health::Unsure;
            return false;
        }
        state.push(message.entries, topics);
        state.ended = message.status != Status::Active;
        state.look_after = FIRST_LOOK;
        state.look_at = Instant::now() + FIRST_LOOK;
        drop(state);
        self.changed.send_replace(());
        true
    }

    /// Marks that the store is to be asked. Whether the caller is the one to do it.
    pub(super) fn begin_repair(&self) -> bool {
        let mut state = self.state.lock();
        let begin = state.repair == Repair::None;
        state.repair = if begin {
            Repair::UnderWay
        } else {
            Repair::Again
        };
        begin
    }

    /// Whether the repair is done, or something was missed meanwhile.
    pub(super) fn end_repair(&self, complete: bool) -> bool {
        self.change(|state| {
            let done = complete && state.repair != Repair::Again;
            state.repair = if done { Repair::None } else { Repair::UnderWay };
            if done && state.health == Health::Unsure {
                state.health = Health::Live;
            }
            done
        })
    }

    /// The store could not be asked.
    pub(super) fn give_up_repair(&self) {
        self.change(|state| (state.repair, state.health) = (Repair::None, Health::Down));
    }

    /// Takes what the store has after `newest`, on a node with so many topics.
    pub(super) fn repair(&self, page: Page, topics: usize) -> Repaired {
        let complete = page.is_newest();
        let end = page.is_end();
        // The stream may expire without a word: it is looked at again when its time is up.
        let time_left = page.info.ttl + Duration::from_millis(50);
        let mut found = 0;
        self.change(|state| {
            if let Some(missed) = page.missed {
                // Trimmed, or lost: either way the ring's entries do not lead to what follows.
                state.ring.clear();
                state.ring_bytes = 0;
                if missed.missed.is_none() {
                    state.epoch += 1;
                }
                state.newest = page.cursor.unwrap_or(page.info.last);
                state.ended = end;
            } else {
                for part in page.parts {
                    let newest = state.newest;
                    let entries: Vec<Entry> = part
                        .entries()
                        .iter()
                        .filter(|entry| entry.id > newest)
                        .cloned()
                        .collect();
                    found += entries.len();
                    state.push(entries, topics);
                }
            }
            // The page may be older than the message that told the end.
            state.ended |= end;
            state.look_at = state.look_at.min(Instant::now() + time_left);
        });
        Repaired { complete, found }
    }

    /// What follows a cursor of a tail that knows the topic since `epoch`.
    pub(super) fn lookup(&self, cursor: Option<EventId>, epoch: u64) -> Lookup {
        let state = self.state.lock();
        if state.gone {
            return Lookup::Update(StreamUpdate::Deleted);
        }
        let Some(cursor) = cursor.filter(|_| state.epoch == epoch) else {
            return Lookup::ReadStore;
        };
        let events = |parts, is_last| {
            Lookup::Update(StreamUpdate::Events(Batch {
                missed: None,
                parts,
                is_last,
            }))
        };
        if cursor.n >= state.newest.n {
            return match state.health {
                _ if state.ended => events(Vec::new(), true),
                Health::Down => Lookup::Disconnected,
                Health::Live | Health::Unsure => Lookup::NothingNew,
            };
        }
        match state.parts_after(cursor) {
            Some((parts, last)) => events(parts, state.ended && last == state.newest),
            None => Lookup::ReadStore,
        }
    }
}

impl State {
    fn push(&mut self, entries: Vec<Entry>, topics: usize) {
        let Some(last) = entries.last() else { return };
        let limit = RING_BYTES.min(ALL_RINGS_BYTES / topics.max(1));
        self.newest = last.id;
        self.ring_bytes += weight(&entries);
        self.ring.push_back(Arc::new(Segment::new(entries)));
        // The newest segment stays, however large: somebody is about to read it.
        while self.ring.len() > 1 && (self.ring.len() > RING_SEGMENTS || self.ring_bytes > limit) {
            self.ring_bytes -= self
                .ring
                .pop_front()
                .map_or(0, |segment| weight(segment.entries()));
        }
    }

    /// The ring's entries after the cursor, up to a page of them, and the last one's id; none when
    /// the ring does not reach back to it.
    fn parts_after(&self, cursor: EventId) -> Option<(Vec<Part>, EventId)> {
        let begin = self.ring.partition_point(|segment| {
            segment
                .entries()
                .last()
                .is_some_and(|entry| entry.id.n <= cursor.n)
        });
        let first = self.ring.get(begin)?.entries();
        let skip = first.partition_point(|entry| entry.id.n <= cursor.n);
        if first.get(skip)?.id.n != cursor.n + 1 {
            return None;
        }
        let (mut parts, mut last, mut count, mut bytes) = (Vec::with_capacity(1), cursor, 0, 0);
        for segment in self.ring.range(begin..) {
            if count >= PAGE_ENTRIES || bytes >= PAGE_BYTES {
                break;
            }
            let skip = if parts.is_empty() { skip } else { 0 };
            count += segment.entries().len() - skip;
            bytes += weight(segment.entries());
            last = segment.entries().last()?.id;
            parts.push(Part::new(Arc::clone(segment), skip));
        }
        Some((parts, last))
    }
}

/// Bytes of the entries, and of their encoded form, which is about as large.
fn weight(entries: &[Entry]) -> usize {
    entries
        .iter()
        .map(|entry| 2 * entry.weight() + ENTRY_BYTES)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{store::StreamInfo, stream::Missed};

    const GENERATION: Generation = Generation([1; 16]);

    fn id(n: u64) -> EventId {
        EventId { ms: 100, n }
    }

    /// The stream as it was when its newest event was `last`, read from there.
    fn page(last: u64, missed: Option<Missed>) -> Page {
        let ttl = Duration::from_secs(60);
        let info = StreamInfo {
            generation: GENERATION,
            status: Status::Active,
            length: last + 1,
            ttl,
            first: id(0),
            last: id(last),
            created_ms: 100,
        };
        Page {
            key: "chat".parse().unwrap(),
            info,
            missed,
            parts: Vec::new(),
            cursor: Some(id(last)),
            is_read: true,
        }
    }

    fn message(n: u64, status: Status) -> Published {
        Published {
            generation: GENERATION,
            status,
            entries: vec![Entry {
                id: id(n),
                name: "x".into(),
                data: None,
            }],
        }
    }

    #[tokio::test]
    async fn a_look_at_the_store_that_is_older_than_the_end_does_not_undo_it() {
        let topic = Topic::new(&page(1, None), Health::Live);
        let before = page(1, None);
        assert!(topic.publish(message(2, Status::Ended), 1));
        topic.repair(before, 1);
        assert!(matches!(
            topic.lookup(Some(id(1)), 0),
            Lookup::Update(StreamUpdate::Events(Batch { is_last: true, .. }))
        ));
        assert!(matches!(
            topic.lookup(Some(id(2)), 0),
            Lookup::Update(StreamUpdate::Events(Batch { is_last: true, .. }))
        ));
    }

    #[tokio::test]
    async fn a_message_that_does_not_follow_sends_readers_to_the_store_and_a_repeated_one_changes_nothing()
     {
        let topic = Topic::new(&page(1, None), Health::Live);
        assert!(topic.publish(message(2, Status::Active), 1));
        assert!(
            topic.publish(message(2, Status::Active), 1),
            "known already"
        );
        assert!(
            !topic.publish(message(4, Status::Active), 1),
            "3 is missing"
        );
        assert_eq!(topic.newest(), id(2));
        assert!(matches!(
            topic.lookup(Some(id(1)), 0),
            Lookup::Update(StreamUpdate::Events(Batch { is_last: false, .. }))
        ));
        assert!(matches!(topic.lookup(Some(id(2)), 0), Lookup::NothingNew));
        assert!(
            matches!(topic.lookup(Some(id(0)), 0), Lookup::ReadStore),
            "before the ring"
        );
    }

    #[tokio::test]
    async fn what_the_store_has_lost_makes_earlier_cursors_mean_nothing() {
        let topic = Topic::new(&page(9, None), Health::Live);
        topic.repair(
            page(
                4,
                Some(Missed {
                    after: Some(id(9)),
                    first: id(0),
                    missed: None,
                }),
            ),
            1,
        );
        assert!(matches!(topic.lookup(Some(id(9)), 0), Lookup::ReadStore));
        assert!(matches!(
            topic.lookup(Some(id(4)), topic.epoch()),
            Lookup::NothingNew
        ));
    }
}
