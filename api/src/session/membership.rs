//! What a client has until it is gone.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{
    address::AddressBlock,
    limits::{ConnectionLimit, Permit},
};
use crate::{
    presence::SubscriberCounts,
    stream::StreamKey,
    telemetry::metrics::{Departure, Presence},
};

/// A place in a stream where its clients are limited.
pub(super) type StreamPermit = Option<Box<Permit<StreamKey>>>;

/// What a client takes up of each limit but those of its streams; given back when dropped.
#[derive(Debug)]
pub(super) struct Permits {
    pub(super) _node: OwnedSemaphorePermit,
    pub(super) address: Option<Box<Permit<AddressBlock>>>,
}

/// What a client has until it is gone: its seats, the streams that it follows, and its being
/// counted.
#[derive(Debug)]
pub(super) struct Membership {
    streams: Vec<CountedStream>,
    permits: Permits,
    presence: Presence,
    counts: Arc<SubscriberCounts>,
}

/// A stream that a client follows.
#[derive(Debug)]
struct CountedStream {
    key: StreamKey,
    /// The number of the event that follows the last one sent.
    next: u64,
    permit: StreamPermit,
}

impl Membership {
    pub(super) fn new(permits: Permits, presence: Presence, counts: Arc<SubscriberCounts>) -> Self {
        Self {
            streams: Vec::new(),
            permits,
            presence,
            counts,
        }
    }

    /// Says why the client is about to be gone.
    pub(super) fn set_disconnect_reason(&mut self, reason: Departure) {
        self.presence.departs(reason);
    }

    /// Follows these as well, with their seats. One that it follows already is left as it is.
    pub(super) fn follow(&mut self, streams: impl IntoIterator<Item = (StreamKey, StreamPermit)>) {
        let streams = streams.into_iter();
        // Room for exactly these: most clients follow one stream for ever.
        self.streams.reserve_exact(streams.size_hint().0);
        for (key, permit) in streams {
            if !self.follows(&key) {
                self.counts.enter(&key);
                self.streams.push(CountedStream {
                    key,
                    next: 0,
                    permit,
                });
            }
        }
    }

    /// Does not follow this one any more; returns the seat that it had.
    pub(super) fn unfollow(&mut self, key: &StreamKey) -> StreamPermit {
        let index = self
            .streams
            .iter()
            .position(|followed| followed.key == *key)?;
        self.counts.leave(key);
        self.streams.remove(index).permit
    }

    /// Whether it follows the stream.
    pub(super) fn follows(&self, key: &StreamKey) -> bool {
        self.streams.iter().any(|followed| followed.key == *key)
    }

    /// The client was sent the stream's events up to the one with this number.
    pub(super) fn sent(&mut self, key: &StreamKey, last: u64) {
        if let Some(followed) = self
            .streams
            .iter_mut()
            .find(|followed| followed.key == *key)
        {
            followed.next = last.saturating_add(1);
        }
    }

    /// The streams, and the number of the event that is to be sent next of each.
    pub(super) fn streams(&self) -> impl ExactSizeIterator<Item = (StreamKey, u64)> {
        self.streams
            .iter()
            .map(|followed| (followed.key.clone(), followed.next))
    }

    /// The limits in which its permits are, but for the node's.
    pub(super) fn limits(&self) -> Vec<Arc<ConnectionLimit>> {
        let streams = self
            .streams
            .iter()
            .filter_map(|followed| followed.permit.as_ref())
            .map(|permit| permit.limit());
        streams
            .chain(self.permits.address.as_ref().map(|permit| permit.limit()))
            .collect()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.streams
            .iter()
            .for_each(|followed| self.counts.leave(&followed.key));
    }
}
