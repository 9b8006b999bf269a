//! Adding streams to a running subscription, and dropping them.

use futures::future::{BoxFuture, FutureExt};
use tokio::sync::{mpsc, oneshot};

use super::streams::Begin;
use crate::Error;

/// What is to be changed.
#[derive(Debug)]
pub(super) enum Change {
    Add {
        key: String,
        after: Option<String>,
        begin: Begin,
    },
    Drop {
        key: String,
    },
}

/// A change, and where the position in the stream is told when it is done.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) change: Change,
    pub(super) done: oneshot::Sender<Result<Option<String>, Error>>,
}

impl Change {
    #[cfg(feature = "websocket")]
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Add { key, .. } | Self::Drop { key } => key,
        }
    }
}

/// Adds streams to a running subscription, and drops them. Cheap to clone.
///
/// Over WebSocket this is a message of its own, over other transports another connection that goes
/// on where this one was. Either is done while the subscription is polled, and waited for here:
/// poll it in another task, or at the same time.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    /// What the subscription says of where to begin.
    begin: Begin,
}

impl Handle {
    /// A handle, and where its commands come.
    pub(super) fn new(begin: Begin) -> (Self, mpsc::Receiver<Command>) {
        // They wait for the subscription anyway.
        let (commands, receiver) = mpsc::channel(1);
        (Self { commands, begin }, receiver)
    }

    /// Follows one more stream, as soon as this is awaited:
    /// `handle.add("b").after("1767225600000-3").await?`. Gives the id after which it is followed,
    /// if that is known.
    ///
    /// # Errors
    ///
    /// The broker's, such as `forbidden`, `stream-not-found` or `already-subscribed`: the
    /// subscription goes on without the stream. [`Error::Over`] when there is no subscription any
    /// more.
    pub fn add(&self, key: impl Into<String>) -> Add {
        Add {
            handle: self.clone(),
            key: key.into(),
            after: None,
            begin: self.begin.clone(),
        }
    }

    /// Follows a stream no more. Gives the id of its last event that was handed out, if that is
    /// known. A subscription without streams waits for another.
    ///
    /// # Errors
    ///
    /// `not-subscribed` when it is not followed. [`Error::Over`] when there is no subscription any
    /// more.
    pub async fn drop(&self, key: impl Into<String>) -> Result<Option<String>, Error> {
        self.ask(Change::Drop { key: key.into() }).await
    }

    async fn ask(&self, change: Change) -> Result<Option<String>, Error> {
        let (done, outcome) = oneshot::channel();
        self.commands
            .send(Command { change, done })
            .await
            .map_err(|_| Error::Over)?;
        outcome.await.map_err(|_| Error::Over)?
    }
}

/// A stream that is to be [added](Handle::add). Nothing happens until it is awaited.
#[must_use = "nothing is added until this is awaited"]
#[derive(Debug)]
pub struct Add {
    handle: Handle,
    key: String,
    after: Option<String>,
    begin: Begin,
}

impl Add {
    /// Starts after the event with this id.
    pub fn after(mut self, id: impl Into<String>) -> Self {
        self.after = Some(id.into());
        self
    }

    /// Where to begin without [`after`](Self::after), as in
    /// [`Subscribe::from`](crate::Subscribe::from); where the subscription says, unless this is
    /// set.
    pub fn from(mut self, from: impl Into<String>) -> Self {
        self.begin.from = Some(from.into());
        self
    }

    /// Whether to wait until the stream exists; as the subscription does, unless this is set.
    pub fn wait(mut self, wait: bool) -> Self {
        self.begin.wait = wait;
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
            begin,
        } = self;
        async move { handle.ask(Change::Add { key, after, begin }).await }.boxed()
    }
}
