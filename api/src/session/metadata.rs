//! Who a subscriber is, as operators see it.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Serialize, Serializer};

use crate::{stream::StreamKey, telemetry::metrics::Transport};

/// Names a session while it is connected: a random number, as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(u64);

/// The text is not 16 hexadecimal digits in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("A client's id is 16 hexadecimal digits")]
pub struct InvalidSessionId;

impl SessionId {
    /// A new id. That two sessions have the same is practically impossible.
    fn random() -> Self {
        Self(fastrand::u64(..))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, InvalidSessionId> {
        let id = u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| InvalidSessionId)?;
        // There is one spelling: no sign, no capitals, no fewer digits.
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(InvalidSessionId)
        }
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What operators see of a subscriber besides its streams: its transport, its filter, and the name
/// and tags that it gave itself.
#[derive(Clone, Debug)]
pub struct ClientMetadata {
    /// The transport of its connection.
    pub transport: Transport,
    /// The name that it gave itself.
    pub name: Option<Box<str>>,
    /// The tags that it gave itself, each once.
    pub tags: Box<[Box<str>]>,
    /// The names of the events that it asked for, in canonical text. None means all.
    pub filter: Option<Box<str>>,
}

/// A session at one moment.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// What the subscriber says of itself.
    pub metadata: ClientMetadata,
    /// Its streams, in the order in which it added them, and the number of the event that comes
    /// next in each.
    pub streams: Vec<(StreamKey, u64)>,
    /// When it was admitted, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The subscriber's address, if it is known.
    pub address: Option<IpAddr>,
    /// Events that were handed to its connection.
    pub events: u64,
    /// Bytes of the frames and messages with these events.
    pub bytes: u64,
}

/// What does not change of a session. Most subscribers have neither name nor tags nor filter, and
/// use no memory for them.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) id: SessionId,
    since_ms: u64,
    address: Option<IpAddr>,
    transport: Transport,
    details: Option<Box<Details>>,
}

#[derive(Debug)]
struct Details {
    name: Option<Box<str>>,
    tags: Box<[Box<str>]>,
    filter: Option<Box<str>>,
}

impl Identity {
    /// The identity of a subscriber that is admitted now.
    pub(super) fn new(metadata: ClientMetadata, address: Option<IpAddr>) -> Self {
        let ClientMetadata {
            transport,
            name,
            tags,
            filter,
        } = metadata;
        let has_details = name.is_some() || !tags.is_empty() || filter.is_some();
        let details = has_details.then(|| Box::new(Details { name, tags, filter }));
        let since_ms = u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or(0);
        Self {
            id: SessionId::random(),
            since_ms,
            address,
            transport,
            details,
        }
    }

    /// Whether the subscriber has this tag.
    pub(super) fn has_tag(&self, tag: &str) -> bool {
        let has_tag = |details: &Details| details.tags.iter().any(|own| **own == *tag);
        self.details.as_deref().is_some_and(has_tag)
    }

    /// The session with these streams, and these events in so many bytes.
    pub(super) fn describe(
        &self,
        streams: Vec<(StreamKey, u64)>,
        events: u64,
        bytes: u64,
    ) -> SessionInfo {
        let details = self.details.as_deref();
        let metadata = ClientMetadata {
            transport: self.transport,
            name: details.and_then(|details| details.name.clone()),
            tags: details.map_or_else(Box::default, |details| details.tags.clone()),
            filter: details.and_then(|details| details.filter.clone()),
        };
        SessionInfo {
            id: self.id,
            metadata,
            streams,
            since_ms: self.since_ms,
            address: self.address,
            events,
            bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = SessionId(0xab);
        assert_eq!(id.to_string(), "00000000000000ab");
        assert_eq!("00000000000000ab".parse(), Ok(id));
        for other in [
            "",
            "ab",
            "00000000000000AB",
            "+0000000000000ab",
            "0000000000000000ab",
            "00000000000000zz",
        ] {
            assert_eq!(
                other.parse::<SessionId>(),
                Err(InvalidSessionId),
                "{other:?}"
            );
        }
    }
}
