//! Shared delivery: Redis sends each batch once to each node that has subscribers on the stream.
//! The node sends it on to all of them.

pub(super) mod hub;
pub(super) mod receive;
mod ring;
pub(super) mod tail;
mod topic;
