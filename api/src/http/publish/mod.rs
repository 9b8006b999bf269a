//! Three ways to write events into a stream: a batch, an NDJSON upload, a WebSocket.

mod answers;
mod append;
pub mod batch;
pub mod documented;
mod ended;
mod event_error_code;
mod events_query;
mod hooked;
mod lease;
pub mod ndjson;
mod producer;
mod refused_upload;
mod socket;
mod unknown_members;
mod upload_summary;
pub mod websocket;
