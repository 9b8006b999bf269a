//! Exclusive delivery: a Redis connection for each subscriber, in a loop of `XREAD BLOCK`.

mod connection;
mod read;
mod stream;
pub(super) mod tails;
