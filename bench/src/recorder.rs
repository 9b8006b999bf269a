//! Counting deliveries and their latencies, by many clients at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;

use crate::problem::{Outcome, Problem};

/// Clients spread over so many counters, so that they seldom wait for each other.
const SHARDS: usize = 32;

/// A minute, in microseconds: whatever takes longer counts as this.
const LONGEST: u64 = 60_000_000;

/// What has been counted since the last reset.
pub(crate) struct Counted {
    pub(crate) events: u64,
    /// In microseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Counted {
    fn new() -> Outcome<Self> {
        let latency = Histogram::new_with_bounds(1, LONGEST, 3)
            .map_err(|error| Problem::Other(error.to_string()))?;
        Ok(Self { events: 0, latency })
    }

    /// Counts an event that was sent and received at these times, in nanoseconds.
    pub(crate) fn record(&mut self, sent: u64, received: u64) {
        self.events += 1;
        self.latency
            .saturating_record(received.saturating_sub(sent) / 1_000);
    }
}

pub(crate) struct Meter(Vec<Mutex<Counted>>);

impl Meter {
    pub(crate) fn new() -> Outcome<Self> {
        Ok(Self(
            (0..SHARDS)
                .map(|_| Counted::new().map(Mutex::new))
                .collect::<Outcome<_>>()?,
        ))
    }

    /// The counter of the client with this number.
    pub(crate) fn counter(&self, client: usize) -> MutexGuard<'_, Counted> {
        self.0[client % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything counted so far; from now on it counts anew.
    pub(crate) fn take(&self) -> Outcome<Counted> {
        let mut total = Counted::new()?;
        for shard in 0..SHARDS {
            let mut counted = self.counter(shard);
            total.events += counted.events;
            total
                .latency
                .add(&counted.latency)
                .map_err(|error| Problem::Other(error.to_string()))?;
            counted.events = 0;
            counted.latency.reset();
        }
        Ok(total)
    }
}
