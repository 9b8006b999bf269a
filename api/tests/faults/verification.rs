//! Checks by the ids whether a subscriber received what it must receive of a stream.

use std::collections::{HashMap, HashSet};

use crate::{
    fleet_subscriber::{Ending, History},
    writer::Written,
};

impl History {
    /// Checks that the subscriber received the whole stream and its end, with every acknowledged
    /// event in it and none twice.
    pub(crate) fn assert_whole(&self, name: &str, written: &Written) {
        assert_eq!(
            self.ending,
            Some(Ending::Complete),
            "received the end: {name}: {}",
            self.summary()
        );
        assert_eq!(
            self.events.last().map(|seen| seen.event.as_str()),
            Some("end"),
            "{name}: {}",
            self.summary()
        );
        self.assert_holds(written);
    }

    /// Checks that the subscriber learned of the deletion, before it received an end.
    pub(crate) fn assert_deleted(&self, name: &str) {
        assert_eq!(
            self.ending,
            Some(Ending::Deleted),
            "learned of the deletion: {name}: {}",
            self.summary()
        );
        assert!(
            self.events.iter().all(|seen| seen.event != "end"),
            "{name}: {}",
            self.summary()
        );
    }

    fn summary(&self) -> String {
        format!(
            "{} events, the last {:?}",
            self.events.len(),
            self.events.last()
        )
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        self.events.iter().map(|seen| seen.id.as_str())
    }

    /// Checks that every acknowledged event is present under its id, and that the writer's events
    /// are in order.
    fn assert_holds(&self, written: &Written) {
        let by_id: HashMap<&str, &str> = self
            .events
            .iter()
            .map(|seen| (seen.id.as_str(), seen.data.as_str()))
            .collect();
        for event in written.acknowledged.iter().chain(&written.once) {
            if let Some(id) = &event.id {
                assert_eq!(by_id.get(id.as_str()), Some(&event.data.as_str()), "{id}");
            }
        }
        let times = self.ids().map(|id| {
            id.split_once('-')
                .map(|(ms, _)| ms.parse::<u64>().expect("a time"))
        });
        assert!(times.is_sorted(), "ids do not go back");
        let of = |name: &str| -> Vec<&str> {
            self.events
                .iter()
                .filter(|seen| seen.event == name)
                .map(|seen| seen.data.as_str())
                .collect()
        };
        let seen = of("n");
        let wanted: Vec<&str> = written
            .acknowledged
            .iter()
            .map(|event| event.data.as_str())
            .collect();
        assert!(
            seen == wanted,
            "{} events of the writer were seen, of {}",
            seen.len(),
            wanted.len()
        );
        // An unconfirmed event may be present, but not twice.
        let once = of("once");
        assert_eq!(
            once.iter().collect::<HashSet<_>>().len(),
            once.len(),
            "sent once, but stored twice: {once:?}"
        );
    }
}
