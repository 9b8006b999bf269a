//! Management of streams, for backends.

pub mod access;
pub mod events;
pub mod manage;
