//! Following streams.

mod access;
mod attempt;
mod changes;
mod connection;
mod connection_change;
mod content_type;
mod credentials;
mod cursor;
mod follower;
mod frame;
mod handle;
mod many_subscription;
mod missed;
mod ndjson;
mod one_stream;
mod options;
mod poll;
mod positions;
mod producer;
mod reason;
mod request;
mod rollup;
mod sequence;
mod sse;
mod subscription;
mod token;
#[cfg(feature = "websocket")]
mod websocket;

pub use self::{
    access::{AccessSource, StreamAccess},
    connection_change::{ConnectionChange, ConnectionState},
    cursor::Cursor,
    handle::{Add, Handle},
    many_subscription::{ManySubscription, subscribe_many, subscribe_many_with},
    missed::MissedTotal,
    options::{Many, One, Subscribe},
    producer::Producer,
    reason::Reason,
    subscription::{Collect, Subscription, subscribe, subscribe_with},
    token::Token,
};
