//! How many subscribers each stream has: on this node, and on the other nodes.

mod counts;
mod exchange;

pub use self::{counts::SubscriberCounts, exchange::run};
