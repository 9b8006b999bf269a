//! The HTTP interface: everything that knows Rocket.

pub mod admin;
mod body;
mod buffered_response;
pub mod console;
pub mod cors;
mod embedded;
pub mod error;
mod error_catcher;
mod error_code;
pub mod error_responses;
pub mod guards;
mod hooks;
mod large_response;
mod methods;
pub mod openapi;
pub mod publish;
mod query;
pub mod request_log;
pub mod routes;
pub mod server;
pub mod signals;
mod state;
mod store_error;
mod streaming;
pub mod streams;
pub mod subscribe;
mod websocket;
