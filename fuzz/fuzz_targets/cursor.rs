//! Cursors and filters: reading one never panics, and a written cursor is read back.
//!
//! Input: keys, one per line; an empty line; a text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tinistreamer::{
    codec::cursor::{self, Cursor, Tag},
    stream::{EventFilter, EventId, Position, StreamKey},
};

fuzz_target!(|input: &str| {
    let (keys, text) = input.split_once("\n\n").unwrap_or(("", input));
    let keys: Vec<StreamKey> = keys.lines().filter_map(|key| key.parse().ok()).collect();

    if let Ok(Some(filter)) = EventFilter::read([text]) {
        let again = EventFilter::read([&*filter.to_string()]).ok().flatten();
        assert_eq!(again.as_ref(), Some(&filter));
        assert!(
            ["start", "end", "cancel"]
                .iter()
                .all(|own| filter.passes(own))
        );
    }

    let Ok(read) = Cursor::read(text) else { return };
    if read.bare().is_some() {
        return;
    }
    // The positions of the keys, written as a cursor: the first by its key, the others in the
    // compact form. Numbers that no stream can reach are cut.
    let reachable =
        |position: &Position| position.id().is_none_or(|id: EventId| id.n <= u64::MAX / 4);
    let mut positions: Vec<_> = keys
        .iter()
        .filter_map(|key| Some((key, read.position(key).filter(reachable)?)))
        .collect();
    positions.sort_by_key(|(key, _)| *key);
    positions.dedup_by_key(|(key, _)| *key);
    let Some(((own, position), others)) = positions.split_first() else {
        return;
    };
    let mut written = String::new();
    let compact = cursor::compact(
        others
            .iter()
            .map(|(key, position)| (Tag::of(key), *position)),
    );
    cursor::put(&mut written, &cursor::encoded(own), *position, &compact);
    let again = Cursor::read(&written).expect("a cursor");
    for (key, position) in positions {
        assert_eq!(again.position(key), Some(position), "{written}");
    }
});
