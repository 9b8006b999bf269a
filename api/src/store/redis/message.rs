//! A batch on its way through Redis: how it is handed to the scripts, and how they publish it to
//! the nodes that follow.

use crate::stream::{Entry, EventId, Generation, NewEvent, Status};

/// A batch that was published.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Published {
    /// The stream that it was written to.
    pub(super) generation: Generation,
    /// The stream's status after it.
    pub(super) status: Status,
    pub(super) entries: Vec<Entry>,
}

/// The events as `append.lua` takes them.
pub(super) fn encode(events: &[NewEvent]) -> Vec<u8> {
    let weight: usize = events.iter().map(|event| event.weight() + 8).sum();
    let mut batch = Vec::with_capacity(weight);
    for event in events {
        put(&mut batch, event.name(), event.data());
    }
    batch
}

/// One of the broker's own events, in the same form.
pub(super) fn encode_own(name: &str) -> Vec<u8> {
    let mut batch = Vec::with_capacity(name.len() + 8);
    put(&mut batch, name, None);
    batch
}

fn put(batch: &mut Vec<u8>, name: &str, data: Option<&str>) {
    // Bodies and lines are limited to far less than 4 GiB.
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    batch.extend(length(name.len()));
    batch.extend(length(data.map_or(0, |data| data.len() + 1)));
    batch.extend(name.as_bytes());
    batch.extend(data.unwrap_or_default().as_bytes());
}

/// Reads a message of a stream's channel: `birth status ms first\n` and the batch. `None`: not one
/// of ours.
pub(super) fn decode(message: &[u8]) -> Option<Published> {
    let end = memchr::memchr(b'\n', message)?;
    let mut head = std::str::from_utf8(&message[..end]).ok()?.split(' ');
    let mut generation = [0; 16];
    hex::decode_to_slice(head.next()?, &mut generation).ok()?;
    let status = head.next()?.parse().ok()?;
    let (ms, first): (u64, u64) = (head.next()?.parse().ok()?, head.next()?.parse().ok()?);
    let mut entries = Vec::new();
    let mut rest = &message[end + 1..];
    for n in first.. {
        if rest.is_empty() {
            break;
        }
        let (name, data);
        ((name, data), rest) = take(rest)?;
        entries.push(Entry {
            id: EventId { ms, n },
            name: name.into(),
            data: data.map(Into::into),
        });
    }
    Some(Published {
        generation: Generation(generation),
        status,
        entries,
    })
}

type Event<'a> = (&'a str, Option<&'a str>);

fn take(bytes: &[u8]) -> Option<(Event<'_>, &[u8])> {
    let (name_length, rest) = bytes.split_first_chunk::<4>()?;
    let (data_length, rest) = rest.split_first_chunk::<4>()?;
    let length = |bytes: &[u8; 4]| usize::try_from(u32::from_be_bytes(*bytes)).ok();
    let (name, rest) = rest.split_at_checked(length(name_length)?)?;
    let name = std::str::from_utf8(name).ok()?;
    match length(data_length)? {
        0 => Some(((name, None), rest)),
        length => {
            let (data, rest) = rest.split_at_checked(length - 1)?;
            Some(((name, Some(std::str::from_utf8(data).ok()?)), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_batch_survives(events in prop::collection::vec(("[^\\p{Cc}]{1,20}", prop::option::of(".*")), 0..10), ms: u64, first in 0..u64::MAX / 2) {
            let events: Vec<_> = events.into_iter().filter_map(|(name, data)| NewEvent::new(name, data.map(Into::into)).ok()).collect();
            let generation = Generation([0xab; 16]);
            let message = [format!("{} active {ms} {first}\n", hex::encode(generation.0)).into_bytes(), encode(&events)].concat();
            let published = decode(&message).unwrap();
            prop_assert_eq!((published.generation, published.status, published.entries.len()), (generation, Status::Active, events.len()));
            for ((entry, event), n) in published.entries.iter().zip(&events).zip(first..) {
                prop_assert_eq!((entry.id, &*entry.name, entry.data.as_deref()), (EventId { ms, n }, event.name(), event.data()));
            }
        }

        #[test]
        fn no_message_makes_reading_panic(message: Vec<u8>, tail: Vec<u8>) {
            let _ = decode(&message);
            let _ = decode(&[&b"00112233445566778899aabbccddeeff active 1 0\n"[..], &tail].concat());
        }
    }
}
