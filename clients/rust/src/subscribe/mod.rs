//! Following a stream.

mod follower;
mod order;
mod sse;
mod token;
#[cfg(feature = "websocket")]
mod websocket;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{
    Stream,
    stream::{self, BoxStream, StreamExt},
};
use reqwest::Url;

use self::follower::{Follower, State, Transport};
pub use self::token::Token;
use crate::{Error, Event, Status, http};

/// Follows a stream from its first event, or from [`after`](Subscribe::after) one, to its end.
///
/// `url` is an `sse_url` or, with the feature `websocket`, a `ws_url` as the broker gives them. `token` is a string, or a
/// [function](Token::from_fn) that gets one.
pub fn subscribe(url: impl Into<String>, token: impl Into<Token>) -> Subscribe {
    Subscribe {
        url: url.into(),
        token: token.into(),
        after: None,
        silence: Duration::from_secs(45),
        give_up_after: Duration::from_secs(300),
    }
}

/// A subscription that is to be started.
#[must_use = "a subscription does nothing until it is started"]
#[derive(Debug)]
pub struct Subscribe {
    url: String,
    token: Token,
    after: Option<String>,
    silence: Duration,
    give_up_after: Duration,
}

impl Subscribe {
    /// Starts after the event with this id.
    pub fn after(mut self, id: impl Into<String>) -> Self {
        self.after = Some(id.into());
        self
    }

    /// After how long without a byte, heartbeats included, a connection counts as broken; 45 seconds unless set.
    pub fn silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// After how long without an event or a heartbeat, on any connection, to give up; 300 seconds unless set.
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.give_up_after = time;
        self
    }

    /// The subscription, which connects when it is first polled, within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] when the URL is none of the broker's.
    pub fn start(self) -> Result<Subscription, Error> {
        let mut url = Url::parse(&self.url).map_err(Error::setup)?;
        let transport = Transport::of(&url)?;
        // To reqwest a WebSocket is an upgrade of HTTP.
        let http_scheme = match url.scheme() {
            "ws" => Some("http"),
            "wss" => Some("https"),
            _ => None,
        };
        if let Some(scheme) = http_scheme {
            url = Url::parse(&self.url.replacen(url.scheme(), scheme, 1)).map_err(Error::setup)?;
        }
        let follower = Follower {
            http: http::for_subscriptions()?,
            url,
            transport,
            token: self.token,
            // A longer silence would be noticed too late to give up.
            silence: self.silence.min(self.give_up_after),
            give_up_after: self.give_up_after,
            state: State::new(self.after.clone()),
        };
        let events = stream::try_unfold(follower, |mut follower| async move { Ok(follower.next().await?.map(|event| (event, follower))) });
        Ok(Subscription { events: events.boxed(), last_id: self.after, status: None })
    }
}

/// The events of a stream, `start` and `end` or `cancel` included, each once and in order, also when connections break meanwhile.
///
/// After the stream's last event, or an error, it is over. Dropped, it closes its connection at once. Nothing is read ahead of
/// what is asked for: a slow reader holds the broker back.
#[must_use = "a subscription does nothing unless it is polled"]
pub struct Subscription {
    events: BoxStream<'static, Result<Event, Error>>,
    last_id: Option<String>,
    status: Option<Status>,
}

impl Subscription {
    /// The id of the last event that was handed out; before the first, that after which to start.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How the stream was finished, once its last event was handed out.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.status
    }
}

impl Stream for Subscription {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.events.poll_next_unpin(cx));
        if let Some(Ok(event)) = &item {
            self.status = event.finishes();
            if event.id.is_some() {
                self.last_id.clone_from(&event.id);
            }
        }
        Poll::Ready(item)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("last_id", &self.last_id).field("status", &self.status).finish_non_exhaustive()
    }
}
