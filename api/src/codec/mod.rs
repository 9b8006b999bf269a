//! Wire formats: entries to bytes and bytes to events. No I/O here.

pub mod cursor;
pub mod json;
pub mod list;
pub mod ndjson;
pub mod number;
pub mod segment;
pub mod sse;

/// The name of the event that tells a gap.
const MISSED_EVENTS: &str = "missedevents";
