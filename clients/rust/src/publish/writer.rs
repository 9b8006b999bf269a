//! A writer: the caller's side of publishing.

use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use serde::Serialize;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    gatherer::Gatherer,
    line::{as_text, encode},
    outbox::Ledger,
    settlement::{Cancellation, Failure, WriterEnd},
    writer_state::WriterState,
};
use crate::{Error, event::check_name, types::SignalRecord};

/// A writer writes events into one active stream.
///
/// It stores them in order and each once, also when connections break meanwhile.
///
/// [`finish`](Self::finish), [`leave`](Self::leave), [`cancel`](Self::cancel),
/// [`fail`](Self::fail) and [`close`](Self::close) end a writer. One that is dropped without them,
/// as `?` does after an error, continues in the background: it sends the written events for at most
/// [`flush_timeout`](crate::Publish::flush_timeout). Then it fails its stream, or cancels it after
/// a stop, because the stream is not complete. The runtime must live long enough for that. A writer
/// whose `finish` fails does the same. Only [`cancel`](Self::cancel) drops events that were not
/// sent.
#[derive(Debug)]
pub struct Writer {
    pub(super) lines: mpsc::UnboundedSender<Bytes>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) gatherer: Option<Arc<Gatherer>>,
    pub(super) state: Arc<WriterState>,
    /// Closes when the writer is dropped, which the task notices.
    pub(super) end: oneshot::Sender<WriterEnd>,
    pub(super) task: JoinHandle<Result<(), Error>>,
}

impl Writer {
    /// Hands an event to the background task, which sends it at once with all others that are
    /// ready. Waits while too many events are unconfirmed.
    ///
    /// `data` is a string, or another value that serde can write as JSON. The stream then stores
    /// its JSON text. `()` stands for no data. With [`coalesce`](crate::Publish::coalesce),
    /// consecutive strings of one event name become one event.
    ///
    /// Cancel safe: when the future is dropped before it is ready, the event is not written.
    ///
    /// # Errors
    ///
    /// [`Error::ReservedEvent`], [`Error::InvalidEvent`] and [`Error::InvalidData`] concern this
    /// event, and the writer can continue. [`Error::Stopped`] after a stop, unless
    /// [`write_after_stop`](crate::Publish::write_after_stop) is set. After [`Error::Publish`] the
    /// writer can't continue.
    pub async fn write(&mut self, event: &str, data: impl Serialize) -> Result<(), Error> {
        check_name(event)?;
        if let Some(gatherer) = &self.gatherer {
            if let Some(text) = as_text(&data)? {
                return self.gather(gatherer, event, text).await;
            }
            gatherer.send();
        }
        let line = encode(event, &data)?;
        self.reserve().await?;
        // Counted before it is sent, so that the task of a dropped writer waits for it, too.
        self.ledger.count_written();
        self.lines.send(line).map_err(|_| task_gone())
    }

    /// Adds a string to the gathered event, or begins the next.
    async fn gather(&self, gatherer: &Gatherer, event: &str, text: String) -> Result<(), Error> {
        self.check()?;
        if !gatherer.append(event, &text) {
            gatherer.send();
            self.reserve().await?;
            self.ledger.count_written();
            gatherer.begin(event, text);
        }
        Ok(())
    }

    /// Waits until all written events are stored.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// [`Error::Publish`] when the writer has failed. [`Error::Stopped`] when events can't be
    /// stored because somebody has cancelled the stream.
    pub async fn flush(&mut self) -> Result<(), Error> {
        if let Some(gatherer) = &self.gatherer {
            gatherer.send();
        }
        self.while_running(self.ledger.confirmed(self.ledger.written()))
            .await
    }

    /// Waits until all written events are stored, and ends the stream.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush). [`Error::Stopped`] when somebody has cancelled the stream, and
    /// [`Error::Publish`] with the code `no-active-stream` when it was finished otherwise: events
    /// may be missing.
    pub async fn finish(mut self) -> Result<(), Error> {
        self.flush().await?;
        self.settle(WriterEnd::Finish).await
    }

    /// Settles the stream as the end of [`run`](crate::Publish::run) does: ends it, or cancels it
    /// after a stop. Returns whether it ended.
    ///
    /// # Errors
    ///
    /// Those of [`finish`](Self::finish), except [`Error::Stopped`].
    pub async fn leave(self) -> Result<bool, Error> {
        if self.state.stop.heard().is_some() {
            return self.settle(WriterEnd::Leave).await.map(|()| false);
        }
        match self.finish().await {
            Ok(()) => Ok(true),
            Err(Error::Stopped { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Drops the events that were not sent, and cancels the stream. After a stop, the reason is
    /// `stop`, and the stream is cancelled by the sender of that signal.
    ///
    /// It succeeds when the stream is finished already, in any way.
    pub async fn cancel(self) -> Result<(), Error> {
        self.cancel_with(Cancellation::default()).await
    }

    /// Drops the events that were not sent, and cancels the stream for this reason.
    ///
    /// It succeeds when the stream is finished already, in any way.
    pub async fn cancel_with(self, cancellation: impl Into<Cancellation>) -> Result<(), Error> {
        self.settle(WriterEnd::Cancel(cancellation.into())).await
    }

    /// Waits until all written events are stored, for at most
    /// [`flush_timeout`](crate::Publish::flush_timeout), and fails the stream.
    ///
    /// ```
    /// # use tinistreamer_client::{Error, Writer};
    /// # async fn example(writer: Writer) -> Result<(), Error> {
    /// use tinistreamer_client::Failure;
    ///
    /// writer.fail(Failure::new("model-overloaded").message("The model is overloaded")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A code is enough: `writer.fail("model-overloaded")`. It succeeds when the stream is finished
    /// already, in any way.
    pub async fn fail(self, failure: impl Into<Failure>) -> Result<(), Error> {
        self.settle(WriterEnd::Fail(failure.into())).await
    }

    /// Sets what the stream fails with if the writer is dropped, or if an error leaves the closure
    /// of [`run`](crate::Publish::run). By default it is the code `error` and the message `The
    /// producer failed`.
    pub fn set_failure(&mut self, failure: impl Into<Failure>) {
        self.state.set_failure(failure.into());
    }

    /// Waits until all written events are stored, and leaves the stream active, also when that
    /// fails. Ends the lease, as the next writer of the stream may come later.
    pub async fn close(mut self) -> Result<(), Error> {
        let flushed = self.flush().await;
        self.settle(WriterEnd::Close).await?;
        flushed
    }

    /// A token that is cancelled when the producer should make no more events: after a stop, and
    /// when the writer has failed.
    ///
    /// The first use of it, of [`signals`](Self::signals) or of [`pipe_from`](Self::pipe_from)
    /// opens a connection over which the writer hears signals.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.state.signals.want();
        self.state.stop.token()
    }

    /// All signals of the stream, from the first one on. They are over when the stream is finished,
    /// and when the writer has ended or failed.
    ///
    /// The items wait until they are read. Each call returns all signals.
    ///
    /// # Errors
    ///
    /// [`Error::Signals`] when the signals can't be read, for example because the broker does not
    /// know them. Nothing follows it. The writer goes on.
    pub fn signals(
        &self,
    ) -> impl Stream<Item = Result<SignalRecord, Error>> + Send + Unpin + use<> {
        self.state.signals.want();
        self.state.signals.read()
    }

    /// How many events the broker has confirmed.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.ledger.acknowledged()
    }

    /// How many written events the broker has not confirmed yet. Strings that are being gathered
    /// count as one event.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.ledger.written() - self.acknowledged()
    }

    /// Fails after a stop, and when the writer has failed.
    fn check(&self) -> Result<(), Error> {
        if self.lines.is_closed() {
            return Err(task_gone());
        }
        self.ledger.check()?;
        match self.state.refuses_writes() {
            Some(_) => Err(self.stopped()),
            None => Ok(()),
        }
    }

    /// Waits until one more event may be written.
    async fn reserve(&self) -> Result<(), Error> {
        tokio::select! {
            biased;
            _ = self.state.stop.wait(), if !self.state.write_after_stop => Err(self.stopped()),
            reserved = self.while_running(self.ledger.reserve()) => reserved,
        }
    }

    /// The error of a writer that has failed.
    pub(super) fn failure(&self) -> Error {
        self.check().err().unwrap_or_else(task_gone)
    }

    /// The error of calls after a stop.
    pub(super) fn stopped(&self) -> Error {
        self.state.stop.error(self.acknowledged())
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

    /// Lets the background task settle the stream, and waits for it.
    pub(super) async fn settle(self, end: WriterEnd) -> Result<(), Error> {
        let Self {
            end: sender,
            task,
            ledger,
            lines: _lines,
            ..
        } = self;
        if sender.send(end).is_err() {
            return Err(task_gone());
        }
        match task.await {
            Ok(result) => {
                result.map_err(|error| Error::of_writer(Arc::new(error), ledger.acknowledged()))
            }
            Err(_) => Err(task_gone()),
        }
    }
}

/// The runtime was shut down, or the caller's `on_ack` function panicked.
fn task_gone() -> Error {
    Error::setup("the writer's background task is gone")
}
