//! The HTTP interface of [tinysse](https://github.com/benwilber/tinysse), over our stores: one POST
//! publishes a message, one GET follows all messages. `tinistreamer tinysse` serves it.
//!
//! - [`options`]: what can be set, as plain types.
//! - `message`, `request_table`: messages and requests, as scripts and the wire have them.
//! - `stream`: the one stream in which a server keeps its messages. [`default_stream`] lets a
//!   script publish to it.
//! - `publish`, `subscribe`: the two routes. `connection` is what follows a subscribe.
//! - `cors`, `error`: headers and error bodies as tinysse has them.

mod connection;
mod cors;
pub mod default_stream;
mod error;
mod message;
mod node;
pub mod options;
mod publish;
mod request_table;
pub mod server;
mod stream;
mod subscribe;
#[cfg(test)]
mod tests;
