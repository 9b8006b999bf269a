//! Who a client is, as operators see it.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Serialize, Serializer};

use crate::{stream::StreamKey, telemetry::metrics::Transport};

/// What a client is called while it is connected: a random number, in 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(u64);

/// The text is not 16 hexadecimal digits, in small letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("A client's id is 16 hexadecimal digits")]
pub struct InvalidSessionId;

impl SessionId {
    /// Another one each time, as good as certainly.
    pub(super) fn random() -> Self {
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
        // One spelling: no sign, no capitals, no fewer digits.
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

/// What a client says of itself and what it wants.
#[derive(Clone, Debug)]
pub struct ClientMetadata {
    /// How it is connected.
    pub transport: Transport,
    /// What it signals itself.
    pub name: Option<Box<str>>,
    /// Words that it is to be found by, each once.
    pub tags: Box<[Box<str>]>,
    /// The names of the events that it asked for, in canonical text; none: all.
    pub filter: Option<Box<str>>,
}

/// A client that is connected, at one moment.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// What it is `poll_signal`.
    pub id: SessionId,
    /// What it says of itself.
    pub metadata: ClientMetadata,
    /// The streams that it follows, in the order in which it came to them, and the number of the
    /// event that it is to be sent next of each.
    pub streams: Vec<(StreamKey, u64)>,
    /// When it was let in, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Where it is, as far as is known.
    pub address: Option<IpAddr>,
    /// Events that were handed to its connection.
    pub events: u64,
    /// Bytes of the frames and messages with them.
    pub bytes: u64,
}

/// What does not change of a client while it is connected. Most have neither name nor tags nor
/// filter, and should not pay for them.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) id: SessionId,
    pub(super) since_ms: u64,
    pub(super) address: Option<IpAddr>,
    transport: Transport,
    words: Option<Box<Words>>,
}

#[derive(Debug)]
struct Words {
    name: Option<Box<str>>,
    tags: Box<[Box<str>]>,
    filter: Option<Box<str>>,
}

impl Identity {
    /// That of a client which has just been let in.
    pub(super) fn new(metadata: ClientMetadata, address: Option<IpAddr>) -> Self {
        let ClientMetadata {
            transport,
            name,
            tags,
            filter,
        } = metadata;
        let has_words = name.is_some() || !tags.is_empty() || filter.is_some();
        let words = has_words.then(|| Box::new(Words { name, tags, filter }));
        let since_ms = u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or(0);
        Self {
            id: SessionId::random(),
            since_ms,
            address,
            transport,
            words,
        }
    }

    /// Whether this is one of its tags.
    pub(super) fn has_tag(&self, tag: &str) -> bool {
        self.words
            .as_ref()
            .is_some_and(|words| words.tags.iter().any(|own| **own == *tag))
    }

    /// What the client said of itself.
    pub(super) fn metadata(&self) -> ClientMetadata {
        let transport = self.transport;
        match &self.words {
            None => ClientMetadata {
                transport,
                name: None,
                tags: Box::default(),
                filter: None,
            },
            Some(words) => ClientMetadata {
                transport,
                name: words.name.clone(),
                tags: words.tags.clone(),
                filter: words.filter.clone(),
            },
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
