//! A subscription to one stream.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{
    Stream, TryStreamExt,
    stream::{BoxStream, StreamExt},
};

use super::{
    changes::Changes,
    cursor::{Position, Positions},
    missed::MissedTotal,
    options::{One, Started, Subscribe},
    positions::SharedStreams,
    request,
    token::Token,
};
use crate::{Error, Event, Status};

/// Subscribes to a stream, from its first event to its end. [`after`](Subscribe::after) makes it
/// start later.
///
/// `url` is a client URL of the broker: an `sse_url`, or the same with `/client/ndjson` or
/// `/client/poll`. With the feature `websocket` it may be a `ws_url`. `token` is a string, or a
/// [function](Token::from_fn) that gets one.
pub fn subscribe(url: impl Into<String>, token: impl Into<Token>) -> Subscribe {
    Subscribe::new(url.into(), token.into(), One { after: None })
}

impl Subscribe<One> {
    /// Starts after the event with this id.
    pub fn after(mut self, id: impl Into<String>) -> Self {
        self.streams.after = Some(id.into());
        self
    }

    /// Starts the subscription. It connects when it is first polled, within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] when the URL is not a broker's client URL, or does not name exactly one
    /// stream.
    pub fn start(self) -> Result<Subscription, Error> {
        let keys = request::keys(&self.options.url()?);
        let [key] = &*keys else {
            return Err(Error::setup(
                "the URL names no stream, or several, for which there is subscribe_many",
            ));
        };
        let key = key.clone();
        let after = self.streams.after;
        let known = after.clone().map(|id| {
            (
                key.clone(),
                Position {
                    id: Some(id),
                    is_last: false,
                },
            )
        });
        let positions = Positions {
            known: known.into_iter().collect(),
            compact: Vec::new(),
        };
        // Its streams never change.
        let (_, changes) = Changes::new();
        let Started { events, streams } = self.options.start(keys, positions, false, changes)?;
        Ok(Subscription {
            events,
            streams,
            key,
            last_id: after,
            status: None,
        })
    }
}

/// A subscription to one stream. It delivers the events in order and each once, also when
/// connections break meanwhile. `start`, and the
/// last event (`end`, `cancel`, `fail` or `abandon`), are included.
///
/// It is over after the stream's last event, or after an error. A dropped subscription closes its
/// connection at once. The subscription does not read ahead: a slow reader slows down its
/// connection.
#[must_use = "a subscription does nothing unless it is polled"]
pub struct Subscription {
    events: BoxStream<'static, Result<Event, Error>>,
    streams: SharedStreams,
    key: String,
    last_id: Option<String>,
    status: Option<Status>,
}

impl Subscription {
    /// The id of the last event that the subscription delivered, or that its
    /// [filter](Subscribe::events) left out. Before the first event, the id of
    /// [`after`](Subscribe::after). The next subscription can start after it.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How many events are missing so far, as they were no longer stored. None while no event is
    /// missing.
    #[must_use]
    pub fn missed(&self) -> Option<MissedTotal> {
        self.streams.lock().missed()
    }

    /// Reads the stream to its end. Missing events are an error, unless
    /// [`allow_missed`](Collect::allow_missed) is set.
    pub fn collect_all(&mut self) -> Collect<'_> {
        Collect {
            events: self,
            allow_missed: false,
        }
    }

    /// How the stream was finished, once its last event was delivered.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.status
    }
}

/// Reads a stream to its end.
#[must_use = "nothing is read until `events` or `text` is called"]
#[derive(Debug)]
pub struct Collect<'a> {
    events: &'a mut Subscription,
    allow_missed: bool,
}

impl Collect<'_> {
    /// Continues without the events that are no longer stored, instead of failing with
    /// [`Error::Missed`].
    pub fn allow_missed(mut self) -> Self {
        self.allow_missed = true;
        self
    }

    /// Returns all events up to the end of the stream.
    ///
    /// # Errors
    ///
    /// [`Error::Missed`] when events are no longer stored, and all errors of a subscription.
    pub async fn events(mut self) -> Result<Vec<Event>, Error> {
        self.read().await
    }

    async fn read(&mut self) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        while let Some(event) = self.events.try_next().await? {
            match &event.missed {
                Some(missed) if !self.allow_missed => {
                    return Err(Error::Missed {
                        count: missed.missed,
                        after: missed.after.clone(),
                    });
                }
                _ => events.push(event),
            }
        }
        Ok(events)
    }

    /// Returns the text of the whole stream: the data of all events with this name. After it,
    /// [`Subscription::status`] is how the stream was finished.
    ///
    /// # Errors
    ///
    /// As [`events`](Self::events), and [`Error::Incomplete`] when the stream failed or was
    /// abandoned: half an answer looks like a whole one.
    pub async fn text(mut self, event: &str) -> Result<String, Error> {
        let events = self.read().await?;
        if let Some(status @ (Status::Failed | Status::Abandoned)) = self.events.status() {
            let data = events.last().map(|last| last.data.clone());
            return Err(Error::Incomplete {
                status,
                data: data.unwrap_or_default(),
            });
        }
        Ok(events
            .iter()
            .filter(|found| found.event == event)
            .map(|found| &*found.data)
            .collect())
    }
}

impl Stream for Subscription {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let item = this.events.poll_next_unpin(cx);
        let streams = this.streams.lock();
        let last_id = streams.last_id(&this.key);
        if this.last_id.as_deref() != last_id {
            this.last_id = last_id.map(str::to_owned);
        }
        this.status = streams.status(&this.key);
        item
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("last_id", &self.last_id)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
