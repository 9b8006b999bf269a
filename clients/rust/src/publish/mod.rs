//! Writing events into a stream, one by one.

mod ack;
mod finish;
mod gatherer;
mod hearing;
mod lease;
mod line;
mod ndjson;
mod options;
mod outbox;
mod pipe;
mod run;
mod settlement;
mod signal_log;
mod stop;
mod target;
mod task;
mod transport;
#[cfg(feature = "websocket")]
mod websocket;
mod writer;
mod writer_state;

pub use self::{
    ack::Ack,
    options::Publish,
    settlement::{Cancellation, Failure},
    transport::Transport,
    writer::Writer,
};
