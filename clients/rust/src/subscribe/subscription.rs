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
use serde::Serialize;

use super::{
    access::AccessSource,
    changes::Changes,
    cursor::{Position, Positions},
    follower::UnnamedStream,
    missed::MissedTotal,
    options::{One, Started, StartingStreams, Subscribe},
    positions::SharedStreams,
    producer::Producer,
    reason::Reason,
    request::only_key,
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

/// Subscribes to a stream with what [`create_stream`](crate::Client::create_stream) and
/// [`issue_token`](crate::Client::issue_token) return, or with a
/// [function](AccessSource::from_fn) that gets it, for example from a backend.
///
/// ```no_run
/// # async fn example() -> Result<(), tinistreamer_client::Error> {
/// use tinistreamer_client::{AccessSource, StreamAccess, subscribe_with};
///
/// async fn get_access() -> Result<StreamAccess, serde_json::Error> {
///     let answer = r#"{"sse_url": "https://broker.example.com/…", "token": "…"}"#;
///     serde_json::from_str(answer)
/// }
///
/// let mut events = subscribe_with(AccessSource::from_fn(get_access)).start()?;
/// println!("{}", events.collect_all().text("token").await?);
/// # Ok(())
/// # }
/// ```
///
/// [`url`](Subscribe::url) takes another URL than that of the access, for example a `ws_url`.
pub fn subscribe_with(access: impl Into<AccessSource>) -> Subscribe {
    Subscribe::with_access(access.into(), One { after: None })
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
    /// stream. If the URL comes from a function, the subscription fails with this error.
    pub fn start(self) -> Result<Subscription, Error> {
        let after = self.streams.after;
        let key = self
            .options
            .known_url()?
            .as_ref()
            .map(only_key)
            .transpose()?;
        let unnamed = key.is_none().then(|| UnnamedStream {
            after: after.clone(),
            start: self.options.start.clone(),
        });
        let positions = key.as_ref().map(|key| position(key, after.clone()));
        let streams = StartingStreams {
            keys: key.into_iter().collect(),
            positions: positions.unwrap_or_default(),
            is_keyed: false,
            unnamed,
        };
        // Its streams never change.
        let (_, changes) = Changes::new();
        let Started {
            events,
            streams,
            producers,
        } = self.options.start(streams, changes)?;
        Ok(Subscription {
            events,
            streams,
            producer: producers.of(None),
            last_id: after,
            status: None,
            reason: None,
        })
    }
}

/// The position after an event of the only stream, if there is one.
fn position(key: &str, after: Option<String>) -> Positions {
    let known = after.map(|id| {
        let position = Position {
            id: Some(id),
            is_last: false,
        };
        (key.to_owned(), position)
    });
    Positions {
        known: known.into_iter().collect(),
        compact: Vec::new(),
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
    producer: Producer,
    last_id: Option<String>,
    status: Option<Status>,
    reason: Option<Reason>,
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

    /// Why the stream was finished, once its last event was delivered. None for a stream that
    /// ended, and when the event says nothing.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        self.reason.as_ref()
    }

    /// The producer of the stream, to ask while the subscription is polled elsewhere.
    #[must_use]
    pub fn producer(&self) -> Producer {
        self.producer.clone()
    }

    /// Asks the producer to stop, as [`Producer::request_stop`] does.
    pub fn request_stop(&self) -> impl Future<Output = Result<Option<u64>, Error>> + Send + use<> {
        let producer = self.producer();
        async move { producer.request_stop().await }
    }

    /// Sends a signal to the producer, as [`Producer::signal`] does.
    pub fn signal<D: Serialize + Send>(
        &self,
        name: &str,
        data: D,
    ) -> impl Future<Output = Result<u64, Error>> + Send + use<D> {
        let (producer, name) = (self.producer(), name.to_owned());
        async move { producer.signal(&name, data).await }
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
        if let Some(key) = streams.first_key() {
            let last_id = streams.last_id(key);
            if this.last_id.as_deref() != last_id {
                this.last_id = last_id.map(str::to_owned);
            }
            this.status = streams.status(key);
            if this.status.is_some() {
                this.reason = streams.reason(key).cloned();
            }
        }
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
