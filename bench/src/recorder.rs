//! Records deliveries and their latencies, for many subscribers at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;

use crate::error::{Error, Outcome};

/// Subscribers share this many recordings, so that they seldom wait for each other.
const SHARDS: usize = 32;

/// The longest latency, in microseconds: one minute. Longer ones are recorded as this.
const LONGEST: u64 = 60_000_000;

/// Events and latencies since the last reset.
pub(crate) struct Recording {
    pub(crate) events: u64,
    /// In microseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Recording {
    fn new() -> Outcome<Self> {
        let latency = Histogram::new_with_bounds(1, LONGEST, 3)
            .map_err(|error| Error::Other(error.to_string()))?;
        Ok(Self { events: 0, latency })
    }

    /// Records an event that was sent and received at these times, in nanoseconds.
    pub(crate) fn record(&mut self, sent: u64, received: u64) {
        self.events += 1;
        self.latency
            .saturating_record(received.saturating_sub(sent) / 1_000);
    }
}

pub(crate) struct Recorder(Vec<Mutex<Recording>>);

impl Recorder {
    pub(crate) fn new() -> Outcome<Self> {
        Ok(Self(
            (0..SHARDS)
                .map(|_| Recording::new().map(Mutex::new))
                .collect::<Outcome<_>>()?,
        ))
    }

    /// The recording of the subscriber with this number.
    pub(crate) fn recording(&self, subscriber: usize) -> MutexGuard<'_, Recording> {
        self.0[subscriber % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes everything that was recorded so far, and starts again.
    pub(crate) fn take(&self) -> Outcome<Recording> {
        let mut total = Recording::new()?;
        for shard in 0..SHARDS {
            let mut counted = self.recording(shard);
            total.events += counted.events;
            total
                .latency
                .add(&counted.latency)
                .map_err(|error| Error::Other(error.to_string()))?;
            counted.events = 0;
            counted.latency.reset();
        }
        Ok(total)
    }
}
