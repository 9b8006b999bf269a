//! What a stream stores, over streams of any shape.

use std::time::Duration;

use proptest::{collection::vec, prelude::*};

use super::log::Log;
use crate::{
    codec::segment::Part,
    store::{NewStream, Page},
    stream::{Entry, EventId, Generation, StartPosition},
};

/// A stream that keeps `max_events` events. Each batch is the milliseconds since the batch before,
/// and its number of events.
fn log(batches: &[(u64, u64)], max_events: u64) -> Log {
    let mut log = Log::new(
        Generation([0; 16]),
        &NewStream::new(Duration::from_secs(60), max_events),
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
    fn a_start_position_gives_exactly_the_events_that_were_asked_for(
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
            prop_assert_eq!(ids(&page), wanted, "{:?}", start_position);
            prop_assert_eq!(page.missed, None, "{:?}", start_position);
        }
        prop_assert_eq!(log.locate(StartPosition::Start), None);
        prop_assert_eq!(log.locate(StartPosition::Now), Some(log.last));
    }
}
