//! The options of a writer.

use std::{fmt, iter, sync::Arc, time::Duration};

use tokio::{
    runtime,
    sync::{mpsc, oneshot},
};

use super::{
    ack::{Ack, OnAck},
    outbox::{Ledger, Outbox},
    task::Task,
    transport::Transport,
    writer::Writer,
};
use crate::{Client, Error};

/// The options of a writer that was not started yet.
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

impl Client {
    /// Prepares a writer for an active stream. [`Publish::start`] starts it.
    pub fn publish(&self, key: impl Into<String>) -> Publish {
        Publish::new(self.clone(), key.into())
    }
}

impl Publish {
    fn new(client: Client, key: String) -> Self {
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

    /// How long a dropped writer continues to send its events before it cancels the stream. 5
    /// seconds by default.
    pub fn flush_timeout(mut self, time: Duration) -> Self {
        self.flush_timeout = time;
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
    /// [`Error::Setup`] outside of a Tokio runtime.
    pub fn start(self) -> Result<Writer, Error> {
        let runtime = runtime::Handle::try_current().map_err(Error::setup)?;
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
        Ok(Writer::new(lines, ledger, end, runtime.spawn(task.run())))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_needs_a_runtime() {
        let client = Client::new("http://127.0.0.1:1", "key").unwrap();
        assert_eq!(client.publish("k").start().unwrap_err().code(), "setup");
    }
}
