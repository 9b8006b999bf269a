//! Three ways to write events into a stream: a batch, an NDJSON upload, a WebSocket.

pub mod batch;
pub mod ndjson;
mod producer;
pub mod websocket;

/// Events that one append writes at the most, where they come one by one.
const BATCH_EVENTS: usize = 512;

/// Bytes of names and data after which an append is made.
const BATCH_BYTES: usize = 512 << 10;
