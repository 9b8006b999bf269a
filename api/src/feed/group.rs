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

use super::pulse::Pulse;

/// How often silent connections are probed while newcomers wait.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// Clients of which there may be so many at a time.
#[derive(Debug)]
pub(super) struct Group {
    free: Arc<Semaphore>,
    max: usize,
    clients: Mutex<Clients>,
}

#[derive(Debug, Default)]
struct Clients {
    pulses: Vec<Weak<Pulse>>,
    probed: Option<Instant>,
}

impl Group {
    pub(super) fn new(max: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(max)),
            max,
            clients: Mutex::default(),
        }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn in_use(&self) -> usize {
        self.max - self.free.available_permits().min(self.max)
    }

    /// A place for one more, if one is free.
    pub(super) fn place_now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// A place for one more. When none is free, waits while silent connections are written to, as
    /// only that shows whose client has left; none when there is still none then.
    pub(super) async fn place(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        if let Some(permit) = self.place_now() {
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
    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a client that has got a place.
    pub(super) fn add(&self, pulse: &Arc<Pulse>) {
        self.clients().pulses.push(Arc::downgrade(pulse));
    }

    /// Forgets a client that has given its place back and stays elsewhere.
    pub(super) fn forget(&self, pulse: &Arc<Pulse>) {
        self.clients()
            .pulses
            .retain(|other| other.as_ptr() != Arc::as_ptr(pulse));
    }

    /// The clients that are there, in the order in which they came.
    pub(super) fn present(&self) -> Vec<Arc<Pulse>> {
        self.clients()
            .pulses
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// Looks at every client that is there, and forgets those that are not, or that `look` has done
    /// with.
    pub(super) fn retain(&self, mut look: impl FnMut(&Pulse) -> bool) {
        self.clients()
            .pulses
            .retain(|pulse| pulse.upgrade().is_some_and(|pulse| look(&pulse)));
    }

    /// Forgets clients that have no place any more, when they are about as many as those that have
    /// one.
    fn tidy(&self) {
        if self.clients().pulses.len() > 2 * self.in_use() + 8 {
            self.retain(Pulse::has_place);
        }
    }

    /// Clients that are not forgotten.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.clients().pulses.len()
    }

    /// Asks silent clients once, however many newcomers wait.
    fn probe(&self) {
        let mut clients = self.clients();
        let now = Instant::now();
        if clients
            .probed
            .is_none_or(|last| now >= last + PROBE_INTERVAL)
        {
            clients.probed = Some(now);
            clients
                .pulses
                .iter()
                .filter_map(Weak::upgrade)
                .for_each(|pulse| pulse.probe(PROBE_INTERVAL / 2));
        }
    }
}

/// Groups with the same limit, by what their clients have in common. One is there for as long as
/// somebody has a place in it or waits for one, so that there are never more of them than clients.
#[derive(Debug)]
pub(super) struct Groups<K: Eq + Hash> {
    max: usize,
    by_key: Mutex<HashMap<K, Shared>>,
}

#[derive(Debug)]
struct Shared {
    group: Arc<Group>,
    members: usize,
}

impl<K: Clone + Eq + Hash> Groups<K> {
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

    /// A place in the group of this key, as [`Group::place`] has them.
    pub(super) async fn place(self: &Arc<Self>, key: K, deadline: Instant) -> Option<Box<Seat<K>>> {
        let membership = self.join(key);
        let permit = membership.group.place(deadline).await?;
        Some(Box::new(Seat::new(permit, membership)))
    }

    /// The same, if one is free.
    pub(super) fn place_now(self: &Arc<Self>, key: K) -> Option<Box<Seat<K>>> {
        let membership = self.join(key);
        let permit = membership.group.place_now()?;
        Some(Box::new(Seat::new(permit, membership)))
    }

    fn join(self: &Arc<Self>, key: K) -> Membership<K> {
        let mut by_key = self.by_key();
        let shared = by_key.entry(key.clone()).or_insert_with(|| Shared {
            group: Arc::new(Group::new(self.max)),
            members: 0,
        });
        shared.members += 1;
        let group = Arc::clone(&shared.group);
        Membership {
            groups: Arc::clone(self),
            key,
            group,
        }
    }
}

impl<K: Eq + Hash> Groups<K> {
    /// Whether all places in the group of this key are taken.
    pub(super) fn is_full(&self, key: &K) -> bool {
        self.by_key()
            .get(key)
            .is_some_and(|shared| shared.group.in_use() >= self.max)
    }

    /// No code panics while it holds the lock, so that what is behind a poisoned one is whole.
    fn by_key(&self) -> MutexGuard<'_, HashMap<K, Shared>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's place in one of many groups.
#[derive(Debug)]
pub(super) struct Seat<K: Eq + Hash> {
    // In this order: the place is free before the group may be gone.
    _permit: OwnedSemaphorePermit,
    membership: Membership<K>,
}

impl<K: Eq + Hash> Seat<K> {
    fn new(permit: OwnedSemaphorePermit, membership: Membership<K>) -> Self {
        membership.group.tidy();
        Self {
            _permit: permit,
            membership,
        }
    }

    /// Where it is.
    pub(super) fn group(&self) -> Arc<Group> {
        Arc::clone(&self.membership.group)
    }
}

/// Keeps a group.
#[derive(Debug)]
struct Membership<K: Eq + Hash> {
    groups: Arc<Groups<K>>,
    key: K,
    group: Arc<Group>,
}

impl<K: Eq + Hash> Drop for Membership<K> {
    fn drop(&mut self) {
        let mut by_key = self.groups.by_key();
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
        let groups = Groups::limited_to(1).unwrap();
        let soon = || Instant::now() + Duration::from_secs(1);
        let first = groups.place("a", soon()).await.unwrap();
        assert!(groups.place("b", soon()).await.is_some(), "another group");
        assert!(groups.place("a", soon()).await.is_none());
        assert_eq!(groups.by_key().keys().collect::<Vec<_>>(), [&"a"]);
        let ((), second) = tokio::join!(async { drop(first) }, groups.place("a", soon()));
        assert!(second.is_some());
        drop(second);
        assert!(groups.by_key().is_empty());
    }

    #[test]
    fn no_limit_is_no_groups() {
        assert!(Groups::<u8>::limited_to(0).is_none());
    }
}
