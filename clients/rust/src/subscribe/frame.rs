//! What comes over a connection at a time.

use std::time::Duration;

use serde::Deserialize;

use super::cursor::Positions;
use crate::Error;

/// A message of any transport's.
pub(super) enum Received {
    Frame(Frame),
    /// Only over server-sent events: how long to wait before another connection.
    Retry(Duration),
    /// Where all streams of an answer are, after its events.
    Answered(String),
    /// Only over WebSocket: the answer to the first request that has none.
    #[cfg(feature = "websocket")]
    Reply(Reply),
    /// There is nothing to tell at the moment.
    Heartbeat,
    /// There is nothing more to come.
    Over,
    /// The connection is to be made anew, with a token that is good.
    Again,
}

/// A position in a stream, with the event that led there unless that was left out.
pub(super) struct Frame {
    /// None: the connection has one stream only.
    pub(super) key: Option<String>,
    pub(super) id: Option<String>,
    pub(super) event: Option<NamedData>,
    /// Where all streams of the connection are, if that is told.
    pub(super) positions: Option<Positions>,
    pub(super) retry: Option<Duration>,
}

pub(super) struct NamedData {
    pub(super) name: String,
    pub(super) data: String,
}

/// What became of a request to add or drop a stream: the position in it, or the broker's error.
#[cfg(feature = "websocket")]
pub(super) struct Reply {
    pub(super) key: String,
    pub(super) outcome: Result<Option<String>, Error>,
}

/// A frame as JSON.
#[derive(Deserialize)]
pub(super) struct Object {
    key: Option<String>,
    id: Option<String>,
    event: Option<String>,
    #[serde(default)]
    data: String,
}

impl Object {
    /// Whether it is a frame at all.
    #[cfg(feature = "websocket")]
    pub(super) fn is_frame(&self) -> bool {
        self.id.is_some() || self.event.is_some()
    }
}

impl From<Object> for Frame {
    fn from(
        Object {
            key,
            id,
            event,
            data,
        }: Object,
    ) -> Self {
        Self {
            key,
            id,
            event: event.map(|name| NamedData { name, data }),
            positions: None,
            retry: None,
        }
    }
}

/// Reads what the broker would write.
pub(super) fn read_json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|error| Error::InvalidAnswer(error.to_string()))
}
