//! The deadlines of one stream in the embedded store.

use std::time::Duration;

use tokio::time::Instant;

use super::clock::now_ms;
use crate::{
    store::NewStream,
    stream::{Deadlines, Renewal, Status},
};

/// How long a stream whose deadline has passed is kept for the next sweep.
const SWEEP_MARGIN: Duration = Duration::from_secs(10);

/// Something that has to happen in time.
#[derive(Clone, Copy)]
struct Deadline {
    period: Duration,
    at: Instant,
    /// The same time, in milliseconds since the Unix epoch.
    at_ms: u64,
}

impl Deadline {
    /// After this time from now on. None after zero, which is for ever.
    fn after(period: Duration) -> Option<Self> {
        (!period.is_zero()).then(|| Self {
            period,
            at: Instant::now() + period,
            at_ms: now_ms() + u64::try_from(period.as_millis()).unwrap_or(0),
        })
    }

    fn has_passed(&self) -> bool {
        self.at <= Instant::now()
    }
}

/// How a deadline finishes a stream.
#[derive(Clone, Copy)]
pub(super) struct DueFinish {
    pub(super) status: Status,
    pub(super) event_name: &'static str,
    pub(super) data: &'static str,
}

/// The producer did not follow a stop.
const STOP_TIMEOUT: DueFinish = DueFinish {
    status: Status::Cancelled,
    event_name: "cancel",
    data: r#"{"reason":"stop-timeout","by":"broker"}"#,
};

/// The producer did not show that it lives.
const NO_SIGN_OF_LIFE: DueFinish = DueFinish {
    status: Status::Abandoned,
    event_name: "abandon",
    data: r#"{"reason":"lease"}"#,
};

/// The producer wrote no event.
const NO_EVENT: DueFinish = DueFinish {
    status: Status::Abandoned,
    event_name: "abandon",
    data: r#"{"reason":"stall"}"#,
};

/// The deadlines of an active stream.
pub(super) struct StreamDeadlines {
    stop_grace: Duration,
    stop: Option<Deadline>,
    is_stop_acked: bool,
    lease: Option<Deadline>,
    stall: Option<Deadline>,
}

impl StreamDeadlines {
    pub(super) fn new(new: &NewStream) -> Self {
        Self {
            stop_grace: new.stop_grace,
            stop: None,
            is_stop_acked: false,
            lease: Deadline::after(new.promise.lease),
            stall: Deadline::after(new.promise.stall),
        }
    }

    /// Whether there is one.
    pub(super) fn exist(&self) -> bool {
        self.stop.or(self.lease).or(self.stall).is_some()
    }

    /// The producer is asked to stop.
    pub(super) fn request_stop(&mut self) {
        self.stop = Deadline::after(self.stop_grace);
    }

    /// The producer wrote, perhaps events.
    pub(super) fn write(&mut self, has_events: bool) {
        self.lease = self.lease.and_then(|lease| Deadline::after(lease.period));
        if has_events {
            self.stall = self.stall.and_then(|stall| Deadline::after(stall.period));
        }
    }

    /// As `StreamStore::renew` has it.
    pub(super) fn renew(&mut self, renewal: Renewal) {
        if renewal.stop_ack && self.stop.is_some() && !self.is_stop_acked {
            self.is_stop_acked = true;
            self.stop = Deadline::after(self.stop_grace);
        }
        self.write(false);
        if let Some(lease) = renewal.lease {
            self.lease = Deadline::after(lease);
        }
        if let Some(stall) = renewal.stall {
            self.stall = Deadline::after(stall);
        }
    }

    /// When a stop finishes the stream, in milliseconds since the Unix epoch.
    pub(super) fn stop_expires_ms(&self) -> Option<u64> {
        self.stop.map(|stop| stop.at_ms)
    }

    /// Those of the producer's promises.
    pub(super) fn promised(&self) -> Deadlines {
        Deadlines {
            lease: self.lease.map(|lease| lease.period),
            lease_expires_ms: self.lease.map(|lease| lease.at_ms),
            stall_expires_ms: self.stall.map(|stall| stall.at_ms),
        }
    }

    /// Until when a stream with this TTL lives at least: for its TTL after the last deadline, until
    /// a sweep has looked at it, and for the longest promise once more.
    pub(super) fn outlive(&self, ttl: Duration) -> Option<Instant> {
        let promises = [self.lease, self.stall];
        let longest = promises
            .iter()
            .flatten()
            .map(|promise| promise.period)
            .max();
        let all = promises.iter().chain([&self.stop]);
        let last = all.flatten().map(|deadline| deadline.at).max()?;
        Some(last + ttl + longest.unwrap_or_default() + SWEEP_MARGIN)
    }

    /// How the earliest deadline that has passed finishes the stream. `contact`: for how long
    /// producers could reach the store without a break. A promise that is longer is not broken yet.
    pub(super) fn due(&self, contact: Duration) -> Option<DueFinish> {
        let is_broken = |promise: &Deadline| promise.has_passed() && contact >= promise.period;
        let due = [
            (self.stop.filter(Deadline::has_passed), STOP_TIMEOUT),
            (self.lease.filter(is_broken), NO_SIGN_OF_LIFE),
            (self.stall.filter(is_broken), NO_EVENT),
        ];
        due.into_iter()
            .filter_map(|(deadline, finish)| Some((deadline?.at, finish)))
            .min_by_key(|(at, _)| *at)
            .map(|(_, finish)| finish)
    }
}
