//! The answer to an upload.

use serde::Serialize;
use utoipa::ToSchema;

use crate::stream::EventId;

/// The result of an upload.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct UploadSummary {
    /// The ids of the events that were written: the first 10,000.
    #[schema(value_type = Vec<String>, example = json!(["1767225600000-1"]))]
    pub(super) ids: Vec<EventId>,
    /// How many events were written.
    #[schema(example = 1)]
    pub(super) num_events: u64,
    /// How many events the stream already had. They were not written again. Only with a producer.
    #[schema(example = 0, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) num_duplicates: Option<u64>,
    /// The id of the last event that was written.
    #[schema(value_type = Option<String>, example = "1767225600000-1")]
    pub(super) last_id: Option<EventId>,
    /// What was wrong with the lines that were not written: the first 100.
    #[schema(example = json!([
        "line 7: an event name is 1 to 128 bytes of UTF-8 without control characters"
    ]))]
    pub(super) errors: Vec<String>,
    /// How many lines were not written.
    #[schema(example = 1)]
    pub(super) num_errors: u64,
    /// The names of members that are neither `event` nor `data`, and were not stored: each once,
    /// the first 16, cut to 64 bytes. Absent when there are none.
    #[schema(example = json!(["comment"]), max_items = 16)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) ignored: Vec<String>,
}
