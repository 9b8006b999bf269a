//! Writing events into a stream as they come.

mod finish;
mod ndjson;
mod outbox;
mod task;
#[cfg(feature = "websocket")]
mod websocket;

use std::{fmt, iter, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::Serialize;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use self::{
    outbox::{Ledger, Outbox},
    task::{End, Task},
};
use crate::{Client, Error, event::check_name};

/// What the broker has confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ack {
    /// How many events of this writer are stored now.
    pub count: u64,
    /// The id of the last of them. None when the broker had it from an earlier attempt, whose
    /// answer was lost.
    pub last_id: Option<String>,
}

type OnAck = Box<dyn Fn(Ack) + Send + Sync>;

/// How events reach the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// What is ready goes out as one request; what is written while it is on its way gathers for
    /// the next.
    #[default]
    Ndjson,
    /// Each event goes out at once and is acknowledged by itself.
    #[cfg(feature = "websocket")]
    WebSocket,
}

/// A writer that is to be started.
#[must_use = "a writer does nothing until it is started"]
pub struct Publish {
    client: Client,
    key: String,
    transport: Transport,
    max_pending: usize,
    retry_for: Duration,
    flush_timeout: Duration,
    on_ack: Option<OnAck>,
}

impl Publish {
    pub(crate) fn new(client: Client, key: String) -> Self {
        let retry_for = Duration::from_secs(60);
        let flush_timeout = Duration::from_secs(5);
        Self {
            client,
            key,
            transport: Transport::default(),
            max_pending: 1000,
            retry_for,
            flush_timeout,
            on_ack: None,
        }
    }

    /// How events reach the broker.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// How many events may be unacknowledged before [`Writer::write`] waits, at least one; 1,000
    /// unless set.
    pub fn max_pending(mut self, events: usize) -> Self {
        self.max_pending = events;
        self
    }

    /// For how long since the broker last confirmed something to try again after a failure; 60
    /// seconds unless set.
    pub fn retry_for(mut self, time: Duration) -> Self {
        self.retry_for = time;
        self
    }

    /// For how long a writer that is dropped goes on sending what was written, before it cancels
    /// the stream; 5 seconds unless set.
    pub fn flush_timeout(mut self, time: Duration) -> Self {
        self.flush_timeout = time;
        self
    }

    /// Called each time the broker confirms events, from the writer's background task: it should
    /// not block.
    pub fn on_ack(mut self, on_ack: impl Fn(Ack) + Send + Sync + 'static) -> Self {
        self.on_ack = Some(Box::new(on_ack));
        self
    }

    /// Starts the writer. Whether there is an active stream shows with the first event.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] outside of a Tokio runtime.
    pub fn start(self) -> Result<Writer, Error> {
        let runtime = Handle::try_current().map_err(Error::setup)?;
        let ledger = Arc::new(Ledger::new(self.max_pending, self.on_ack));
        let (lines, queue) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let task = Task {
            client: self.client,
            key: self.key,
            producer: iter::repeat_with(fastrand::alphanumeric).take(20).collect(),
            transport: self.transport,
            retry_for: self.retry_for,
            flush_timeout: self.flush_timeout,
            outbox: Outbox::new(queue, Arc::clone(&ledger)),
            ended,
        };
        Ok(Writer {
            lines,
            ledger,
            end,
            task: runtime.spawn(task.run()),
        })
    }
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("client", &self.client)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Writes events into one active stream, in order and each once, also when connections break
/// meanwhile.
///
/// A writer that is dropped without [`finish`](Self::finish), [`cancel`](Self::cancel) or
/// [`close`](Self::close), as `?` does after an error, goes on in the background: it sends what was
/// written, for as long as [`flush_timeout`](Publish::flush_timeout), and cancels its stream,
/// because an answer that broke off is not complete. The runtime must live long enough for it. So
/// does one whose `finish` fails. Only [`cancel`](Self::cancel) drops what was not sent.
#[derive(Debug)]
pub struct Writer {
    lines: mpsc::UnboundedSender<Bytes>,
    ledger: Arc<Ledger>,
    /// Dropped, it tells the task that the writer was.
    end: oneshot::Sender<End>,
    task: JoinHandle<Result<(), Error>>,
}

impl Writer {
    /// Hands an event over, to be sent at once, together with whatever else is ready. Waits while
    /// too much is unacknowledged.
    ///
    /// `data` is a string, or anything else that has a form in JSON, which is then stored as its
    /// JSON text; `()` is no data.
    ///
    /// When the future is dropped before it is ready, the event was not handed over.
    ///
    /// # Errors
    ///
    /// [`Error::ReservedEvent`], [`Error::InvalidEvent`] and [`Error::InvalidData`] are about this
    /// event, and the writer can go on. [`Error::Publish`]: it has failed.
    pub async fn write(&mut self, event: &str, data: impl Serialize) -> Result<(), Error> {
        check_name(event)?;
        let line = encode(event, &data)?;
        self.while_served(self.ledger.reserve()).await?;
        // Counted first: the task that learns of a drop must not take it for less.
        self.ledger.hand_over();
        self.lines.send(line).map_err(|_| gone())?;
        Ok(())
    }

    /// Returns when all that was written is stored.
    ///
    /// # Errors
    ///
    /// [`Error::Publish`] when the writer has failed.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.while_served(self.ledger.confirmed(self.ledger.written()))
            .await
    }

    /// Waits until all is stored, and ends the stream.
    pub async fn finish(mut self) -> Result<(), Error> {
        self.flush().await?;
        self.end(End::Finish).await
    }

    /// Drops what was not sent, and cancels the stream.
    pub async fn cancel(self) -> Result<(), Error> {
        self.end(End::Cancel).await
    }

    /// Waits until all is stored, and leaves the stream active, also when that fails.
    pub async fn close(mut self) -> Result<(), Error> {
        let flushed = self.flush().await;
        self.end(End::Close).await?;
        flushed
    }

    /// How many events the broker has confirmed.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.ledger.acknowledged()
    }

    /// How many events were written and are not confirmed yet.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.ledger.written() - self.acknowledged()
    }

    /// Waits for the task to do something.
    async fn while_served(
        &self,
        wait: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        tokio::select! {
            biased;
            outcome = wait => outcome,
            () = self.lines.closed() => Err(gone()),
        }
    }

    async fn end(self, end: End) -> Result<(), Error> {
        let Self {
            end: sender,
            task,
            ledger,
            lines: _lines,
            ..
        } = self;
        if sender.send(end).is_err() {
            return Err(gone());
        }
        match task.await {
            Ok(result) => result.map_err(|error| Error::Publish {
                acknowledged: ledger.acknowledged(),
                source: Arc::new(error),
            }),
            Err(_) => Err(gone()),
        }
    }
}

/// The runtime was shut down, or the function that takes acknowledgements panicked.
fn gone() -> Error {
    Error::setup("the writer's background task is gone")
}

/// An event as one line of JSON.
fn encode(event: &str, data: &impl Serialize) -> Result<Bytes, Error> {
    #[derive(Serialize)]
    struct Line<'a, T> {
        event: &'a str,
        data: &'a T,
    }
    let mut line = serde_json::to_vec(&Line { event, data }).map_err(Error::InvalidData)?;
    // A `RawValue` may hold line ends, between its tokens only.
    line.iter_mut()
        .filter(|byte| matches!(**byte, b'\n' | b'\r'))
        .for_each(|byte| *byte = b' ');
    Ok(line.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    proptest! {
        #[test]
        fn an_event_is_one_line_whatever_its_data(name: String, data: String) {
            let line = encode(&name, &data).unwrap();
            prop_assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
            prop_assert_eq!(serde_json::from_slice::<Value>(&line).unwrap(), json!({"event": name, "data": data}));
        }
    }

    #[test]
    fn data_without_a_form_in_json_is_refused() {
        let tuples_as_keys = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(matches!(
            encode("token", &tuples_as_keys),
            Err(Error::InvalidData(_))
        ));
    }

    #[test]
    fn a_writer_needs_a_runtime() {
        let client = Client::new("http://127.0.0.1:1", "key").unwrap();
        assert_eq!(client.publish("k").start().unwrap_err().code(), "setup");
    }
}
