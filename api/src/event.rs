//! What a stream holds: keys, ids, events on their way in ([`NewEvent`]) and entries on their way
//! out ([`Entry`]).
//!
//! Every type here is valid by construction: whoever holds one need not check it again.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use serde::{Serialize, Serializer};

mod filter;

pub use filter::{EventFilter, InvalidFilter};

/// Names that only the broker itself writes into a stream. What ends a stream is its recorded
/// status; refusing these keeps a reader who looks at names alone from being fooled.
pub const RESERVED_NAMES: [&str; 5] = ["start", "end", "cancel", "error", "missedevents"];

/// Those of them that it does write into streams: no user's event has such a name.
pub const BROKER_NAMES: [&str; 3] = ["start", "end", "cancel"];

/// The longest stream key, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 256;

/// The longest event name, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 128;

/// The name of a stream: 1 to 256 bytes of UTF-8 without control characters. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey(Arc<str>);

/// Why a text is not a [`StreamKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("A key is 1 to {MAX_KEY_BYTES} bytes of UTF-8 without control characters")]
pub struct InvalidKey;

impl StreamKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let fits = (1..=MAX_KEY_BYTES).contains(&text.len());
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidKey)
        }
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for StreamKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The id of an entry, `<ms>-<n>`: a [Redis stream
/// id](https://redis.io/docs/latest/develop/data-types/streams/#entry-ids) whose second half counts
/// the stream's events from 0, so that two ids tell how many events lie between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId {
    /// Milliseconds since the Unix epoch, by the store's clock; never smaller than in the entry
    /// before.
    pub ms: u64,
    /// The number of the event in its stream, from 0, without holes.
    pub n: u64,
}

/// The text is not `<digits>-<digits>` with both in 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("An event id is <milliseconds>-<number>, such as 1700000000000-42")]
pub struct InvalidEventId;

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        // `u64::from_str` alone would also take a leading plus sign.
        let number = |digits: &str| {
            if digits.bytes().all(|b| b.is_ascii_digit()) {
                digits.parse().map_err(|_| InvalidEventId)
            } else {
                Err(InvalidEventId)
            }
        };
        let (ms, n) = text.split_once('-').ok_or(InvalidEventId)?;
        Ok(Self {
            ms: number(ms)?,
            n: number(n)?,
        })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.n)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An event as a backend writes it: a checked name and optional data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    name: Box<str>,
    data: Option<Box<str>>,
}

/// Why a name can't be an event's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// Empty, too long, or with control characters.
    #[error("an event name is 1 to {MAX_NAME_BYTES} bytes of UTF-8 without control characters")]
    Name,
    /// One of [`RESERVED_NAMES`].
    #[error("the event name {0:?} is reserved for the broker")]
    Reserved(Box<str>),
}

impl NewEvent {
    /// Checks the name; data may be any text.
    pub fn new(name: impl Into<Box<str>>, data: Option<Box<str>>) -> Result<Self, InvalidEvent> {
        let name = name.into();
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
            return Err(InvalidEvent::Name);
        }
        if RESERVED_NAMES.contains(&&*name) {
            return Err(InvalidEvent::Reserved(name));
        }
        Ok(Self { name, data })
    }

    /// The event's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The event's data; none and empty are different things.
    #[must_use]
    pub fn data(&self) -> Option<&str> {
        self.data.as_deref()
    }

    /// Bytes of name and data: what the event weighs in a batch.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.name.len() + self.data.as_ref().map_or(0, |data| data.len())
    }
}

/// An event in its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub id: EventId,
    /// Its name.
    pub name: Box<str>,
    /// Its data, if it has any.
    pub data: Option<Box<str>>,
}

impl Entry {
    /// Bytes of name and data.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.name.len() + self.data.as_ref().map_or(0, |data| data.len())
    }
}

/// A run of consecutive entries, shared by all who read it; its encodings are made once, by whoever
/// needs them first.
#[derive(Debug, Default)]
pub struct Segment {
    entries: Vec<Entry>,
    /// The run as server-sent events; `wire::sse` fills it.
    pub sse: OnceLock<Bytes>,
    /// The same of what a filter passes, for the few filters that most clients have.
    selected_sse: Mutex<Vec<(EventFilter, Bytes)>>,
}

/// How many filters a segment keeps the encoding for.
const SELECTIONS: usize = 8;

impl Segment {
    /// A run of these entries, which follow one another.
    #[must_use]
    pub fn new(entries: Vec<Entry>) -> Self {
        Self {
            entries,
            sse: OnceLock::new(),
            selected_sse: Mutex::default(),
        }
    }

    /// The entries, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What the filter passes as server-sent events: as somebody with the same filter has encoded
    /// it, or else as `encode` does.
    #[must_use]
    pub fn selected_sse(&self, filter: &EventFilter, encode: impl FnOnce() -> Bytes) -> Bytes {
        // What is behind a poisoned lock is whole: a vector is not left in pieces.
        let mut selected = self
            .selected_sse
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = selected.iter().find(|(known, _)| known == filter) {
            return bytes.clone();
        }
        let bytes = encode();
        if selected.len() < SELECTIONS {
            selected.push((filter.clone(), bytes.clone()));
        }
        bytes
    }
}

/// A segment from one of its entries on: a reader may start in its middle.
#[derive(Clone, Debug)]
pub struct Part {
    segment: Arc<Segment>,
    skip: usize,
}

impl Part {
    /// The segment without its first `skip` entries.
    #[must_use]
    pub fn new(segment: Arc<Segment>, skip: usize) -> Self {
        Self { segment, skip }
    }

    /// The entries of this part, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        self.segment.entries.get(self.skip..).unwrap_or_default()
    }

    /// The segment, where the part is all of it.
    #[must_use]
    pub fn whole(&self) -> Option<&Segment> {
        (self.skip == 0).then_some(&self.segment)
    }
}

/// Where a stream is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Events may be written.
    Active,
    /// Complete: `end` was its last event.
    Ended,
    /// Given up: `cancel` was its last event.
    Cancelled,
}

impl Status {
    /// The status as text, as it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ended => "ended",
            Self::Cancelled => "cancelled",
        }
    }
}

impl FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Active, Self::Ended, Self::Cancelled]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(())
    }
}

/// The two ways in which a stream is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Nothing more will come, and all is there.
    End,
    /// Nothing more will come.
    Cancel,
}

impl Finish {
    /// The name of the stream's last event.
    #[must_use]
    pub fn event_name(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Cancel => "cancel",
        }
    }

    /// The status of a stream so finished.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::End => Status::Ended,
            Self::Cancel => Status::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_survives_being_written_and_read(ms: u64, n: u64) {
            let id = EventId { ms, n };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn ids_sort_by_time_and_then_by_number(a: (u64, u64), b: (u64, u64)) {
            let id = |(ms, n)| EventId { ms, n };
            prop_assert_eq!(id(a).cmp(&id(b)), a.cmp(&b));
        }

        #[test]
        fn reading_an_id_never_panics_and_takes_digits_only(text in ".{0,24}") {
            if let Ok(id) = text.parse::<EventId>() {
                prop_assert!(text.bytes().all(|b| b.is_ascii_digit() || b == b'-'));
                prop_assert_eq!(id.to_string().len() <= text.len(), true);
            }
        }

        #[test]
        fn a_key_is_what_the_contract_says(text in any::<String>()) {
            let good = !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control);
            prop_assert_eq!(text.parse::<StreamKey>().is_ok(), good);
        }
    }

    #[test]
    fn ids_that_are_none_are_refused() {
        for text in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "+1-1",
            "1-+1",
            "1-1-1",
            " 1-1",
            "1-1 ",
            "a-1",
            "1-18446744073709551616",
        ] {
            assert_eq!(text.parse::<EventId>(), Err(InvalidEventId), "{text:?}");
        }
    }

    #[test]
    fn the_brokers_own_names_are_reserved() {
        for name in RESERVED_NAMES {
            assert_eq!(
                NewEvent::new(name, None),
                Err(InvalidEvent::Reserved(name.into()))
            );
        }
        assert!(NewEvent::new("End", None).is_ok());
        assert_eq!(NewEvent::new("", None), Err(InvalidEvent::Name));
        assert_eq!(NewEvent::new("a\nb", None), Err(InvalidEvent::Name));
        assert_eq!(NewEvent::new("é".repeat(65), None), Err(InvalidEvent::Name));
        assert!(NewEvent::new("é".repeat(64), None).is_ok());
    }
}
