//! How many sessions of this node follow each stream, and which counts the other nodes have.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;

use crate::{store::PresenceUpdate, stream::StreamKey};

/// The subscriber counts of this node.
#[derive(Debug)]
pub struct SubscriberCounts {
    streams: Mutex<HashMap<StreamKey, Count>>,
    /// How many streams have subscribers on this node.
    followed: Gauge,
}

/// The subscribers of one stream. It is kept while one of the two is not 0.
#[derive(Debug, Default)]
struct Count {
    now: u32,
    /// What the other nodes received last.
    sent: u32,
}

impl SubscriberCounts {
    /// Counts without a subscriber. The gauge counts the streams that have some.
    #[must_use]
    pub fn new(followed: Gauge) -> Self {
        Self {
            streams: Mutex::default(),
            followed,
        }
    }

    /// The same, to be shared by the parts of a node.
    #[must_use]
    pub fn shared(followed: Gauge) -> Arc<Self> {
        Arc::new(Self::new(followed))
    }

    /// Counts one more subscriber of the stream.
    pub fn enter(&self, key: &StreamKey) {
        let mut streams = self.streams.lock();
        let count = streams.entry(key.clone()).or_default();
        count.now += 1;
        if count.now == 1 {
            self.followed.inc();
        }
    }

    /// No longer counts a subscriber that entered.
    pub fn leave(&self, key: &StreamKey) {
        if let Entry::Occupied(mut entry) = self.streams.lock().entry(key.clone()) {
            let count = entry.get_mut();
            count.now = count.now.saturating_sub(1);
            if count.now == 0 {
                self.followed.dec();
                if count.sent == 0 {
                    entry.remove();
                }
            }
        }
    }

    /// How many subscribers of this node the stream has.
    #[must_use]
    pub fn of(&self, key: &StreamKey) -> u32 {
        self.streams.lock().get(key).map_or(0, |count| count.now)
    }

    /// The update for the other nodes: all counts, or those that changed since the last call. They
    /// count as sent from now on.
    pub fn update(&self, whole: bool) -> PresenceUpdate {
        let mut streams = self.streams.lock();
        let whole = whole || streams.values().all(|count| count.now == 0);
        let mut counts = Vec::new();
        streams.retain(|key, count| {
            let is_included = if whole {
                count.now > 0
            } else {
                count.now != count.sent
            };
            if is_included {
                counts.push((key.clone(), count.now));
            }
            count.sent = count.now;
            count.now > 0
        });
        PresenceUpdate { whole, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(update: PresenceUpdate) -> (bool, Vec<(String, u32)>) {
        let counts = update.counts.into_iter();
        let mut counts: Vec<_> = counts
            .map(|(key, count)| (key.to_string(), count))
            .collect();
        counts.sort();
        (update.whole, counts)
    }

    #[test]
    fn a_change_is_sent_once_and_all_counts_when_they_are_asked_for() {
        let counts = SubscriberCounts::new(Gauge::default());
        let [a, b] = ["a", "b"].map(|key| key.parse().unwrap());
        let nobody = (true, vec![]);
        assert_eq!(
            sorted(counts.update(false)),
            nobody,
            "no subscriber: all counts"
        );
        counts.enter(&a);
        counts.enter(&a);
        counts.enter(&b);
        let all = (true, vec![("a".into(), 2), ("b".into(), 1)]);
        assert_eq!(sorted(counts.update(true)), all);
        assert_eq!(sorted(counts.update(false)), (false, vec![]));
        counts.leave(&b);
        assert_eq!((counts.of(&a), counts.of(&b)), (2, 0));
        assert_eq!(counts.followed.get(), 1);
        assert_eq!(sorted(counts.update(false)), (false, vec![("b".into(), 0)]));
        // It came and left between two updates.
        counts.enter(&b);
        counts.leave(&b);
        assert_eq!(counts.streams.lock().len(), 1);
        assert_eq!(sorted(counts.update(false)), (false, vec![]));
        assert_eq!(sorted(counts.update(true)), (true, vec![("a".into(), 2)]));
        counts.leave(&a);
        counts.leave(&a);
        assert_eq!(sorted(counts.update(false)), nobody);
        assert!(counts.streams.lock().is_empty());
    }
}
