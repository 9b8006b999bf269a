//! What happens to streams, writers and clients while things break: real processes, real faults,
//! one file per kind of fault.
//!
//! Each test sets a [`fleet`] on its way, does harm, and sees by the ids that everybody ends with
//! the whole stream exactly once and that every acknowledged write is in it; or, where Redis lost
//! the stream, that everybody was told. docs/reliability.md lists them.

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

#[path = "../suite/common/mod.rs"]
#[allow(dead_code, unused_macros, reason = "the suite needs the rest of it")]
mod common;

mod client;
mod course;
mod fleet;
mod judgement;
mod proxy;
#[macro_use]
mod servers;
mod writer;

mod client_network;
mod clients;
mod clock;
mod cluster;
mod connections;
mod descriptors;
mod eviction;
mod frozen;
mod killed;
mod limits;
mod nodes;
mod redis_network;
mod soak;
