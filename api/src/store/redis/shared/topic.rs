//! One stream that a node follows for all of its subscribers: its newest entries, and whether it
//! has ended.
//!
//! The ring is nothing but a cache. It has no hole, and it reaches the newest entry that the node
//! knows. What a tail needs and the ring does not have is read from the store. So a lost message
//! costs a read, and never an event.

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Duration, Instant},
};

use super::ring::Ring;
use crate::{
    store::{Batch, Page, StreamUpdate, redis::message::Published},
    stream::{Entry, EventId, Generation, Status, StreamKey},
};

/// When the store is first asked about a topic without messages. Each further check comes after
/// twice the time of the one before.
const FIRST_CHECK: Duration = Duration::from_secs(1);

/// The longest time between two checks.
const LAST_CHECK: Duration = Duration::from_secs(60);

/// How long after a stream's expiry the store is asked about it.
const AFTER_EXPIRY: Duration = Duration::from_millis(50);

/// A stream that has subscribers on this node.
pub(in super::super) struct Topic {
    pub(super) key: StreamKey,
    pub(super) generation: Generation,
    state: Mutex<State>,
    /// Wakes the tails after every change.
    changed: watch::Sender<()>,
}

struct State {
    ring: Ring,
    /// The newest entry that the node knows.
    newest: EventId,
    /// The status with which the stream was finished: nothing follows `newest`.
    finished: Option<Status>,
    is_deleted: bool,
    /// Increases when the store is found to have lost entries: then earlier cursors mean nothing.
    epoch: u64,
    health: Health,
    repair: Repair,
    subscribers: usize,
    idle_since: Instant,
    next_check: Instant,
    check_interval: Duration,
}

/// Whether the node receives the messages of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It does, but may have missed some: the store must be asked.
    Unsure,
    /// It does, and has missed none.
    Live,
    /// It receives none.
    Down,
}

/// Whether a task reads what the node has missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repair {
    None,
    Running,
    /// It runs, and more was missed since it began.
    RunningAgain,
}

/// What a repair brought.
pub(super) struct Repaired {
    /// The topic has everything that the store had.
    pub(super) complete: bool,
    /// Events that the node had missed.
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
    /// Nothing is known, because the node receives no messages.
    Disconnected,
}

impl Topic {
    /// A topic of the stream that the page was read from, without entries.
    pub(super) fn new(page: &Page, health: Health) -> Self {
        let now = Instant::now();
        let state = State {
            ring: Ring::default(),
            newest: page.info.last,
            finished: None,
            is_deleted: false,
            epoch: 0,
            health,
            repair: Repair::None,
            subscribers: 0,
            idle_since: now,
            next_check: now + FIRST_CHECK,
            check_interval: FIRST_CHECK,
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

    /// Receives a notification after every change.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn epoch(&self) -> u64 {
        self.state.lock().epoch
    }

    /// The newest entry that the node knows.
    pub(super) fn newest(&self) -> EventId {
        self.state.lock().newest
    }

    pub(super) fn set_health(&self, health: Health) {
        self.change(|state| state.health = health);
    }

    pub(super) fn is_down(&self) -> bool {
        self.state.lock().health == Health::Down
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.state.lock().is_deleted
    }

    /// The stream was deleted.
    pub(super) fn set_deleted(&self) {
        self.change(|state| state.is_deleted = true);
    }

    pub(super) fn join(&self) {
        self.state.lock().subscribers += 1;
    }

    pub(super) fn leave(&self) {
        let mut state = self.state.lock();
        state.subscribers -= 1;
        state.idle_since = Instant::now();
    }

    /// Whether it has had no subscriber for this long.
    pub(super) fn is_idle(&self, linger: Duration) -> bool {
        let state = self.state.lock();
        state.subscribers == 0 && state.idle_since.elapsed() >= linger
    }

    /// Whether the store should be asked about a topic without messages. Each check comes later
    /// than the one before, unless messages arrive meanwhile.
    pub(super) fn take_due_check(&self) -> bool {
        let mut state = self.state.lock();
        let is_due = state.health == Health::Live
            && state.finished.is_none()
            && !state.is_deleted
            && state.next_check <= Instant::now();
        if is_due {
            state.check_interval = (state.check_interval * 2).min(LAST_CHECK);
            state.next_check = Instant::now() + state.check_interval;
        }
        is_due
    }

    /// Takes a message, on a node with so many topics. False if entries are missing before it: then
    /// the store must be asked.
    pub(super) fn publish(&self, message: Published, topics: usize) -> bool {
        let (Some(first), Some(last)) = (message.entries.first(), message.entries.last()) else {
            return true;
        };
        let (first, last) = (first.id, last.id);
        if message.generation != self.generation {
            // A late message of an earlier stream means nothing. A message of a later stream means
            // that this one was deleted.
            if first > self.newest() {
                self.set_deleted();
            }
            return true;
        }
        let mut state = self.state.lock();
        if last.n <= state.newest.n && last <= state.newest {
            return true;
        }
        if first.n != state.newest.n + 1 {
            state.health = Health::Unsure;
            return false;
        }
        state.push(message.entries, topics);
        state.finished = message.status.is_finished().then_some(message.status);
        state.check_interval = FIRST_CHECK;
        state.next_check = Instant::now() + FIRST_CHECK;
        drop(state);
        self.changed.send_replace(());
        true
    }

    /// Marks that the store must be asked. True if the caller is the one to ask.
    pub(super) fn begin_repair(&self) -> bool {
        let mut state = self.state.lock();
        let is_first = state.repair == Repair::None;
        state.repair = if is_first {
            Repair::Running
        } else {
            Repair::RunningAgain
        };
        is_first
    }

    /// Ends a repair. False if more was missed meanwhile: then the caller must go on.
    pub(super) fn end_repair(&self, complete: bool) -> bool {
        self.change(|state| {
            let is_done = complete && state.repair != Repair::RunningAgain;
            state.repair = if is_done {
                Repair::None
            } else {
                Repair::Running
            };
            if is_done && state.health == Health::Unsure {
                state.health = Health::Live;
            }
            is_done
        })
    }

    /// Ends a repair because the store fails.
    pub(super) fn give_up_repair(&self) {
        self.change(|state| (state.repair, state.health) = (Repair::None, Health::Down));
    }

    /// Takes what the store has after the newest entry, on a node with so many topics.
    pub(super) fn repair(&self, page: Page, topics: usize) -> Repaired {
        let complete = page.is_newest();
        let finished = page.finished();
        let expiry = page.info.ttl + AFTER_EXPIRY;
        let mut found = 0;
        self.change(|state| {
            if let Some(missed) = page.missed {
                // Entries were trimmed or lost: the ring does not lead to what follows.
                state.ring.clear();
                if missed.missed.is_none() {
                    state.epoch += 1;
                }
                state.newest = page.cursor.unwrap_or(page.info.last);
                state.finished = finished;
            } else {
                for part in page.parts {
                    let newest = state.newest;
                    let is_new = |entry: &&Entry| entry.id > newest;
                    let entries: Vec<Entry> =
                        part.entries().iter().filter(is_new).cloned().collect();
                    found += entries.len();
                    state.push(entries, topics);
                }
            }
            // The page may be older than the message with the end.
            state.finished = state.finished.or(finished);
            // No message reports an expiry, so that the store is asked then.
            state.next_check = state.next_check.min(Instant::now() + expiry);
        });
        Repaired { complete, found }
    }

    /// What follows a cursor of a tail that knows the topic since `epoch`.
    pub(super) fn lookup(&self, cursor: Option<EventId>, epoch: u64) -> Lookup {
        let state = self.state.lock();
        if state.is_deleted {
            return Lookup::Update(StreamUpdate::Deleted);
        }
        let Some(cursor) = cursor.filter(|_| state.epoch == epoch) else {
            return Lookup::ReadStore;
        };
        let events = |parts, finished| {
            Lookup::Update(StreamUpdate::Events(Batch {
                missed: None,
                parts,
                finished,
            }))
        };
        if cursor.n >= state.newest.n {
            return match state.health {
                _ if state.finished.is_some() => events(Vec::new(), state.finished),
                Health::Down => Lookup::Disconnected,
                Health::Live | Health::Unsure => Lookup::NothingNew,
            };
        }
        match state.ring.after(cursor) {
            Some((parts, last)) => {
                let finished = state.finished.filter(|_| last == state.newest);
                events(parts, finished)
            }
            None => Lookup::ReadStore,
        }
    }
}

impl State {
    fn push(&mut self, entries: Vec<Entry>, topics: usize) {
        if let Some(last) = entries.last() {
            self.newest = last.id;
            self.ring.push(entries, topics);
        }
    }
}

#[cfg(test)]
mod tests;
