//! Following streams.

mod change;
mod cursor;
mod endpoint;
mod follower;
mod frame;
mod many;
mod missed;
mod ndjson;
mod one;
mod options;
mod order;
mod poll;
mod sse;
mod streams;
mod token;
#[cfg(feature = "websocket")]
mod websocket;

pub use self::{
    change::{Add, Handle},
    cursor::Cursor,
    many::{Many, ManySubscription, subscribe_many},
    missed::MissedTotal,
    one::{Collect, One, Subscription, subscribe},
    options::Subscribe,
    token::Token,
};
