//! The embedded store: one process, nothing to install, and nothing that outlives a restart.
//!
//! It reads as the specification of the [`Store`](super::Store) contract: `store.rs` keeps each
//! promise in a few lines under one lock. `log.rs` is what one stream stores. `deadlines.rs` says
//! when a stream must be finished. `tail.rs` follows a stream for one subscriber.

mod clock;
mod deadlines;
mod log;
mod signals;
mod store;
mod tail;
#[cfg(test)]
mod tests;

pub use self::store::MemoryStore;
