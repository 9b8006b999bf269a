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
    Token,
    change::Handle,
    cursor::{Position, Positions},
    follower::Shared,
    missed::MissedTotal,
    options::{Started, Subscribe},
    streams::Begin,
};
use crate::{Error, Event, Status};

/// Follows a stream from its first event, or from [`after`](Subscribe::after) one, to its end.
///
/// `url` is an `sse_url` or, with the feature `websocket`, a `ws_url` as the broker gives them, or
/// the same with `/client/ndjson` or `/client/poll`. `token` is a string, or a
/// [function](Token::from_fn) that gets one.
pub fn subscribe(url: impl Into<String>, token: impl Into<Token>) -> Subscribe {
    Subscribe::new(url.into(), token.into(), One { after: None })
}

/// What is to be followed: the stream whose key is in the URL.
#[derive(Debug)]
pub struct One {
    after: Option<String>,
}

impl Subscribe<One> {
    /// Starts after the event with this id.
    pub fn after(mut self, id: impl Into<String>) -> Self {
        self.streams.after = Some(id.into());
        self
    }

    /// The subscription, which connects when it is first polled, within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] when the URL is none of the broker's, or names no stream or several.
    pub fn start(self) -> Result<Subscription, Error> {
        let keys: Vec<_> = self
            .options
            .url()?
            .query_pairs()
            .filter(|(name, _)| name == "key")
            .map(|(_, key)| key.into_owned())
            .collect();
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
        // Nobody has the other end.
        let (_, commands) = Handle::new(Begin::default());
        let Started { events, streams } = self.options.start(keys, positions, false, commands)?;
        Ok(Subscription {
            events,
            streams,
            key,
            last_id: after,
            status: None,
        })
    }
}

/// The events of a stream, `start` and `end` or `cancel` included, each once and in order, also
/// when connections break meanwhile.
///
/// After the stream's last event, or an error, it is over. Dropped, it closes its connection at
/// once. Nothing is read ahead of what is asked for: a slow reader holds the broker back.
#[must_use = "a subscription does nothing unless it is polled"]
pub struct Subscription {
    events: BoxStream<'static, Result<Event, Error>>,
    streams: Shared,
    key: String,
    last_id: Option<String>,
    status: Option<Status>,
}

impl Subscription {
    /// The id of the last event that was handed out, or left out as it was not
    /// [wanted](Subscribe::events); before the first, that after which to start. With it the next
    /// subscription starts [`after`](Subscribe::after).
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The events that are missing so far: they were no longer stored. None while none is.
    #[must_use]
    pub fn missed(&self) -> Option<MissedTotal> {
        self.streams.lock().missed()
    }

    /// Reads the stream to its end. Events that are no longer stored are an error, unless [that is
    /// allowed](Collect::allow_missed).
    pub fn collect_all(&mut self) -> Collect<'_> {
        Collect {
            events: self,
            allow_missed: false,
        }
    }

    /// How the stream was finished, once its last event was handed out.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.status
    }
}

/// What reads a stream to its end.
#[must_use = "nothing is read until `events` or `text` is called"]
#[derive(Debug)]
pub struct Collect<'a> {
    events: &'a mut Subscription,
    allow_missed: bool,
}

impl Collect<'_> {
    /// Goes on without the events that are no longer stored, instead of failing with
    /// [`Error::Missed`].
    pub fn allow_missed(mut self) -> Self {
        self.allow_missed = true;
        self
    }

    /// All events up to the end of the stream.
    ///
    /// # Errors
    ///
    /// [`Error::Missed`] when some are no longer stored, and whatever ends a subscription.
    pub async fn events(self) -> Result<Vec<Event>, Error> {
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

    /// The text of the whole stream: the data of its events of one name. [`Subscription::status`]
    /// says afterwards whether the stream was ended or cancelled.
    ///
    /// # Errors
    ///
    /// As [`events`](Self::events).
    pub async fn text(self, event: &str) -> Result<String, Error> {
        let events = self.events().await?;
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
