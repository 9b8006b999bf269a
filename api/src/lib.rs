//! A stateless HTTP streaming broker on Redis Streams.
//!
//! # Layout
//!
//! A module uses only modules below it in this list.
//!
//! - `main.rs` reads the command line; `serve.rs` starts the server, handles signals and stops the
//!   parts in order.
//! - [`http`]: everything that knows Rocket: [`server`] builds the server, [`http::routes`] lists
//!   the routes. One file per operation:
//!   - [`http::streams`]: create, list, read and finish streams; issue tokens.
//!   - [`http::publish`]: write events as a batch, an NDJSON upload or over WebSocket.
//!   - [`http::subscribe`]: follow streams over SSE, WebSocket, NDJSON or long polling.
//!   - [`http::admin`]: connected clients, health, metrics.
//!   - [`http::tinysse`]: the interface of tinysse, which [`tinysse_server`] serves.
//! - `script`: hooks in Lua, with the feature `scripts`. The rest knows only [`hooks`].
//! - [`session`]: one connected subscriber: its delivery loop, positions, liveness and limits.
//! - [`presence`]: exchanges subscriber counts between nodes.
//! - [`sweep`]: finishes streams whose deadlines have passed.
//! - [`store`]: where streams are stored: the traits, the memory store, which reads as the
//!   specification, and Redis.
//! - [`codec`]: SSE, JSON, NDJSON and cursors: turns values into bytes, and back.
//! - [`auth`]: API keys, and the tokens that open streams.
//! - [`stream`]: plain types: key, id, event, filter, position.
//! - Leaves, which every module may use: [`config`], [`hooks`], [`lifecycle`],
//!   [`telemetry`].

pub mod auth;
mod bounded;
pub mod codec;
pub mod config;
pub mod hooks;
pub mod http;
pub mod lifecycle;
pub mod presence;
#[cfg(feature = "scripts")]
pub mod script;
pub mod session;
pub mod store;
pub mod stream;
pub mod sweep;
pub mod telemetry;

pub use http::{
    server::{metrics_server, server},
    tinysse::server::tinysse_server,
};
