//! The form of a batch of events in Redis: the argument of the scripts that write it, and the
//! message that they publish to the nodes.

use crate::stream::{Entry, EventId, Generation, NewEvent, Status};

/// A batch that was published.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Published {
    /// The stream to which it was written.
    pub(super) generation: Generation,
    /// The stream's status after the batch.
    pub(super) status: Status,
    pub(super) entries: Vec<Entry>,
}

/// Encodes events as `append.lua` takes them.
pub(super) fn encode(events: &[NewEvent]) -> Vec<u8> {
    let weight: usize = events.iter().map(|event| event.weight() + 8).sum();
    let mut batch = Vec::with_capacity(weight);
    for event in events {
        push(&mut batch, event.name(), event.data());
    }
    batch
}

/// Encodes one of the broker's own events in the same form.
pub(super) fn encode_own(name: &str, data: Option<&str>) -> Vec<u8> {
    let mut batch = Vec::with_capacity(name.len() + data.map_or(0, str::len) + 8);
    push(&mut batch, name, data);
    batch
}

fn push(batch: &mut Vec<u8>, name: &str, data: Option<&str>) {
    // Bodies and lines are limited to far less than 4 GiB.
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    batch.extend(length(name.len()));
    batch.extend(length(data.map_or(0, |data| data.len() + 1)));
    batch.extend(name.as_bytes());
    batch.extend(data.unwrap_or_default().as_bytes());
}

/// Decodes a message of a stream's channel: `generation status ms first\n`, and then the batch.
/// `None`: the broker did not send it.
pub(super) fn decode(message: &[u8]) -> Option<Published> {
    let end = memchr::memchr(b'\n', message)?;
    let mut header = std::str::from_utf8(&message[..end]).ok()?.split(' ');
    let mut generation = [0; 16];
    hex::decode_to_slice(header.next()?, &mut generation).ok()?;
    let status = header.next()?.parse().ok()?;
    let (ms, first): (u64, u64) = (header.next()?.parse().ok()?, header.next()?.parse().ok()?);
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
        fn a_decoded_batch_is_the_one_that_was_encoded(
            events in prop::collection::vec(
                ("[^\\p{Cc}]{1,20}", prop::option::of(".*")),
                0..10,
            ),
            ms: u64,
            first in 0..u64::MAX / 2,
        ) {
            let events: Vec<_> = events
                .into_iter()
                .filter_map(|(name, data)| NewEvent::new(name, data.map(Into::into)).ok())
                .collect();
            let generation = Generation([0xab; 16]);
            let header = format!("{} active {ms} {first}\n", hex::encode(generation.0));
            let message = [header.into_bytes(), encode(&events)].concat();
            let published = decode(&message).unwrap();
            prop_assert_eq!(published.generation, generation);
            prop_assert_eq!(published.status, Status::Active);
            prop_assert_eq!(published.entries.len(), events.len());
            for ((entry, event), n) in published.entries.iter().zip(&events).zip(first..) {
                prop_assert_eq!(entry.id, EventId { ms, n });
                prop_assert_eq!(&*entry.name, event.name());
                prop_assert_eq!(entry.data.as_deref(), event.data());
            }
        }

        #[test]
        fn decoding_never_panics(message: Vec<u8>, batch: Vec<u8>) {
            let _ = decode(&message);
            let header = &b"00112233445566778899aabbccddeeff active 1 0\n"[..];
            let _ = decode(&[header, &batch].concat());
        }
    }
}
