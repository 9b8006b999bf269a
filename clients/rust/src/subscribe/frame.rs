//! Decoded messages of the broker, the same for every transport.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::cursor::Positions;
use crate::{Error, Status};

/// A message that a connection has received.
pub(super) enum Received {
    Frame(Frame),
    /// The delay before the next connection. Only over server-sent events.
    Retry(Duration),
    /// The cursor at the end of a poll's response, after its events.
    Cursor(String),
    /// The reply to the first unanswered change. Only over WebSocket.
    #[cfg(feature = "websocket")]
    Reply(ChangeReply),
    /// The broker has sent all stored events, and the connection is alive.
    Heartbeat,
    /// The broker has no more events for this connection.
    NoMore,
    /// The broker refused the token of a poll: connect again with a new one.
    Reconnect,
}

/// A frame holds an event of a stream, or a position without an event. The broker sends the latter
/// where an event names filter leaves events out.
pub(super) struct Frame {
    /// None when the connection has only one stream.
    pub(super) key: Option<String>,
    pub(super) id: Option<String>,
    pub(super) event: Option<NamedData>,
    /// How many events of the stream its event stands for.
    pub(super) count: u64,
    pub(super) ending: Ending,
    /// The positions in all streams of the connection, if the frame has them.
    pub(super) positions: Option<Positions>,
    /// The delay before the next connection.
    pub(super) retry: Option<Duration>,
}

/// What a frame says of whether its event is the last of its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is not, unless only the broker can write events of its name.
    #[default]
    Unsaid,
    /// It is, and the stream was finished in this way.
    Status(Status),
    /// It is: a cursor says so.
    Last,
    /// It is if the broker then has no more events. One stream over server-sent events.
    Unknown,
}

pub(super) struct NamedData {
    pub(super) name: String,
    pub(super) data: String,
}

/// The broker's reply to a change: the position in the stream, or an error.
#[cfg(feature = "websocket")]
pub(super) struct ChangeReply {
    pub(super) key: String,
    pub(super) outcome: Result<Option<String>, Error>,
}

/// A frame as JSON.
#[derive(Deserialize)]
pub(super) struct JsonFrame {
    key: Option<String>,
    id: Option<String>,
    event: Option<String>,
    #[serde(default)]
    data: String,
    /// With a rollup: how many events it stands for, if they are several.
    count: Option<u64>,
    /// A status that this version does not know counts as none.
    #[serde(default, deserialize_with = "known_status")]
    stream_status: Option<Status>,
}

fn known_status<'de, D: Deserializer<'de>>(status: D) -> Result<Option<Status>, D::Error> {
    let status = Option::<Value>::deserialize(status)?;
    Ok(status.and_then(|status| serde_json::from_value(status).ok()))
}

impl JsonFrame {
    /// Whether the JSON object is a frame, and no reply.
    #[cfg(feature = "websocket")]
    pub(super) fn is_frame(&self) -> bool {
        self.id.is_some() || self.event.is_some()
    }
}

impl From<JsonFrame> for Frame {
    fn from(
        JsonFrame {
            key,
            id,
            event,
            data,
            count,
            stream_status,
        }: JsonFrame,
    ) -> Self {
        Self {
            key,
            id,
            event: event.map(|name| NamedData { name, data }),
            count: count.unwrap_or(1),
            ending: stream_status.map_or(Ending::Unsaid, Ending::Status),
            positions: None,
            retry: None,
        }
    }
}

/// Parses JSON of the broker.
pub(super) fn read_json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|error| Error::InvalidAnswer(error.to_string()))
}
