//! Following streams: one file per transport, and what they share.

mod body;
mod caching;
mod commands;
pub mod documented;
pub(crate) mod metadata;
pub mod ndjson;
pub mod poll;
mod request;
mod resolve;
pub mod sse;
pub mod websocket;
