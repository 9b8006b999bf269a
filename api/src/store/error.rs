//! Why a store did not do what it was asked.

use super::fault::StoreFault;
use crate::stream::{MAX_PRODUCERS, Status};

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A stream has this key, and the caller did not ask to take or to replace it.
    #[error("a stream has this key")]
    Exists {
        /// Its status.
        status: Status,
    },
    /// No stream at this key is active. Nothing was written.
    #[error("no active stream at this key")]
    NotActive {
        /// The status of the finished stream that has the key, if one has.
        status: Option<Status>,
    },
    /// The stream at this key is not the one that the caller means. Nothing was written.
    #[error("another stream has this key")]
    StaleGeneration,
    /// Events of this producer are missing before the batch's. Nothing was written.
    #[error("the stream has {has} events of this producer")]
    SequenceGap {
        /// How many of the producer's events the stream has.
        has: u64,
    },
    /// The producer would be one more than [`MAX_PRODUCERS`]. Nothing was written.
    #[error("the stream has had {MAX_PRODUCERS} producers")]
    TooManyProducers,
    /// The stream has as many signals as it may have, or as many of this sender. Nothing was
    /// written.
    #[error("the stream has too many signals")]
    TooManySignals,
    /// There is no stream at this key, active or finished.
    #[error("no stream at this key")]
    NotFound,
    /// The store can't be reached, refused, or did not confirm in time. A write may or may not have
    /// happened; it must not be acknowledged. The text is for the log.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The same with a known cause. Where [`StoreFault::is_refusal`], nothing was written.
    #[error("the store is unavailable: {fault} ({detail})")]
    Refused {
        /// The cause, which answers may show.
        fault: StoreFault,
        /// What the server or the library said, for the log.
        detail: String,
    },
    /// The store holds something that this program did not write. The text is for the log.
    #[error("the store holds something unexpected: {0}")]
    Unexpected(&'static str),
}

impl From<getrandom::Error> for StoreError {
    fn from(error: getrandom::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// The stream can't be followed over the connection that follows the others: a Redis Cluster has
/// them on different slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the streams are on several slots of the Cluster")]
pub struct CrossSlot;
