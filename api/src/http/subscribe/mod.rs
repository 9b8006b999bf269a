//! Following streams: one file per transport, and what they share.

mod admit;
mod body;
mod caching;
mod commands;
mod decision;
pub mod documented;
mod first_message;
pub(crate) mod metadata;
pub mod ndjson;
mod objects;
pub mod poll;
mod poll_body;
mod request;
mod resolve;
pub mod sse;
pub mod websocket;
