//! The client against a real broker, and against servers and proxies that misbehave.
//!
//! The broker is `TINISTREAMER_BIN`, or the one that `cargo build` made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing test is a panic"
)]

mod change;
mod common;
mod exactly;
mod loss;
mod manage;
mod many;
mod publish;
mod quickstart;
mod reconnect;
mod sequence;
mod subscribe;
mod tokens;
mod transports;
#[cfg(feature = "websocket")]
mod websocket;
