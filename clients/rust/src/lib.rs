#![doc = include_str!("../README.md")]

mod answer;
mod backoff;
mod client;
mod client_builder;
mod client_env;
mod error;
mod event;
mod http;
mod liveness;
mod log;
mod publish;
mod request_defaults;
mod requests;
mod retry;
mod status;
mod subscribe;
#[cfg(feature = "websocket")]
mod websocket;

// rustfmt and the lints are for code that people write.
#[rustfmt::skip]
#[allow(warnings, clippy::all, clippy::pedantic, clippy::unwrap_used, reason = "generated")]
mod generated;

#[cfg(feature = "tower")]
pub use answer::Answers;
pub use answer::{Answer, AnswerWriter};
pub use client::Client;
pub use client_builder::ClientBuilder;
pub use error::Error;
pub use event::{Event, Missed};
/// The requests and responses of the management functions, generated from the OpenAPI document.
pub use generated::types;
pub use publish::{Ack, Cancellation, Failure, Publish, Transport, Writer};
pub use status::Status;
pub use subscribe::{
    AccessSource, Add, Collect, ConnectionChange, ConnectionState, Cursor, Handle, Many,
    ManySubscription, MissedTotal, One, Producer, Reason, StreamAccess, Subscribe, Subscription,
    Token, subscribe, subscribe_many, subscribe_many_with, subscribe_with,
};
/// The token that a writer cancels at a [stop](Writer::stop_token).
pub use tokio_util::sync::CancellationToken;
