//! Wire formats: entries to bytes and bytes to events. No I/O here.

pub mod json;
pub mod ndjson;
pub mod sse;
