//! Streams: create, list, read and finish them, and issue tokens. One file per operation.

mod access;
pub mod create;
pub mod events;
pub mod finish;
pub mod info;
pub mod issue_token;
pub mod list;
mod promise;
pub mod renew;
mod seconds;
