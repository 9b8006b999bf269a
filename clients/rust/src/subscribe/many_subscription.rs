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

use super::{
    Token,
    change::Handle,
    cursor::{Cursor, Positions},
    follower::Shared,
    missed::MissedTotal,
    options::{Started, Subscribe},
};
use crate::{Error, Event, Status};

/// Follows several streams over one connection, each from its first event, or from
/// [`after`](Subscribe::after) one, to its end.
///
/// `url` is a client URL as for [`subscribe`](crate::subscribe); keys in it do not count. A
/// subscription without keys waits until one is [added](Handle::add).
pub fn subscribe_many<K: Into<String>>(
    url: impl Into<String>,
    keys: impl IntoIterator<Item = K>,
    token: impl Into<Token>,
) -> Subscribe<Many> {
    let keys: BTreeSet<String> = keys.into_iter().map(Into::into).collect();
    Subscribe::new(
        url.into(),
        token.into(),
        Many {
            keys: keys.into_iter().collect(),
            after: None,
        },
    )
}

/// What is to be followed: streams by their keys.
#[derive(Debug)]
pub struct Many {
    keys: Vec<String>,
    after: Option<Cursor>,
}

impl Subscribe<Many> {
    /// Starts where this says: a [cursor](ManySubscription::cursor), or pairs of a key and an
    /// event's id. In streams that it does not name it starts [`from`](Self::from) where that says.
    pub fn after(mut self, cursor: impl Into<Cursor>) -> Self {
        self.streams.after = Some(cursor.into());
        self
    }

    /// The subscription, which connects when it is first polled, within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] when the URL is none of the broker's, and one with the code
    /// `invalid-event-id` when what was given as a cursor is none.
    pub fn start(self) -> Result<ManySubscription, Error> {
        let Many { keys, after } = self.streams;
        let positions = after
            .map(|cursor| Positions::given(cursor, &keys))
            .transpose()?
            .unwrap_or_default();
        let (handle, commands) = Handle::new(self.options.begin.clone());
        let Started { events, streams } = self.options.start(keys, positions, true, commands)?;
        Ok(ManySubscription {
            events,
            streams,
            handle,
        })
    }
}

/// The events of several streams, each stream's once and in its order, also when connections break
/// meanwhile. Nothing is promised about the order between streams.
///
/// After the last events of all streams, or an error, it is over. A stream that is gone is told by
/// an event `missedevents` whose [`first`](crate::Missed::first) is None; the others go on.
/// Dropped, it closes its connection at once. Nothing is read ahead of what is asked for: a slow
/// reader holds the broker back.
#[must_use = "a subscription does nothing unless it is polled"]
pub struct ManySubscription {
    events: BoxStream<'static, Result<Event, Error>>,
    streams: Shared,
    handle: Handle,
}

impl ManySubscription {
    /// Where it is in all of its streams, for another to start [`after`](Subscribe::after), over
    /// whichever transport; None: nowhere yet.
    #[must_use]
    pub fn cursor(&self) -> Option<String> {
        self.streams.lock().cursor()
    }

    /// What became of a stream, once that was handed out.
    #[must_use]
    pub fn status(&self, key: &str) -> Option<Status> {
        self.streams.lock().status(key)
    }

    /// What became of each stream that is followed, once that was handed out.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<String, Option<Status>> {
        self.streams.lock().statuses()
    }

    /// The events that are missing so far, in all streams that were not dropped: they were no
    /// longer stored. None while none is.
    #[must_use]
    pub fn missed(&self) -> Option<MissedTotal> {
        self.streams.lock().missed()
    }

    /// What adds streams to it, and drops them.
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
