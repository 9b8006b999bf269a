//! Exclusive delivery: a Redis connection for each subscriber, in a loop of `XREAD BLOCK`.

mod read;
mod stream;
pub(super) mod tails;
