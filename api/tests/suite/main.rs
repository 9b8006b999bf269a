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

mod admission;
mod auth;
mod awaited_streams;
mod bodies;
mod cluster;
mod commands;
mod console;
mod cors;
mod cursors;
mod dev;
mod errors;
mod exclusive;
mod failover;
mod fidelity;
mod filters;
mod finishing;
mod follow;
mod follow_websocket;
mod generations;
mod guides;
mod http;
mod lease;
mod limits;
mod liveness;
mod logs;
mod many_streams;
mod memory_bounds;
mod metrics;
mod nodes;
mod openapi;
mod operator_documents;
mod origins;
#[cfg(feature = "otlp")]
mod otlp;
mod poll;
mod presence;
mod producers;
mod publish;
mod publish_ndjson;
mod publish_websocket;
mod quotas;
mod races;
mod readiness;
mod readme;
mod redis_commands;
mod redis_connections;
mod redis_metrics;
mod redis_refusals;
mod redis_store;
mod responses;
mod rollup;
mod settings;
mod shared_delivery;
mod shutdown;
mod signal_delivery;
mod signals;
mod start_position;
mod stop_grace;
mod store_failures;
mod store_start_position;
mod stream_lifetime;
mod streams;
mod subscriber_limits;
mod subscriber_list;
mod tinysse;
mod tokens;
mod upload_end;
mod websocket_peers;
mod wrong_types;
