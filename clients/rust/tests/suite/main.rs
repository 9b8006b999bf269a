//! Tests the client library with a real broker, and with servers and proxies that misbehave.
//!
//! The broker is the program `TINISTREAMER_BIN`, or the one that `cargo build` has built.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing test is a panic"
)]

mod access;
#[cfg(feature = "tower")]
mod answer_routes;
mod answers;
mod changes;
mod client_options;
mod coalesce;
mod common;
mod connection;
mod exactly_once;
mod finishing;
mod lease;
mod logs;
mod loss;
mod management;
mod many_subscription;
mod pipe;
mod producer;
mod publish;
mod quickstart;
mod reconnect;
mod rollup;
mod run;
mod sequence;
mod stop;
mod subscription;
mod tokens;
mod transports;
#[cfg(feature = "websocket")]
mod websocket;
