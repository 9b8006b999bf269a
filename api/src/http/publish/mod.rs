//! Three ways to write events into a stream: a batch, an NDJSON upload, a WebSocket.

pub mod batch;
pub(super) mod event_error;
mod members;
pub mod ndjson;
mod producer;
pub mod websocket;

use crate::{store::Appended, stream::NewEvent, telemetry::metrics::IngestMetrics};

/// Events that one append writes at the most, where they come one by one.
const BATCH_EVENTS: usize = 512;

/// Bytes of names and data after which an append is made.
const BATCH_BYTES: usize = 512 << 10;

/// Counts a batch that was written, but for what the stream had already.
fn count(metrics: &IngestMetrics, batch: &[NewEvent], appended: Appended) {
    let written = batch.get(appended.duplicates..).unwrap_or_default();
    metrics.write(
        written.len(),
        written.iter().map(NewEvent::weight).sum(),
        appended.duplicates,
    );
}
