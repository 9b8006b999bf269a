//! The options of a writer.

use std::{fmt, iter, sync::Arc, time::Duration};

use tokio::{
    runtime,
    sync::{mpsc, oneshot},
};

use super::{
    ack::{Ack, OnAck},
    gatherer::Gatherer,
    lease::Lease,
    outbox::{Ledger, Outbox},
    target::Target,
    task::Task,
    transport::Transport,
    writer::Writer,
    writer_state::WriterState,
};
use crate::{Client, Error};

/// The options of a writer that was not started yet.
#[must_use = "a writer does nothing until it is started"]
pub struct Publish {
    target: Target,
    transport: Transport,
    max_pending: usize,
    retry_for: Duration,
    flush_timeout: Duration,
    lease: Duration,
    coalesce: Duration,
    write_after_stop: bool,
    on_ack: Option<OnAck>,
}

impl Client {
    /// Prepares a writer for an active stream. [`Publish::run`] runs a producer with it, and
    /// [`Publish::start`] starts it.
    pub fn publish(&self, key: impl Into<String>) -> Publish {
        Publish::new(self.clone(), key.into())
    }
}

impl Publish {
    fn new(client: Client, key: String) -> Self {
        let retry_for = Duration::from_secs(60);
        let flush_timeout = Duration::from_secs(5);
        let target = Target {
            client,
            key,
            generation: None,
        };
        Self {
            target,
            transport: Transport::default(),
            max_pending: 1000,
            retry_for,
            flush_timeout,
            lease: Duration::from_secs(30),
            coalesce: Duration::ZERO,
            write_after_stop: false,
            on_ack: None,
        }
    }

    /// How the writer sends events. [`Transport::Ndjson`] by default.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// How many events may be unconfirmed before [`Writer::write`] waits. At least one; 1,000 by
    /// default.
    pub fn max_pending(mut self, events: usize) -> Self {
        self.max_pending = events;
        self
    }

    /// How long the writer retries after a failure, from the broker's last confirmation on. 60
    /// seconds by default.
    pub fn retry_for(mut self, time: Duration) -> Self {
        self.retry_for = time;
        self
    }

    /// How long a writer that is dropped, or that fails its stream, continues to send its events
    /// before that. 5 seconds by default.
    pub fn flush_timeout(mut self, time: Duration) -> Self {
        self.flush_timeout = time;
        self
    }

    /// The generation that the stream must have, as [`create_stream`](Client::create_stream)
    /// returned it. If another stream has the key, the writer fails with the code
    /// `stale-generation`. By default the writer takes the stream that has the key.
    pub fn generation(mut self, generation: impl Into<String>) -> Self {
        self.target.generation = Some(generation.into());
        self
    }

    /// How long the broker waits for a sign of life of the producer before it abandons the stream:
    /// 2 to 86,400 whole seconds, or zero for no lease. 30 seconds by default.
    ///
    /// The writer renews the lease in the background, each quarter of this time, until it ends.
    /// [`Writer::close`] also ends the lease. A renewal that fails does not fail the writer.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long the writer gathers strings, for example 30 milliseconds. Consecutive strings of one
    /// event name become one event, of at most 64 KiB. Zero, the default, turns it off.
    ///
    /// Any other event, [`flush`](Writer::flush) and the end of the writer send them at once.
    /// [`Writer::acknowledged`] counts what is stored.
    pub fn coalesce(mut self, window: Duration) -> Self {
        self.coalesce = window;
        self
    }

    /// Whether [`Writer::write`] works after a stop. By default it then fails with
    /// [`Error::Stopped`].
    pub fn write_after_stop(mut self, write: bool) -> Self {
        self.write_after_stop = write;
        self
    }

    /// A function that the writer's background task calls at each confirmation of the broker. It
    /// should not block.
    pub fn on_ack(mut self, on_ack: impl Fn(Ack) + Send + Sync + 'static) -> Self {
        self.on_ack = Some(Box::new(on_ack));
        self
    }

    /// Starts the writer. The first event shows whether the stream is active.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] outside of a Tokio runtime, or when the [`lease`](Self::lease) is not one.
    pub fn start(self) -> Result<Writer, Error> {
        let runtime = runtime::Handle::try_current().map_err(Error::setup)?;
        let lease = Lease::of(self.lease)?;
        let ledger = Arc::new(Ledger::new(self.max_pending, self.on_ack));
        let state = Arc::new(WriterState::new(self.write_after_stop));
        let (lines, queue) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let gatherer = (!self.coalesce.is_zero())
            .then(|| Arc::new(Gatherer::new(self.coalesce, lines.clone())));
        let task = Task {
            target: self.target,
            producer: iter::repeat_with(fastrand::alphanumeric).take(20).collect(),
            transport: self.transport,
            lease,
            retry_for: self.retry_for,
            flush_timeout: self.flush_timeout,
            ledger: Arc::clone(&ledger),
            gatherer: gatherer.clone(),
            state: Arc::clone(&state),
        };
        let outbox = Outbox::new(queue, Arc::clone(&ledger));
        Ok(Writer {
            lines,
            ledger,
            gatherer,
            state,
            end,
            task: runtime.spawn(task.run(outbox, ended)),
        })
    }
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("client", &self.target.client)
            .field("key", &self.target.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_needs_a_runtime() {
        let client = Client::new("http://127.0.0.1:1", "key").unwrap();
        assert_eq!(client.publish("k").start().unwrap_err().code(), "setup");
    }

    #[tokio::test]
    async fn a_lease_that_is_none_is_refused() {
        let client = Client::new("http://127.0.0.1:1", "key").unwrap();
        let publish = client.publish("k").lease(Duration::from_millis(2500));
        assert_eq!(publish.start().unwrap_err().code(), "setup");
    }
}
