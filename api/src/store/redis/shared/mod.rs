//! Shared delivery: Redis sends each batch once to each node that has clients on the stream, and
//! the node hands it on.

pub(super) mod hub;
pub(super) mod pubsub;
pub(super) mod receive;
mod ring;
pub(super) mod tail;
mod topic;
