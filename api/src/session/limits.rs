//! Clients that share a limit: all of the node, those of a stream, those of an address.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::liveness::Liveness;

/// How often silent connections are probed while newcomers wait.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// Clients of which there may be so many at a time.
#[derive(Debug)]
pub(super) struct ConnectionLimit {
    free: Arc<Semaphore>,
    max: usize,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    members: Vec<Weak<Liveness>>,
    probed: Option<Instant>,
}

impl ConnectionLimit {
    pub(super) fn new(max: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(max)),
            max,
            members: Mutex::default(),
        }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn in_use(&self) -> usize {
        self.max - self.free.available_permits().min(self.max)
    }

    /// A place for one more, if one is free.
    pub(super) fn try_acquire(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// A place for one more. When none is free, waits while silent connections are written to, as
    /// only that shows whose client has left; none when there is still none then.
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

    /// No code panics while it holds the lock, so that what is behind a poisoned one is whole.
    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a client that has got a place.
    pub(super) fn add(&self, liveness: &Arc<Liveness>) {
        self.members().members.push(Arc::downgrade(liveness));
    }

    /// Forgets a client that has given its place back and stays elsewhere.
    pub(super) fn forget(&self, liveness: &Arc<Liveness>) {
        self.members()
            .members
            .retain(|other| other.as_ptr() != Arc::as_ptr(liveness));
    }

    /// The clients that are there, in the order in which they came.
    pub(super) fn present(&self) -> Vec<Arc<Liveness>> {
        self.members()
            .members
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// Looks at every client that is there, and forgets those that are not, or that `look` has done
    /// with.
    pub(super) fn retain(&self, mut look: impl FnMut(&Liveness) -> bool) {
        self.members()
            .members
            .retain(|liveness| liveness.upgrade().is_some_and(|liveness| look(&liveness)));
    }

    /// Forgets clients that have no place any more, when they are about as many as those that have
    /// one.
    fn tidy(&self) {
        if self.members().members.len() > 2 * self.in_use() + 8 {
            self.retain(Liveness::has_membership);
        }
    }

    /// Clients that are not forgotten.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.members().members.len()
    }

    /// Asks silent clients once, however many newcomers wait.
    fn probe(&self) {
        let mut members = self.members();
        let now = Instant::now();
        if members
            .probed
            .is_none_or(|last| now >= last + PROBE_INTERVAL)
        {
            members.probed = Some(now);
            members
                .members
                .iter()
                .filter_map(Weak::upgrade)
                .for_each(|liveness| liveness.probe(PROBE_INTERVAL / 2));
        }
    }
}

/// Groups with the same limit, by what their clients have in common. One is there for as long as
/// somebody has a place in it or waits for one, so that there are never more of them than clients.
#[derive(Debug)]
pub(super) struct ConnectionLimits<K: Eq + Hash> {
    max: usize,
    by_key: Mutex<HashMap<K, Shared>>,
}

#[derive(Debug)]
struct Shared {
    limit: Arc<ConnectionLimit>,
    members: usize,
}

impl<K: Clone + Eq + Hash> ConnectionLimits<K> {
    /// Groups of at most `max` clients each; none where 0 says that there is no limit.
    pub(super) fn limited_to(max: usize) -> Option<Arc<Self>> {
        (max > 0).then(|| {
            Arc::new(Self {
                max,
                by_key: Mutex::default(),
            })
        })
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// A acquire in the limit of this key, as [`ConnectionLimit::acquire`] has them.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        key: K,
        deadline: Instant,
    ) -> Option<Box<Permit<K>>> {
        let handle = self.join(key);
        let permit = handle.limit.acquire(deadline).await?;
        Some(Box::new(Permit::new(permit, handle)))
    }

    /// The same, if one is free.
    pub(super) fn try_acquire(self: &Arc<Self>, key: K) -> Option<Box<Permit<K>>> {
        let handle = self.join(key);
        let permit = handle.limit.try_acquire()?;
        Some(Box::new(Permit::new(permit, handle)))
    }

    fn join(self: &Arc<Self>, key: K) -> LimitHandle<K> {
        let mut by_key = self.by_key();
        let shared = by_key.entry(key.clone()).or_insert_with(|| Shared {
            limit: Arc::new(ConnectionLimit::new(self.max)),
            members: 0,
        });
        shared.members += 1;
        let limit = Arc::clone(&shared.limit);
        LimitHandle {
            limits: Arc::clone(self),
            key,
            limit,
        }
    }
}

impl<K: Eq + Hash> ConnectionLimits<K> {
    /// Whether all places in the group of this key are taken.
    pub(super) fn is_full(&self, key: &K) -> bool {
        self.by_key()
            .get(key)
            .is_some_and(|shared| shared.limit.in_use() >= self.max)
    }

    /// No code panics while it holds the lock, so that what is behind a poisoned one is whole.
    fn by_key(&self) -> MutexGuard<'_, HashMap<K, Shared>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's acquire in one of many limits.
#[derive(Debug)]
pub(super) struct Permit<K: Eq + Hash> {
    // In this order: the place is free before the group may be gone.
    _permit: OwnedSemaphorePermit,
    handle: LimitHandle<K>,
}

impl<K: Eq + Hash> Permit<K> {
    fn new(permit: OwnedSemaphorePermit, handle: LimitHandle<K>) -> Self {
        handle.limit.tidy();
        Self {
            _permit: permit,
            handle,
        }
    }

    /// Where it is.
    pub(super) fn limit(&self) -> Arc<ConnectionLimit> {
        Arc::clone(&self.handle.limit)
    }
}

/// Keeps a limit.
#[derive(Debug)]
struct LimitHandle<K: Eq + Hash> {
    limits: Arc<ConnectionLimits<K>>,
    key: K,
    limit: Arc<ConnectionLimit>,
}

impl<K: Eq + Hash> Drop for LimitHandle<K> {
    fn drop(&mut self) {
        let mut by_key = self.limits.by_key();
        if let Some(shared) = by_key.get_mut(&self.key) {
            shared.members -= 1;
            if shared.members == 0 {
                by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_group_is_there_for_as_long_as_somebody_is_in_it_or_waits() {
        let limits = ConnectionLimits::limited_to(1).unwrap();
        let soon = || Instant::now() + Duration::from_secs(1);
        let first = limits.acquire("a", soon()).await.unwrap();
        assert!(limits.acquire("b", soon()).await.is_some(), "another limit");
        assert!(limits.acquire("a", soon()).await.is_none());
        assert_eq!(limits.by_key().keys().collect::<Vec<_>>(), [&"a"]);
        let ((), second) = tokio::join!(async { drop(first) }, limits.acquire("a", soon()));
        assert!(second.is_some());
        drop(second);
        assert!(limits.by_key().is_empty());
    }

    #[test]
    fn no_limit_is_no_groups() {
        assert!(ConnectionLimits::<u8>::limited_to(0).is_none());
    }
}
