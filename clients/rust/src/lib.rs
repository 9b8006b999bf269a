#![doc = include_str!("../README.md")]

mod backoff;
mod client;
mod error;
mod event;
mod http;
mod liveness;
mod publish;
mod status;
mod subscribe;
#[cfg(feature = "websocket")]
mod websocket;

// rustfmt and the lints are for code that people write.
#[rustfmt::skip]
#[allow(warnings, clippy::all, clippy::pedantic, clippy::unwrap_used, reason = "generated")]
mod generated;

pub use client::Client;
pub use error::Error;
pub use event::{Event, Missed};
/// The requests and responses of the management functions, generated from the OpenAPI document.
pub use generated::types;
pub use publish::{Ack, Publish, Transport, Writer};
pub use status::Status;
pub use subscribe::{
    Add, Collect, Cursor, Handle, Many, ManySubscription, MissedTotal, One, Subscribe,
    Subscription, Token, subscribe, subscribe_many,
};
