//! Scripts: hooks in Lua at the broker's own routes. Real processes, real sockets, a real Redis.
//!
//! Run them with `make test-scripts`. Tests look into the script by its hooks: an event whose data
//! is `?NAME` comes back with what the script knows.

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
#[path = "../suite/common/mod.rs"]
#[allow(dead_code, unused_macros, reason = "the suite needs the rest of it")]
mod common;

mod harness;

mod broker;
mod exactness;
mod guide;
mod limits;
mod message;
mod nodes;
mod publish;
mod reload;
mod settings;
mod start;
mod subscribe;
mod tinysse;
