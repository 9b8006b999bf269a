//! What the script makes of a subscriber's events, before anything else does.

use std::{sync::Arc, time::Duration};

use futures::future::{BoxFuture, join_all};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::stream::SubscribedStream;
use crate::{
    codec::{
        json::{InvalidMessage, checked_event, message_of},
        segment::{Part, Segment},
    },
    hooks::{HookError, ScriptedSubscriber, SharedSubscriber},
    store::{Batch, StoreError, StreamUpdate, TailSet},
    stream::{BROKER_NAMES, Entry, EventFilter, StreamKey},
};

/// The name of an entry that the script has dropped. No event has it, and no filter passes it.
const DROPPED: &str = "";

/// A subscriber that the script knows.
pub struct Scripted {
    subscriber: SharedSubscriber,
    /// Of streams that were added to the connection: the script was asked about each.
    added: Vec<(StreamKey, SharedSubscriber)>,
    /// The most bytes of an event that the script has changed.
    max_event: usize,
    since: Instant,
    /// The batch that the script is asked about.
    pending: Option<Pending>,
    /// The hook failed after the last batch.
    failed: Option<ScriptFailed>,
    timeout: Timeout,
    has_rewritten: bool,
}

/// A batch of the stream with this tail, while the script is asked about its events.
struct Pending {
    tail: usize,
    rewriting: BoxFuture<'static, Rewritten>,
}

/// A batch as far as the script knew what to do with its events.
struct Rewritten {
    batch: Batch,
    failed: Option<ScriptFailed>,
}

/// The hook `timeout` of a subscriber.
enum Timeout {
    NotCalled,
    Called(BoxFuture<'static, Option<Duration>>),
    Returned(Option<Duration>),
}

/// Why there is no next update.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UpdateError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The script fails.
    #[error(transparent)]
    Script(#[from] ScriptFailed),
}

/// Why the script failed with an event.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ScriptFailed {
    /// The hook failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// It returned no event.
    #[error("the hook message: {0}")]
    Message(#[from] InvalidMessage),
}

impl Scripted {
    /// A subscriber that the script has accepted. Events may have at most `max_event` bytes.
    #[must_use]
    pub fn new(subscriber: SharedSubscriber, max_event: usize) -> Self {
        Self {
            subscriber,
            added: Vec::new(),
            max_event,
            since: Instant::now(),
            pending: None,
            failed: None,
            timeout: Timeout::NotCalled,
            has_rewritten: false,
        }
    }

    /// From now on this subscriber counts for events of this stream.
    pub(super) fn add(&mut self, key: StreamKey, subscriber: SharedSubscriber) {
        self.added.push((key, subscriber));
    }

    /// The stream was removed from the connection.
    pub(super) fn remove(&mut self, key: &StreamKey) {
        self.added.retain(|(added, _)| added != key);
    }

    /// Whether the script may change events, now or with the next.
    pub(super) fn has_message_hook(&self) -> bool {
        self.subscriber.has_message_hook()
    }

    /// Whether batches may hold entries that the script has dropped.
    pub(super) fn has_rewritten(&self) -> bool {
        self.has_rewritten
    }

    fn of(&self, key: &StreamKey) -> &SharedSubscriber {
        let added = self.added.iter().find(|(added, _)| added == key);
        added.map_or(&self.subscriber, |(_, subscriber)| subscriber)
    }

    /// The next update of the tails, as the script wants it. Cancel safe: what the script is asked
    /// about stays here.
    ///
    /// Errors: the store fails, or the script.
    pub(super) async fn next(
        &mut self,
        tails: &mut dyn TailSet,
        streams: &[SubscribedStream],
        filter: Option<&EventFilter>,
    ) -> Result<(usize, StreamUpdate), UpdateError> {
        loop {
            if let Some(Pending { tail, rewriting }) = &mut self.pending {
                let tail = *tail;
                let Rewritten { batch, failed } = rewriting.await;
                self.pending = None;
                self.failed = failed;
                if self.failed.is_none() || !batch.is_empty() {
                    return Ok((tail, StreamUpdate::Events(batch)));
                }
            }
            if let Some(failed) = &self.failed {
                return Err(failed.clone().into());
            }
            let (tail, update) = tails.next().await?;
            let stream = streams.iter().find(|stream| stream.tail() == Some(tail));
            let (StreamUpdate::Events(batch), Some(stream)) = (&update, stream) else {
                return Ok((tail, update));
            };
            let is_asked = |entry: &Entry| is_asked_about(entry, filter);
            if !self.has_message_hook() || !batch.entries().any(is_asked) {
                return Ok((tail, update));
            }
            let rewriting = Rewriting {
                subscriber: Arc::clone(self.of(&stream.key)),
                key: stream.key.clone(),
                filter: filter.cloned(),
                max_event: self.max_event,
            };
            let StreamUpdate::Events(batch) = update else {
                return Ok((tail, update));
            };
            let rewriting = Box::pin(rewriting.rewrite(batch));
            self.pending = Some(Pending { tail, rewriting });
            self.has_rewritten = true;
        }
    }

    /// Calls the hook `timeout` of this subscriber, once. Cancel safe.
    pub(super) async fn time_out(&mut self) {
        if matches!(self.timeout, Timeout::NotCalled) {
            let elapsed = self.since.elapsed();
            let added = self.added.iter().map(|(_, subscriber)| subscriber);
            let all: Vec<_> = [&self.subscriber]
                .into_iter()
                .chain(added)
                .cloned()
                .collect();
            self.timeout = Timeout::Called(Box::pin(async move {
                let calls = all.iter().map(|subscriber| subscriber.timeout(elapsed));
                // The engine has logged an error.
                let delays = join_all(calls)
                    .await
                    .into_iter()
                    .map(Result::unwrap_or_default);
                delays.flatten().next()
            }));
        }
        if let Timeout::Called(call) = &mut self.timeout {
            let delay = call.await;
            self.timeout = Timeout::Returned(delay);
        }
    }

    /// The delay before a reconnect that the hook `timeout` returned.
    pub(super) fn retry(&self) -> Option<Duration> {
        match self.timeout {
            Timeout::Returned(delay) => delay,
            Timeout::NotCalled | Timeout::Called(_) => None,
        }
    }
}

/// The script sees no events of the broker, and none that the subscriber does not want.
fn is_asked_about(entry: &Entry, filter: Option<&EventFilter>) -> bool {
    !BROKER_NAMES.contains(&&*entry.name) && filter.is_none_or(|filter| filter.passes(&entry.name))
}

/// Asks the script about the events of a batch.
struct Rewriting {
    subscriber: Arc<dyn ScriptedSubscriber>,
    key: StreamKey,
    filter: Option<EventFilter>,
    max_event: usize,
}

impl Rewriting {
    /// The batch up to the event with which the script failed, if it failed.
    async fn rewrite(self, batch: Batch) -> Rewritten {
        let mut entries = Vec::with_capacity(batch.entries().count());
        let mut failed = None;
        for entry in batch.entries() {
            if !is_asked_about(entry, self.filter.as_ref()) {
                entries.push(entry.clone());
                continue;
            }
            match self.ask(entry).await {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let parts = if entries.is_empty() {
            Vec::new()
        } else {
            vec![Part::new(Arc::new(Segment::new(entries)), 0)]
        };
        let batch = Batch {
            missed: batch.missed,
            parts,
            // The last event was not reached.
            finished: batch.finished.filter(|_| failed.is_none()),
        };
        Rewritten { batch, failed }
    }

    async fn ask(&self, entry: &Entry) -> Result<Entry, ScriptFailed> {
        let mut message = json!({ "id": entry.id.to_string(), "event": *entry.name });
        if let Some(data) = &entry.data {
            message["data"] = (**data).into();
        }
        let publication = json!({ "key": self.key.as_str(), "msg": message });
        let Some(returned) = self.subscriber.message(publication).await? else {
            return Ok(Entry {
                id: entry.id,
                name: DROPPED.into(),
                data: None,
            });
        };
        self.changed(entry, returned)
    }

    /// The event as the script returned it. What the script did not change is not checked: older
    /// versions stored events that producers can't write any more.
    fn changed(&self, entry: &Entry, returned: Value) -> Result<Entry, ScriptFailed> {
        let (name, data) = message_of(returned)?;
        if name == *entry.name && data == entry.data {
            return Ok(entry.clone());
        }
        let event = checked_event(name, data, self.max_event)?;
        Ok(Entry {
            id: entry.id,
            name: event.name().into(),
            data: event.data().map(Into::into),
        })
    }
}

/// The next update of the tails, as the script wants it. Cancel safe.
pub(super) async fn next_update(
    tails: &mut dyn TailSet,
    scripted: Option<&mut Scripted>,
    streams: &[SubscribedStream],
    filter: Option<&EventFilter>,
) -> Result<(usize, StreamUpdate), UpdateError> {
    match scripted {
        None => Ok(tails.next().await?),
        Some(scripted) => scripted.next(tails, streams, filter).await,
    }
}

#[cfg(test)]
mod tests;
