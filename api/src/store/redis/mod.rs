//! Streams in Redis 6.2 and later, or Valkey.

mod awaited;
mod connections;
mod exclusive;
mod fault;
mod keys;
mod message;
mod node_pools;
mod presence;
mod primary;
mod readiness;
mod replies;
mod scripts;
mod shared;
mod store;

pub use self::store::{RedisStore, install_crypto_provider};
