//! Changes of a running subscription: streams that are added and dropped.

use std::collections::VecDeque;

use tokio::sync::{mpsc, oneshot};

#[cfg(feature = "websocket")]
use super::frame::ChangeReply;
use super::{attempt::StartPosition, positions::ManyStreams};
use crate::Error;

/// A change of the streams that a subscription follows.
#[derive(Debug)]
pub(super) enum Change {
    Add {
        key: String,
        after: Option<String>,
        start: StartPosition,
    },
    Drop {
        key: String,
    },
}

impl Change {
    #[cfg(feature = "websocket")]
    fn key(&self) -> &str {
        match self {
            Self::Add { key, .. } | Self::Drop { key } => key,
        }
    }
}

/// The position in the changed stream, or why the change failed.
pub(super) type Outcome = Result<Option<String>, Error>;

/// A change that is not done yet, and where its caller receives the outcome.
#[derive(Debug)]
pub(super) struct PendingChange {
    pub(super) change: Change,
    pub(super) done: oneshot::Sender<Outcome>,
}

/// A stream that is added by a new connection. The broker refuses the connection if it refuses the
/// stream.
struct PendingAdd {
    key: String,
    done: oneshot::Sender<Outcome>,
    /// The streams to follow if the broker refuses.
    before: ManyStreams,
}

/// The changes that the callers of a subscription asked for and that are not done.
pub(super) struct Changes {
    queue: mpsc::Receiver<PendingChange>,
    /// Changes that were sent over WebSocket. The broker replies in this order.
    unanswered: VecDeque<PendingChange>,
    adding: Option<PendingAdd>,
}

impl Changes {
    /// The changes of one subscription, and the sender that its handles use.
    pub(super) fn new() -> (mpsc::Sender<PendingChange>, Self) {
        // A caller waits for its change to be done anyway.
        let (sender, queue) = mpsc::channel(1);
        let changes = Self {
            queue,
            unanswered: VecDeque::new(),
            adding: None,
        };
        (sender, changes)
    }

    /// Whether no change is waiting.
    pub(super) fn is_empty(&self) -> bool {
        self.unanswered.is_empty() && self.queue.is_empty()
    }

    /// The next change that a caller asks for. Cancel safe.
    pub(super) async fn recv(&mut self) -> Option<PendingChange> {
        self.queue.recv().await
    }

    /// The next change that is not done, without waiting.
    pub(super) fn try_next(&mut self) -> Option<PendingChange> {
        self.unanswered
            .pop_front()
            .or_else(|| self.queue.try_recv().ok())
    }

    /// Makes a change for which the subscription connects again. Returns whether it has to.
    pub(super) fn apply(&mut self, pending: PendingChange, streams: &mut ManyStreams) -> bool {
        let PendingChange { change, done } = pending;
        match change {
            Change::Add { key, .. } if streams.is_open(&key) => {
                let _ = done.send(Err(Error::refused(
                    "already-subscribed",
                    format!("The stream {key:?} is followed already"),
                )));
                false
            }
            Change::Add { key, after, start } => {
                let before = streams.clone();
                streams.add(key.clone(), after, start);
                self.adding = Some(PendingAdd { key, done, before });
                true
            }
            Change::Drop { key } => {
                let reconnect = streams.is_open(&key);
                let _ = done.send(streams.remove(&key));
                reconnect
            }
        }
    }

    /// Whether the next connection adds a stream.
    pub(super) fn is_adding(&self) -> bool {
        self.adding.is_some()
    }

    /// Completes the stream that the new connection adds, if there is one.
    pub(super) fn connected(&mut self, streams: &ManyStreams) {
        if let Some(PendingAdd { key, done, .. }) = self.adding.take() {
            let after = streams.last_id(&key).map(str::to_owned);
            // The caller may have dropped its future.
            let _ = done.send(Ok(after));
        }
    }

    /// Undoes the stream that the new connection was to add, and reports the error to its caller.
    /// Returns the error when no stream was to be added.
    pub(super) fn refused(&mut self, error: Error, streams: &mut ManyStreams) -> Result<(), Error> {
        let Some(PendingAdd { done, before, .. }) = self.adding.take() else {
            return Err(error);
        };
        *streams = before;
        let _ = done.send(Err(error));
        Ok(())
    }
}

/// Changes over WebSocket: the client sends a change as a message, and the broker replies.
#[cfg(feature = "websocket")]
impl Changes {
    /// Records a change that was sent, or may have been sent.
    pub(super) fn sent(&mut self, pending: PendingChange) {
        self.unanswered.push_back(pending);
    }

    /// The changes to which the broker has not replied.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = &Change> {
        self.unanswered.iter().map(|pending| &pending.change)
    }

    /// Makes the change that the broker has accepted, or reports why it refused.
    pub(super) fn replied(
        &mut self,
        ChangeReply { key, outcome }: ChangeReply,
        streams: &mut ManyStreams,
    ) -> Result<(), Error> {
        let Some(PendingChange { change, done }) = self
            .unanswered
            .pop_front()
            .filter(|pending| pending.change.key() == key)
        else {
            return Err(Error::InvalidAnswer(format!(
                "an answer about the stream {key:?}, for which nothing was asked"
            )));
        };
        if let Ok(after) = &outcome {
            match change {
                Change::Add { key, start, .. } => streams.add(key, after.clone(), start),
                Change::Drop { key } => drop(streams.remove(&key)?),
            }
        }
        let _ = done.send(outcome);
        Ok(())
    }
}
