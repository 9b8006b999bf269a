//! Tests of the broker from outside: real processes, real sockets, a real Redis. Each file covers
//! one subject.
//!
//! Every test starts its own broker on its own port with its own key prefix, so that all tests run
//! at once. Tests that hold for every store are written once, and [`on_every_store`] runs them over
//! each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing test is a panic"
)]
#![allow(
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "tests are read from top to bottom"
)]

#[macro_use]
mod common;

mod answers;
mod auth;
mod beginnings;
mod bodies;
mod bounds;
mod clients;
mod cluster;
mod console;
mod cursors;
mod errors;
mod exclusive;
mod faults;
mod fidelity;
mod filters;
mod follow;
mod from;
mod ingest;
mod limits;
mod logs;
mod many;
mod metrics;
mod nodes;
mod openapi;
mod operations;
mod ops;
#[cfg(feature = "otlp")]
mod otlp;
mod peers;
mod poll;
mod primary;
mod producers;
mod races;
mod readiness;
mod readme;
mod redis_store;
mod refusals;
mod settings;
mod shared_delivery;
mod shutdown;
mod slots;
mod streams;
mod tokens;
mod waiting;
mod wrong_types;
