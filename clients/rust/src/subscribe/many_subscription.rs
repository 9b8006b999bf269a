//! A subscription to several streams.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{
    Stream,
    stream::{BoxStream, StreamExt},
};
use serde::Serialize;

use super::{
    access::AccessSource,
    changes::Changes,
    cursor::{Cursor, Positions},
    handle::Handle,
    missed::MissedTotal,
    options::{Many, Started, StartingStreams, Subscribe},
    positions::SharedStreams,
    producer::Producer,
    reason::Reason,
    token::Token,
};
use crate::{Error, Event, Status};

/// Subscribes to several streams over one connection, each from its first event to its end.
/// [`after`](Subscribe::after) makes it start later.
///
/// `url` is a client URL as for [`subscribe`](crate::subscribe()). Keys in it are ignored. A
/// subscription without keys waits until a stream is [added](Handle::add).
pub fn subscribe_many<K: Into<String>>(
    url: impl Into<String>,
    keys: impl IntoIterator<Item = K>,
    token: impl Into<Token>,
) -> Subscribe<Many> {
    Subscribe::new(url.into(), token.into(), many(keys))
}

/// Subscribes to several streams, as [`subscribe_many`] does, with an
/// [access](crate::subscribe_with).
pub fn subscribe_many_with<K: Into<String>>(
    access: impl Into<AccessSource>,
    keys: impl IntoIterator<Item = K>,
) -> Subscribe<Many> {
    Subscribe::with_access(access.into(), many(keys))
}

fn many<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Many {
    let keys: BTreeSet<String> = keys.into_iter().map(Into::into).collect();
    Many {
        keys: keys.into_iter().collect(),
        after: None,
    }
}

impl Subscribe<Many> {
    /// Starts at this [cursor](ManySubscription::cursor), or after these pairs of a key and an
    /// event's id. Other streams start at the position of [`from`](Self::from).
    pub fn after(mut self, cursor: impl Into<Cursor>) -> Self {
        self.streams.after = Some(cursor.into());
        self
    }

    /// Starts the subscription. It connects when it is first polled, within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] when the URL is not a broker's client URL. An error with the code
    /// `invalid-event-id` when the cursor can't be parsed.
    pub fn start(self) -> Result<ManySubscription, Error> {
        let Many { keys, after } = self.streams;
        let positions = after
            .map(|cursor| Positions::from_caller(cursor, &keys))
            .transpose()?
            .unwrap_or_default();
        let (sender, changes) = Changes::new();
        let start = self.options.start.clone();
        let streams = StartingStreams {
            keys,
            positions,
            is_keyed: true,
            unnamed: None,
        };
        let Started {
            events,
            streams,
            producers,
        } = self.options.start(streams, changes)?;
        let handle = Handle::new(sender, start, producers);
        Ok(ManySubscription {
            events,
            streams,
            handle,
        })
    }
}

/// A subscription to several streams. It delivers each stream's events in order and each once, also
/// when connections break meanwhile. There is no order between streams.
///
/// It is over after the last events of all streams, or after an error. When a stream no longer
/// exists, the subscription delivers a `missedevents` whose [`first`](crate::Missed::first) is
/// None, and continues with the others. A dropped subscription closes its connection at once. The
/// subscription does not read ahead: a slow reader slows down its connection.
#[must_use = "a subscription does nothing unless it is polled"]
pub struct ManySubscription {
    events: BoxStream<'static, Result<Event, Error>>,
    streams: SharedStreams,
    handle: Handle,
}

impl ManySubscription {
    /// The cursor: the positions in all streams. Another subscription can start
    /// [`after`](Subscribe::after) it, over any transport. None while there is no position.
    #[must_use]
    pub fn cursor(&self) -> Option<String> {
        self.streams.lock().cursor()
    }

    /// How a stream was finished, once its last event was delivered.
    #[must_use]
    pub fn status(&self, key: &str) -> Option<Status> {
        self.streams.lock().status(key)
    }

    /// How each followed stream was finished, once its last event was delivered.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<String, Option<Status>> {
        self.streams.lock().statuses()
    }

    /// Why a stream was finished, once its last event was delivered. None for a stream that ended,
    /// and when the event says nothing.
    #[must_use]
    pub fn reason(&self, key: &str) -> Option<Reason> {
        self.streams.lock().reason(key).cloned()
    }

    /// Why each followed stream was finished, as [`reason`](Self::reason) returns it.
    #[must_use]
    pub fn reasons(&self) -> BTreeMap<String, Option<Reason>> {
        self.streams.lock().reasons()
    }

    /// The producer of a stream, to ask while the subscription is polled elsewhere. The stream need
    /// not be one that is followed.
    #[must_use]
    pub fn producer(&self, key: impl Into<String>) -> Producer {
        self.handle.producer(key)
    }

    /// Asks the producer of a stream to stop, as [`Producer::request_stop`] does.
    pub fn request_stop(
        &self,
        key: &str,
    ) -> impl Future<Output = Result<Option<u64>, Error>> + Send + use<> {
        let producer = self.producer(key);
        async move { producer.request_stop().await }
    }

    /// Sends a signal to the producer of a stream, as [`Producer::signal`] does.
    pub fn signal<D: Serialize + Send>(
        &self,
        key: &str,
        name: &str,
        data: D,
    ) -> impl Future<Output = Result<u64, Error>> + Send + use<D> {
        let (producer, name) = (self.producer(key), name.to_owned());
        async move { producer.signal(&name, data).await }
    }

    /// How many events are missing so far, as they were no longer stored. Includes all streams that
    /// were not dropped. None while no event is missing.
    #[must_use]
    pub fn missed(&self) -> Option<MissedTotal> {
        self.streams.lock().missed()
    }

    /// A handle that adds streams to this subscription, and drops them.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Stream for ManySubscription {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(cx)
    }
}

impl fmt::Debug for ManySubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManySubscription")
            .field("cursor", &self.cursor())
            .field("statuses", &self.statuses())
            .finish_non_exhaustive()
    }
}
