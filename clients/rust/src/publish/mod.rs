//! Writing events into a stream, one by one.

mod ack;
mod finish;
mod ndjson;
mod options;
mod outbox;
mod retry;
mod task;
mod transport;
#[cfg(feature = "websocket")]
mod websocket;
mod writer;

pub use self::{ack::Ack, options::Publish, transport::Transport, writer::Writer};
