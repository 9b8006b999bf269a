//! The encoder of server-sent events, against another parser: every entry arrives with its id, its
//! name and its data, in which each line end has become LF.

#![no_main]

use std::{io, sync::Arc};

use eventsource_stream::Eventsource;
use futures::{StreamExt, executor::block_on, stream};
use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use tinistreamer::{
    codec::{
        segment::{Part, Segment},
        sse,
    },
    stream::{Entry, EventId, NewEvent},
};

#[derive(Debug, Arbitrary)]
struct Input {
    ms: u64,
    first: u64,
    events: Vec<(String, Option<String>)>,
    skip: u8,
    piece: u8,
}

fuzz_target!(|input: Input| {
    let Input {
        ms,
        first,
        events,
        skip,
        piece,
    } = input;
    let entry = |(n, (name, data)): (u64, (String, Option<String>))| {
        let event = NewEvent::new(name, data.map(Into::into)).ok()?;
        Some(Entry {
            id: EventId { ms, n },
            name: event.name().into(),
            data: event.data().map(Into::into),
        })
    };
    let entries: Vec<Entry> = (first..=u64::MAX).zip(events).filter_map(entry).collect();
    let part = Part::new(Arc::new(Segment::new(entries)), usize::from(skip));

    let bytes = sse::frames(&part);
    let pieces = bytes
        .chunks(usize::from(piece).max(1))
        .map(|piece| Ok::<_, io::Error>(piece.to_vec()));
    let read: Vec<_> = block_on(
        stream::iter(pieces)
            .eventsource()
            .map(|event| event.expect("well-formed events"))
            .collect(),
    );

    assert_eq!(read.len(), part.entries().len());
    for (event, entry) in read.iter().zip(part.entries()) {
        assert_eq!(event.id, entry.id.to_string());
        assert_eq!(event.event, *entry.name);
        assert_eq!(
            event.data,
            entry
                .data
                .as_deref()
                .unwrap_or_default()
                .replace("\r\n", "\n")
                .replace('\r', "\n")
        );
    }
});
