//! What happens to streams, writers and subscribers while faults happen: real processes, real
//! faults, one file per kind of fault.
//!
//! Each test starts a [`fleet`] and causes a fault. It checks by the ids that every subscriber ends
//! with the whole stream exactly once, with every acknowledged write in it. Where Redis lost the
//! stream, every subscriber must have learned that. docs/operations/reliability.md lists the tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing test is a panic"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "tests are read from top to bottom"
)]

#[macro_use]
#[path = "../suite/common/mod.rs"]
#[allow(dead_code, unused_macros, reason = "the suite needs the rest of it")]
mod common;

mod active_stream;
mod fleet;
mod fleet_subscriber;
mod proxy;
mod servers;
mod verification;
mod writer;

mod bad_subscribers;
mod clock;
mod cluster;
mod connections;
mod descriptors;
mod eviction;
mod frozen;
mod killed;
mod leases;
mod limits;
mod nodes;
mod redis_network;
mod signals;
mod soak;
mod subscriber_network;
