//! The HTTP interface: everything that knows Rocket.

pub mod admin;
mod body;
pub mod console;
pub mod cors;
pub mod error;
pub mod guards;
mod methods;
pub mod openapi;
pub mod publish;
mod query;
pub mod request_log;
pub mod response;
pub mod routes;
mod state;
mod store_error;
mod streamed;
pub mod streams;
pub mod subscribe;
mod websocket;
