//! The limit of producers that wait for signals.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::error::{ApiError, ErrorCode};

/// The limit of a node, `STREAMER_MAX_PRODUCERS`. Rocket manages it. It is not the limit of
/// subscribers: a full node must still be able to stop its producers.
#[derive(Debug)]
pub struct ProducerLimit {
    free: Arc<Semaphore>,
    max: usize,
}

/// A permit of a producer that waits for signals.
#[derive(Debug)]
pub struct ProducerPermit(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

impl ProducerLimit {
    pub(in crate::http) fn new(max: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(max)),
            max,
        }
    }

    /// Takes a permit.
    ///
    /// Errors: `too-many-producers`.
    pub(in crate::http) fn acquire(&self) -> Result<ProducerPermit, ApiError> {
        let permit = Arc::clone(&self.free).try_acquire_owned();
        permit.map(ProducerPermit).map_err(|_| {
            let max = self.max;
            let message = format!("{max} producers wait for signals already; try again later");
            ApiError::new(ErrorCode::TooManyProducers, message)
        })
    }
}
