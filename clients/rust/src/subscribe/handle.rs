//! The caller's side of adding and dropping streams.

use futures::future::{BoxFuture, FutureExt};
use tokio::sync::{mpsc, oneshot};

use super::{
    attempt::StartPosition,
    changes::{Change, PendingChange},
    options::Producers,
    producer::Producer,
};
use crate::Error;

/// A handle adds streams to a running subscription, and drops them. It is cheap to clone.
///
/// Over WebSocket a change is a message. Over other transports the client connects again, and
/// continues where it was. The subscription makes a change only while it is polled. Poll it in
/// another task, or at the same time.
#[derive(Clone, Debug)]
pub struct Handle {
    changes: mpsc::Sender<PendingChange>,
    /// The start position of the subscription's other streams.
    start: StartPosition,
    producers: Producers,
}

impl Handle {
    pub(super) fn new(
        changes: mpsc::Sender<PendingChange>,
        start: StartPosition,
        producers: Producers,
    ) -> Self {
        Self {
            changes,
            start,
            producers,
        }
    }

    /// The producer of a stream, to ask it to stop, or to send another signal. Unlike changes this
    /// also works while nobody polls the subscription.
    #[must_use]
    pub fn producer(&self, key: impl Into<String>) -> Producer {
        self.producers.of(Some(key.into()))
    }

    /// Adds a stream, when the returned value is awaited:
    /// `handle.add("b").after("1767225600000-3").await?`. Returns the id of the event after which
    /// the subscription follows the stream, if it is known.
    ///
    /// # Errors
    ///
    /// The broker's, such as `forbidden`, `stream-not-found` or `already-subscribed`. The
    /// subscription then continues without the stream. [`Error::Over`] when the subscription no
    /// longer exists.
    pub fn add(&self, key: impl Into<String>) -> Add {
        Add {
            handle: self.clone(),
            key: key.into(),
            after: None,
            start: self.start.clone(),
        }
    }

    /// Drops a stream. Returns the id of its last delivered event, if it is known. A subscription
    /// without streams waits for another.
    ///
    /// # Errors
    ///
    /// `not-subscribed` when the subscription does not follow the stream. [`Error::Over`] when the
    /// subscription no longer exists.
    pub async fn drop(&self, key: impl Into<String>) -> Result<Option<String>, Error> {
        self.request(Change::Drop { key: key.into() }).await
    }

    async fn request(&self, change: Change) -> Result<Option<String>, Error> {
        let (done, outcome) = oneshot::channel();
        self.changes
            .send(PendingChange { change, done })
            .await
            .map_err(|_| Error::Over)?;
        outcome.await.map_err(|_| Error::Over)?
    }
}

/// The options of a stream to [add](Handle::add). Nothing happens until it is awaited.
#[must_use = "nothing is added until this is awaited"]
#[derive(Debug)]
pub struct Add {
    handle: Handle,
    key: String,
    after: Option<String>,
    start: StartPosition,
}

impl Add {
    /// Starts after the event with this id.
    pub fn after(mut self, id: impl Into<String>) -> Self {
        self.after = Some(id.into());
        self
    }

    /// The start position without [`after`](Self::after), as in
    /// [`Subscribe::from`](crate::Subscribe::from). By default that of the subscription.
    pub fn from(mut self, from: impl Into<String>) -> Self {
        self.start.from = Some(from.into());
        self
    }

    /// Whether to wait until the stream exists. By default as the subscription does.
    pub fn wait(mut self, wait: bool) -> Self {
        self.start.wait = wait;
        self
    }
}

impl IntoFuture for Add {
    type Output = Result<Option<String>, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self {
            handle,
            key,
            after,
            start,
        } = self;
        async move { handle.request(Change::Add { key, after, start }).await }.boxed()
    }
}
