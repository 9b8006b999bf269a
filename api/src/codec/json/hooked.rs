//! The event in what a hook returned.

use serde_json::Value;

use crate::stream::{InvalidEvent, NewEvent};

/// Why what a hook returned holds no event.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InvalidMessage {
    /// There is no table `msg` with a text `event`.
    #[error("what it returned has no table msg with a text event")]
    Shape,
    /// The name is not valid.
    #[error(transparent)]
    Event(#[from] InvalidEvent),
    /// Name and data together are longer than the limit.
    #[error("msg is at most {limit} bytes of event and data, not {bytes}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// The length.
        bytes: usize,
    },
}

/// The name and the data in `msg`, not checked. The data may be any value, as that of a producer:
/// all but text becomes JSON.
///
/// Errors: [`InvalidMessage::Shape`].
pub fn message_of(mut publication: Value) -> Result<(String, Option<Box<str>>), InvalidMessage> {
    let message = publication.get_mut("msg").and_then(Value::as_object_mut);
    let message = message.ok_or(InvalidMessage::Shape)?;
    let Some(Value::String(name)) = message.remove("event") else {
        return Err(InvalidMessage::Shape);
    };
    let data = match message.remove("data") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.into_boxed_str()),
        Some(value) => Some(value.to_string().into_boxed_str()),
    };
    Ok((name, data))
}

/// An event of this name and data, with at most `limit` bytes.
///
/// Errors: the name is not valid; there are more bytes.
pub fn checked_event(
    name: String,
    data: Option<Box<str>>,
    limit: usize,
) -> Result<NewEvent, InvalidMessage> {
    let event = NewEvent::new(name, data)?;
    let bytes = event.weight();
    if bytes > limit {
        return Err(InvalidMessage::TooLarge { limit, bytes });
    }
    Ok(event)
}
