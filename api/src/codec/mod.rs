//! Wire formats: turns events, entries and positions into bytes, and back. No I/O.

pub mod cursor;
pub mod json;
pub mod list;
pub mod ndjson;
pub mod number;
pub mod segment;
pub mod sse;
