//! What an admitted session holds until it is over.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{
    address::AddressBlock,
    limits::{KeyLimit, Permit},
};
use crate::{
    presence::SubscriberCounts,
    stream::{SharedPosition, StreamKey},
    telemetry::metrics::{ConnectedGuard, DisconnectReason},
};

/// A permit of a stream's limit, where streams have one.
pub(super) type StreamPermit = Option<Box<Permit<StreamKey>>>;

/// The permits of a session that do not depend on its streams; given back when dropped.
#[derive(Debug)]
pub(super) struct Permits {
    pub(super) _node: OwnedSemaphorePermit,
    pub(super) address: Option<Box<Permit<AddressBlock>>>,
}

/// What an admitted session holds: its permits, its streams, and its place in the counts. Dropping
/// it gives everything back.
#[derive(Debug)]
pub(super) struct Membership {
    streams: Vec<CountedStream>,
    permits: Permits,
    connected: ConnectedGuard,
    counts: Arc<SubscriberCounts>,
}

/// A stream for which the session counts as a subscriber.
#[derive(Debug)]
struct CountedStream {
    key: StreamKey,
    position: SharedPosition,
    permit: StreamPermit,
}

impl Membership {
    pub(super) fn new(
        permits: Permits,
        connected: ConnectedGuard,
        counts: Arc<SubscriberCounts>,
    ) -> Self {
        Self {
            streams: Vec::new(),
            permits,
            connected,
            counts,
        }
    }

    /// Sets the reason that the metrics report when the session is over.
    pub(super) fn set_disconnect_reason(&mut self, reason: DisconnectReason) {
        self.connected.set_reason(reason);
    }

    /// Adds streams. A stream that is there already stays as it is.
    pub(super) fn add(
        &mut self,
        streams: impl IntoIterator<Item = (StreamKey, SharedPosition, StreamPermit)>,
    ) {
        let streams = streams.into_iter();
        // Room for exactly these: most sessions have the same stream until they end.
        self.streams.reserve_exact(streams.size_hint().0);
        for (key, position, permit) in streams {
            if !self.has(&key) {
                self.counts.enter(&key);
                self.streams.push(CountedStream {
                    key,
                    position,
                    permit,
                });
            }
        }
    }

    /// Removes a stream, and returns its permit.
    pub(super) fn remove(&mut self, key: &StreamKey) -> StreamPermit {
        let index = self.streams.iter().position(|stream| stream.key == *key)?;
        self.counts.leave(key);
        self.streams.remove(index).permit
    }

    /// Whether the session counts as a subscriber of the stream.
    pub(super) fn has(&self, key: &StreamKey) -> bool {
        self.streams.iter().any(|stream| stream.key == *key)
    }

    /// The streams, and the number of the event that comes next in each.
    pub(super) fn streams(&self) -> impl ExactSizeIterator<Item = (StreamKey, u64)> {
        let next = |stream: &CountedStream| (stream.key.clone(), stream.position.next());
        self.streams.iter().map(next)
    }

    /// The limits that gave it permits, except the node's.
    pub(super) fn limits(&self) -> Vec<Arc<KeyLimit>> {
        let of_streams = self
            .streams
            .iter()
            .filter_map(|stream| stream.permit.as_ref());
        let of_address = self.permits.address.as_ref().map(|permit| permit.limit());
        of_streams
            .map(|permit| permit.limit())
            .chain(of_address)
            .collect()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        for stream in &self.streams {
            self.counts.leave(&stream.key);
        }
    }
}
