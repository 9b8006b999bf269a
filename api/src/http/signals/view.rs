//! Signals as JSON.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    codec::json,
    stream::{Signal, SignalId},
};

/// A signal.
#[derive(Serialize, ToSchema)]
pub struct SignalRecord {
    /// Its number in the stream, from 1.
    #[schema(example = 1)]
    seq: u64,
    /// What the producer is asked to do. `stop`: to finish.
    #[schema(example = "stop")]
    name: String,
    /// More about it: any JSON value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    data: Option<Box<RawValue>>,
    /// The sender's id of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<String>,
    /// Who sent it: the subject of the token, or `api-key`. Null for a token without a subject.
    #[schema(example = "user-7")]
    by: Option<String>,
    /// When the broker stored it. RFC 3339.
    #[schema(example = "2026-01-01T00:00:00.000Z")]
    time: String,
}

impl From<&Signal> for SignalRecord {
    fn from(stored: &Signal) -> Self {
        let Signal { seq, ms, signal } = stored;
        Self {
            seq: *seq,
            name: signal.name.as_str().to_owned(),
            // The data was JSON when it was stored.
            data: signal
                .data
                .as_deref()
                .and_then(|data| serde_json::from_str(data).ok()),
            id: signal.id.as_ref().map(SignalId::as_str).map(str::to_owned),
            by: signal.by.as_deref().map(str::to_owned),
            time: json::time(*ms),
        }
    }
}

/// A signal as a message to a producer's WebSocket.
#[derive(Serialize)]
#[serde(tag = "type", rename = "signal")]
struct SignalMessage {
    #[serde(flatten)]
    record: SignalRecord,
}

/// The text of the message with this signal.
pub(in crate::http) fn message(signal: &Signal) -> String {
    json::text(&SignalMessage {
        record: signal.into(),
    })
}
