//! The limit of producers that wait for signals.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    http::error::{ApiError, ErrorCode},
    telemetry::metrics::SharedMetrics,
};

/// The limit of a node, `STREAMER_MAX_PRODUCERS`. Rocket manages it. It is not the limit of
/// subscribers: a full node must still be able to stop its producers.
#[derive(Debug)]
pub struct ProducerLimit {
    free: Arc<Semaphore>,
    max: usize,
    metrics: SharedMetrics,
}

/// A permit of a producer that waits for signals.
#[derive(Debug)]
pub struct ProducerPermit {
    _permit: OwnedSemaphorePermit,
    metrics: SharedMetrics,
}

impl ProducerLimit {
    pub(in crate::http) fn new(max: usize, metrics: &SharedMetrics) -> Self {
        let slots = i64::try_from(max).unwrap_or(i64::MAX);
        metrics.producers.slots.set(slots);
        Self {
            free: Arc::new(Semaphore::new(max)),
            max,
            metrics: SharedMetrics::clone(metrics),
        }
    }

    /// Takes a permit.
    ///
    /// Errors: `too-many-producers`.
    pub(in crate::http) fn acquire(&self) -> Result<ProducerPermit, ApiError> {
        let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else {
            self.metrics.producers.refused.inc();
            let max = self.max;
            let message = format!(
                "{max} producers already wait for signals, which is the limit; try again later"
            );
            return Err(ApiError::new(ErrorCode::TooManyProducers, message));
        };
        self.metrics.producers.waiting.inc();
        Ok(ProducerPermit {
            _permit: permit,
            metrics: SharedMetrics::clone(&self.metrics),
        })
    }
}

impl Drop for ProducerPermit {
    fn drop(&mut self) {
        self.metrics.producers.waiting.dec();
    }
}
