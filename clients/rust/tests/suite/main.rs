//! Tests the client library with a real broker, and with servers and proxies that misbehave.
//!
//! The broker is the program `TINISTREAMER_BIN`, or the one that `cargo build` has built.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing test is a panic"
)]

mod changes;
mod common;
mod exactly_once;
mod finishing;
mod loss;
mod management;
mod many_subscription;
mod publish;
mod quickstart;
mod reconnect;
mod sequence;
mod subscription;
mod tokens;
mod transports;
#[cfg(feature = "websocket")]
mod websocket;
