//! The broker from outside: real processes, real sockets, a real Redis. One file per promise.
//!
//! Every test starts a broker of its own, on a port of its own and with a key prefix of its own, so
//! that all run at once. What must hold for every store is written once and run over each of them
//! ([`on_every_store`]).

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
mod presence;
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
