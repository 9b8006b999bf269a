//! Events to write ([`NewEvent`]) and stored entries ([`Entry`]).

use super::id::EventId;

/// Event names that only the broker itself uses. The recorded status of a stream finishes it, not
/// an event. The broker refuses these names so that they can't mislead a reader that checks only
/// names.
pub const RESERVED_NAMES: [&str; 7] = [
    "start",
    "end",
    "cancel",
    "fail",
    "abandon",
    "error",
    "missedevents",
];

/// The reserved names that the broker writes into streams. Versions before these names were
/// reserved let publishers write `fail` and `abandon`.
pub const BROKER_NAMES: [&str; 5] = ["start", "end", "cancel", "fail", "abandon"];

/// The longest event name, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 128;

/// An event to write: a valid name and optional data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    name: Box<str>,
    data: Option<Box<str>>,
}

/// Why an event name is not valid.
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
    /// Checks the name. The data may be any text.
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

    /// The event's data. None and empty data are different.
    #[must_use]
    pub fn data(&self) -> Option<&str> {
        self.data.as_deref()
    }

    /// Bytes of name and data.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.name.len() + self.data.as_ref().map_or(0, |data| data.len())
    }
}

/// A stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position in the stream.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_broker_are_reserved() {
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
