//! Following streams.

mod attempt;
mod changes;
mod connection;
mod content_type;
mod cursor;
mod follower;
mod frame;
mod handle;
mod many_subscription;
mod missed;
mod ndjson;
mod options;
mod poll;
mod positions;
mod request;
mod sequence;
mod sse;
mod subscription;
mod token;
#[cfg(feature = "websocket")]
mod websocket;

pub use self::{
    cursor::Cursor,
    handle::{Add, Handle},
    many_subscription::{ManySubscription, subscribe_many},
    missed::MissedTotal,
    options::{Many, One, Subscribe},
    subscription::{Collect, Subscription, subscribe},
    token::Token,
};
