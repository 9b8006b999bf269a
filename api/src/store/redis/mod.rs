//! Streams in Redis 6.2 and later, or Valkey.
//!
//! From the bottom up: `connections` and `pubsub` connect, `primary` finds the server and runs
//! commands on it, `reader` reads streams. Two kinds of delivery follow streams with the reader:
//! `exclusive` with a connection for each subscriber, `shared` with one for the node.
//! `notifications` tells open uploads that their stream was finished. `store` puts the parts
//! together.

mod awaited;
mod connections;
mod create;
mod exclusive;
mod fan_out;
mod fault;
mod keys;
mod message;
mod node_pools;
mod notifications;
mod pool;
mod presence;
mod primary;
mod pubsub;
mod reader;
mod readiness;
mod renew;
mod replies;
mod scripts;
mod sentinel;
mod shared;
mod signals;
mod store;
mod sweep;

pub use self::store::{RedisStore, install_crypto_provider};
