//! How many events one append writes, and the count of what it wrote.

use crate::{
    store::{Appended, StoreError},
    stream::NewEvent,
    telemetry::metrics::IngestMetrics,
};

/// The most events of one append, where events arrive one by one.
pub(super) const MAX_EVENTS: usize = 512;

/// Bytes of names and data after which the broker appends what has arrived.
pub(super) const MAX_BYTES: usize = 512 << 10;

/// Counts the events of a batch that were written, and those that the stream already had.
pub(super) fn count(metrics: &IngestMetrics, batch: &[NewEvent], appended: Appended) {
    let written = batch.get(appended.duplicates..).unwrap_or_default();
    metrics.write(
        written.len(),
        written.iter().map(NewEvent::weight).sum(),
        appended.duplicates,
    );
}

/// The error of an upload whose stream was replaced: that stream is no longer there. Callers that
/// name a generation themselves receive [`StoreError::StaleGeneration`] before the upload begins.
pub(super) fn replaced(error: StoreError) -> StoreError {
    match error {
        StoreError::StaleGeneration => StoreError::NotActive { status: None },
        error => error,
    }
}
