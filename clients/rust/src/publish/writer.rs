//! A writer: the caller's side of publishing.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{outbox::Ledger, task::WriterEnd};
use crate::{Error, event::check_name};

/// A writer writes events into one active stream.
///
/// It stores them in order and each once, also when connections break meanwhile.
///
/// [`finish`](Self::finish), [`cancel`](Self::cancel) and [`close`](Self::close) end a writer. One
/// that is dropped without them, as `?` does after an error, continues in the background: it sends
/// the written events for at most [`flush_timeout`](crate::Publish::flush_timeout), and then
/// cancels its stream, because the stream is not complete. The runtime must live long enough for
/// that. A writer whose `finish` fails does the same. Only [`cancel`](Self::cancel) drops events
/// that were not sent.
#[derive(Debug)]
pub struct Writer {
    lines: mpsc::UnboundedSender<Bytes>,
    ledger: Arc<Ledger>,
    /// Closes when the writer is dropped, which the task notices.
    end: oneshot::Sender<WriterEnd>,
    task: JoinHandle<Result<(), Error>>,
}

impl Writer {
    pub(super) fn new(
        lines: mpsc::UnboundedSender<Bytes>,
        ledger: Arc<Ledger>,
        end: oneshot::Sender<WriterEnd>,
        task: JoinHandle<Result<(), Error>>,
    ) -> Self {
        Self {
            lines,
            ledger,
            end,
            task,
        }
    }

    /// Hands an event to the background task, which sends it at once with all others that are
    /// ready. Waits while too many events are unconfirmed.
    ///
    /// `data` is a string, or another value that serde can write as JSON. The stream then stores
    /// its JSON text. `()` stands for no data.
    ///
    /// Cancel safe: when the future is dropped before it is ready, the event is not written.
    ///
    /// # Errors
    ///
    /// [`Error::ReservedEvent`], [`Error::InvalidEvent`] and [`Error::InvalidData`] concern this
    /// event, and the writer can continue. After [`Error::Publish`] it can't.
    pub async fn write(&mut self, event: &str, data: impl Serialize) -> Result<(), Error> {
        check_name(event)?;
        let line = encode(event, &data)?;
        self.while_running(self.ledger.reserve()).await?;
        // Counted before it is sent, so that the task of a dropped writer waits for it, too.
        self.ledger.count_written();
        self.lines.send(line).map_err(|_| task_gone())?;
        Ok(())
    }

    /// Waits until all written events are stored.
    ///
    /// # Errors
    ///
    /// [`Error::Publish`] when the writer has failed.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.while_running(self.ledger.confirmed(self.ledger.written()))
            .await
    }

    /// Waits until all written events are stored, and ends the stream.
    pub async fn finish(mut self) -> Result<(), Error> {
        self.flush().await?;
        self.end(WriterEnd::Finish).await
    }

    /// Drops the events that were not sent, and cancels the stream.
    pub async fn cancel(self) -> Result<(), Error> {
        self.end(WriterEnd::Cancel).await
    }

    /// Waits until all written events are stored, and leaves the stream active, also when that
    /// fails.
    pub async fn close(mut self) -> Result<(), Error> {
        let flushed = self.flush().await;
        self.end(WriterEnd::Close).await?;
        flushed
    }

    /// How many events the broker has confirmed.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.ledger.acknowledged()
    }

    /// How many written events the broker has not confirmed yet.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.ledger.written() - self.acknowledged()
    }

    /// Awaits `wait`, and fails when the background task ends meanwhile.
    async fn while_running(
        &self,
        wait: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        tokio::select! {
            biased;
            outcome = wait => outcome,
            () = self.lines.closed() => Err(task_gone()),
        }
    }

    async fn end(self, end: WriterEnd) -> Result<(), Error> {
        let Self {
            end: sender,
            task,
            ledger,
            lines: _lines,
        } = self;
        if sender.send(end).is_err() {
            return Err(task_gone());
        }
        match task.await {
            Ok(result) => result.map_err(|error| Error::Publish {
                acknowledged: ledger.acknowledged(),
                source: Arc::new(error),
            }),
            Err(_) => Err(task_gone()),
        }
    }
}

/// The runtime was shut down, or the caller's `on_ack` function panicked.
fn task_gone() -> Error {
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
    // A `RawValue` may hold line ends, but only between its tokens.
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
        fn an_event_is_one_line_with_any_data(name: String, data: String) {
            let line = encode(&name, &data).unwrap();
            prop_assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
            prop_assert_eq!(
                serde_json::from_slice::<Value>(&line).unwrap(),
                json!({"event": name, "data": data})
            );
        }
    }

    #[test]
    fn data_that_json_can_not_express_is_refused() {
        let tuples_as_keys = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(matches!(
            encode("token", &tuples_as_keys),
            Err(Error::InvalidData(_))
        ));
    }
}
