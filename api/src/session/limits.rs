//! Limits on the number of sessions: on the node, of a stream, of an address.

use std::{
    collections::HashMap,
    hash::Hash,
    ptr::addr_eq,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use crate::telemetry::metrics::Refusal;

/// How often silent sessions are probed while a new subscriber waits for a permit.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// How many sessions there may be at a time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// On the node.
    pub node: usize,
    /// Of each stream on the node; 0 is no limit.
    pub per_stream: usize,
    /// Of each address; 0 is no limit. The addresses of an IPv6 /64 count as one.
    pub per_address: usize,
}

/// A subscriber was not admitted, because a limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitReached {
    /// The limit of the node.
    #[error("All {0} places for subscribers are taken; try again later")]
    Node(usize),
    /// The limit of the stream.
    #[error("All {0} places for subscribers of this stream are taken; try again later")]
    Stream(usize),
    /// The limit of the address.
    #[error("All {0} places for subscribers of one address are taken; try again later")]
    Address(usize),
}

impl From<LimitReached> for Refusal {
    fn from(reached: LimitReached) -> Self {
        match reached {
            LimitReached::Node(_) => Self::Full,
            LimitReached::Stream(_) => Self::Stream,
            LimitReached::Address(_) => Self::Address,
        }
    }
}

/// A session, as far as a limit has to know it.
pub(super) trait Member: Send + Sync {
    /// Makes the session write to its connection if it has written nothing for this long. Only a
    /// write shows that a subscriber has left.
    fn probe(&self, silence: Duration);

    /// Whether the session still holds its permits.
    fn is_admitted(&self) -> bool;
}

/// A limit on the number of sessions, and the sessions that count.
///
/// Each session holds a permit of a semaphore, so that no race exceeds the limit.
#[derive(Debug)]
pub(super) struct ConnectionLimit<M: Member + ?Sized> {
    free: Arc<Semaphore>,
    max: usize,
    members: Mutex<Members<M>>,
}

#[derive(Debug)]
struct Members<M: ?Sized> {
    /// In the order in which they were admitted.
    sessions: Vec<Weak<M>>,
    last_probe: Option<Instant>,
}

impl<M: Member + ?Sized> ConnectionLimit<M> {
    pub(super) fn new(max: usize) -> Self {
        let members = Mutex::new(Members {
            sessions: Vec::new(),
            last_probe: None,
        });
        Self {
            free: Arc::new(Semaphore::new(max)),
            max,
            members,
        }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn in_use(&self) -> usize {
        self.max - self.free.available_permits().min(self.max)
    }

    /// Takes a permit, if one is free.
    pub(super) fn try_acquire(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// Takes a permit. While none is free it waits, and probes silent sessions: some of their
    /// subscribers may have left. None if the deadline passes.
    pub(super) async fn acquire(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        if let Some(permit) = self.try_acquire() {
            return Some(permit);
        }
        loop {
            self.probe();
            let until = deadline.min(Instant::now() + PROBE_INTERVAL);
            match timeout_at(until, Arc::clone(&self.free).acquire_owned()).await {
                // The semaphore is never closed.
                Ok(permit) => return permit.ok(),
                Err(_) if Instant::now() >= deadline => return None,
                Err(_) => {}
            }
        }
    }

    /// Adds a session that has a permit.
    pub(super) fn add(&self, member: &Arc<M>) {
        self.members.lock().sessions.push(Arc::downgrade(member));
    }

    /// Removes a session that has given its permit back and goes on elsewhere.
    pub(super) fn remove(&self, member: &M) {
        let mut members = self.members.lock();
        members
            .sessions
            .retain(|other| !addr_eq(other.as_ptr(), member));
    }

    /// The sessions, in the order in which they were admitted.
    pub(super) fn members(&self) -> Vec<Arc<M>> {
        let members = self.members.lock();
        members.sessions.iter().filter_map(Weak::upgrade).collect()
    }

    /// Visits every session, and removes those that are over.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&M)) {
        self.members
            .lock()
            .sessions
            .retain(|member| member.upgrade().inspect(|member| visit(member)).is_some());
    }

    /// Removes sessions without a permit, once they are about as many as those with one.
    fn tidy(&self) {
        let mut members = self.members.lock();
        if members.sessions.len() > 2 * self.in_use() + 8 {
            let is_admitted = |member: Arc<M>| member.is_admitted();
            members
                .sessions
                .retain(|member| member.upgrade().is_some_and(is_admitted));
        }
    }

    /// How many sessions it remembers, those that are over included.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.members.lock().sessions.len()
    }

    /// Probes silent sessions, once in each interval, no matter how many subscribers wait.
    fn probe(&self) {
        let mut members = self.members.lock();
        let now = Instant::now();
        let is_due = |last| now >= last + PROBE_INTERVAL;
        if members.last_probe.is_none_or(is_due) {
            members.last_probe = Some(now);
            let sessions = members.sessions.iter().filter_map(Weak::upgrade);
            sessions.for_each(|member| member.probe(PROBE_INTERVAL / 2));
        }
    }
}

/// Limits of the same size, one for each key: for each stream, or for each address.
///
/// A key's limit exists while a session has a permit of it or waits for one. So there are never
/// more limits than subscribers.
#[derive(Debug)]
pub(super) struct KeyedLimits<K: Eq + Hash> {
    max: usize,
    by_key: Mutex<HashMap<K, Shared>>,
}

/// A limit of one of many keys.
pub(super) type KeyLimit = ConnectionLimit<dyn Member>;

struct Shared {
    limit: Arc<KeyLimit>,
    handles: usize,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("in_use", &self.limit.in_use())
            .field("handles", &self.handles)
            .finish()
    }
}

impl<K: Clone + Eq + Hash> KeyedLimits<K> {
    /// At most `max` sessions for each key. None where `max` is 0, which means no limit.
    pub(super) fn new(max: usize) -> Option<Arc<Self>> {
        let limits = || Self {
            max,
            by_key: Mutex::default(),
        };
        (max > 0).then(|| Arc::new(limits()))
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Takes a permit of this key, as [`ConnectionLimit::acquire`] does.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        key: K,
        deadline: Instant,
    ) -> Option<Box<Permit<K>>> {
        let handle = self.handle(key);
        let permit = handle.limit.acquire(deadline).await?;
        Some(Box::new(Permit::new(permit, handle)))
    }

    /// Takes a permit of this key, if one is free.
    pub(super) fn try_acquire(self: &Arc<Self>, key: K) -> Option<Box<Permit<K>>> {
        let handle = self.handle(key);
        let permit = handle.limit.try_acquire()?;
        Some(Box::new(Permit::new(permit, handle)))
    }

    fn handle(self: &Arc<Self>, key: K) -> Handle<K> {
        let mut by_key = self.by_key.lock();
        let shared = by_key.entry(key.clone()).or_insert_with(|| Shared {
            limit: Arc::new(KeyLimit::new(self.max)),
            handles: 0,
        });
        shared.handles += 1;
        let limit = Arc::clone(&shared.limit);
        Handle {
            limits: Arc::clone(self),
            key,
            limit,
        }
    }
}

impl<K: Eq + Hash> KeyedLimits<K> {
    /// Whether this key has no free permit.
    pub(super) fn is_full(&self, key: &K) -> bool {
        let by_key = self.by_key.lock();
        by_key
            .get(key)
            .is_some_and(|shared| shared.limit.in_use() >= self.max)
    }
}

/// A permit of one key's limit; given back when dropped.
pub(super) struct Permit<K: Eq + Hash> {
    // In this order: the permit is free before its limit may be removed.
    _permit: OwnedSemaphorePermit,
    handle: Handle<K>,
}

impl<K: Eq + Hash> std::fmt::Debug for Permit<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

impl<K: Eq + Hash> Permit<K> {
    fn new(permit: OwnedSemaphorePermit, handle: Handle<K>) -> Self {
        handle.limit.tidy();
        Self {
            _permit: permit,
            handle,
        }
    }

    /// The limit that it is of.
    pub(super) fn limit(&self) -> Arc<KeyLimit> {
        Arc::clone(&self.handle.limit)
    }
}

/// Keeps a key's limit alive.
struct Handle<K: Eq + Hash> {
    limits: Arc<KeyedLimits<K>>,
    key: K,
    limit: Arc<KeyLimit>,
}

impl<K: Eq + Hash> Drop for Handle<K> {
    fn drop(&mut self) {
        let mut by_key = self.limits.by_key.lock();
        if let Some(shared) = by_key.get_mut(&self.key) {
            shared.handles -= 1;
            if shared.handles == 0 {
                by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_limit_exists_while_a_session_has_a_permit_or_waits_for_one() {
        let limits = KeyedLimits::new(1).unwrap();
        let soon = || Instant::now() + Duration::from_secs(1);
        let first = limits.acquire("a", soon()).await.unwrap();
        assert!(limits.acquire("b", soon()).await.is_some(), "another key");
        assert!(limits.acquire("a", soon()).await.is_none());
        assert_eq!(limits.by_key.lock().keys().collect::<Vec<_>>(), [&"a"]);
        let ((), second) = tokio::join!(async { drop(first) }, limits.acquire("a", soon()));
        assert!(second.is_some());
        drop(second);
        assert!(limits.by_key.lock().is_empty());
    }

    #[test]
    fn zero_means_that_there_is_no_limit() {
        assert!(KeyedLimits::<u8>::new(0).is_none());
    }
}
