//! How many of the node's clients follow which stream, and what of it the other nodes were told.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

use prometheus_client::metrics::gauge::Gauge;

use crate::{store::PresenceUpdate, stream::StreamKey};

/// The clients of each stream, counted.
#[derive(Debug)]
pub struct SubscriberCounts {
    streams: Mutex<HashMap<StreamKey, Count>>,
    /// How many streams somebody follows.
    followed: Gauge,
}

/// A stream's clients. There is one as long as either is not 0.
#[derive(Debug, Default)]
struct Count {
    now: u32,
    /// What the other nodes were told last.
    told: u32,
}

impl SubscriberCounts {
    /// Of nobody; the gauge counts the streams that are followed.
    #[must_use]
    pub fn new(followed: Gauge) -> Self {
        Self {
            streams: Mutex::default(),
            followed,
        }
    }

    /// No code panics while it holds the lock, so that what is behind a poisoned one is whole.
    fn streams(&self) -> MutexGuard<'_, HashMap<StreamKey, Count>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client more follows the stream.
    pub fn enter(&self, key: &StreamKey) {
        let mut streams = self.streams();
        let count = streams.entry(key.clone()).or_default();
        count.now += 1;
        if count.now == 1 {
            self.followed.inc();
        }
    }

    /// One of those that entered does not any more.
    pub fn leave(&self, key: &StreamKey) {
        if let Entry::Occupied(mut entry) = self.streams().entry(key.clone()) {
            let count = entry.get_mut();
            count.now = count.now.saturating_sub(1);
            if count.now == 0 {
                self.followed.dec();
                if count.told == 0 {
                    entry.remove();
                }
            }
        }
    }

    /// How many follow the stream.
    pub fn of(&self, key: &StreamKey) -> u32 {
        self.streams().get(key).map_or(0, |count| count.now)
    }

    /// What is to be told to the other nodes: all, or what is new since this was asked last. It is
    /// then taken as told.
    pub fn update(&self, whole: bool) -> PresenceUpdate {
        let mut streams = self.streams();
        let whole = whole || streams.values().all(|count| count.now == 0);
        let mut counts = Vec::new();
        streams.retain(|key, count| {
            let is_news = if whole {
                count.now > 0
            } else {
                count.now != count.told
            };
            if is_news {
                counts.push((key.clone(), count.now));
            }
            count.told = count.now;
            count.now > 0
        });
        PresenceUpdate { whole, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(update: PresenceUpdate) -> (bool, Vec<(String, u32)>) {
        let mut counts: Vec<_> = update
            .counts
            .into_iter()
            .map(|(key, count)| (key.to_string(), count))
            .collect();
        counts.sort();
        (update.whole, counts)
    }

    #[test]
    fn what_is_new_is_told_once_and_everything_when_asked_for() {
        let (counts, [a, b]) = (
            SubscriberCounts::new(Gauge::default()),
            ["a", "b"].map(|key| key.parse().unwrap()),
        );
        assert_eq!(
            told(counts.update(false)),
            (true, vec![]),
            "nobody at all is the whole of it"
        );
        counts.enter(&a);
        counts.enter(&a);
        counts.enter(&b);
        assert_eq!(
            told(counts.update(true)),
            (true, vec![("a".into(), 2), ("b".into(), 1)])
        );
        assert_eq!(told(counts.update(false)), (false, vec![]));
        counts.leave(&b);
        assert_eq!(
            (counts.of(&a), counts.of(&b), counts.followed.get()),
            (2, 0, 1)
        );
        assert_eq!(told(counts.update(false)), (false, vec![("b".into(), 0)]));
        // It came and went unnoticed.
        counts.enter(&b);
        counts.leave(&b);
        assert_eq!(counts.streams().len(), 1);
        assert_eq!(told(counts.update(false)), (false, vec![]));
        assert_eq!(told(counts.update(true)), (true, vec![("a".into(), 2)]));
        counts.leave(&a);
        counts.leave(&a);
        assert_eq!(told(counts.update(false)), (true, vec![]));
        assert!(counts.streams().is_empty());
    }
}
