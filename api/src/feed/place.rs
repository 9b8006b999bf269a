//! What a client has until it is gone.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{
    address::AddressBlock,
    audience::Audience,
    group::{Group, Seat},
};
use crate::{
    event::StreamKey,
    metrics::{Departure, Presence},
};

/// A place in a stream where its clients are limited.
pub(super) type StreamSeat = Option<Box<Seat<StreamKey>>>;

/// What a client takes up of each limit but those of its streams; given back when dropped.
#[derive(Debug)]
pub(super) struct Seats {
    pub(super) _node: OwnedSemaphorePermit,
    pub(super) address: Option<Box<Seat<AddressBlock>>>,
}

/// What a client has until it is gone: its seats, the streams that it follows, and its being
/// counted.
#[derive(Debug)]
pub(super) struct Place {
    streams: Vec<Followed>,
    seats: Seats,
    presence: Presence,
    audience: Arc<Audience>,
}

/// A stream that a client follows.
#[derive(Debug)]
struct Followed {
    key: StreamKey,
    /// The number of the event that follows the last one sent.
    next: u64,
    seat: StreamSeat,
}

impl Place {
    pub(super) fn new(seats: Seats, presence: Presence, audience: Arc<Audience>) -> Self {
        Self {
            streams: Vec::new(),
            seats,
            presence,
            audience,
        }
    }

    /// Says why the client is about to be gone.
    pub(super) fn departs(&mut self, reason: Departure) {
        self.presence.departs(reason);
    }

    /// Follows these as well, with their seats. One that it follows already is left as it is.
    pub(super) fn follow(&mut self, streams: impl IntoIterator<Item = (StreamKey, StreamSeat)>) {
        let streams = streams.into_iter();
        // Room for exactly these: most clients follow one stream for ever.
        self.streams.reserve_exact(streams.size_hint().0);
        for (key, seat) in streams {
            if !self.follows(&key) {
                self.audience.enter(&key);
                self.streams.push(Followed { key, next: 0, seat });
            }
        }
    }

    /// Does not follow this one any more; returns the seat that it had.
    pub(super) fn unfollow(&mut self, key: &StreamKey) -> StreamSeat {
        let index = self
            .streams
            .iter()
            .position(|followed| followed.key == *key)?;
        self.audience.leave(key);
        self.streams.remove(index).seat
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

    /// The groups in which its seats are, but for the node's.
    pub(super) fn groups(&self) -> Vec<Arc<Group>> {
        let streams = self
            .streams
            .iter()
            .filter_map(|followed| followed.seat.as_ref())
            .map(|seat| seat.group());
        streams
            .chain(self.seats.address.as_ref().map(|seat| seat.group()))
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.streams
            .iter()
            .for_each(|followed| self.audience.leave(&followed.key));
    }
}
