//! Signals: subscribers ask the producer of a stream to do something.

pub mod feed;
pub mod producer_limit;
pub mod query;
pub mod read;
pub mod send;
pub mod view;
