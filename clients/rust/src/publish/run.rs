//! Running a producer with a writer.

use std::{sync::Arc, thread};

use tracing::warn;

use super::{options::Publish, writer::Writer, writer_state::WriterState};
use crate::{Error, log::Cause};

/// Records that a producer was dropped before its end, unless it panicked.
struct Interruption<'a> {
    state: &'a WriterState,
    is_over: bool,
}

impl Drop for Interruption<'_> {
    fn drop(&mut self) {
        if !self.is_over && !thread::panicking() {
            self.state.interrupt();
        }
    }
}

impl Publish {
    /// Starts a writer, lets the closure write, and settles the stream:
    ///
    /// | the closure returns | the stream | `run` returns |
    /// |---|---|---|
    /// | `Ok(value)` | ends | `Ok(Some(value))` |
    /// | `Err(error)` | fails | `Err(error)` |
    /// | either, after a stop | is cancelled, with the reason `stop` | `Ok(None)` |
    ///
    /// The written events are stored before. In the last two cases the writer tries that for at
    /// most [`flush_timeout`](Self::flush_timeout).
    ///
    /// ```no_run
    /// # use tinistreamer_client::{Client, Error};
    /// # async fn example(client: Client) -> Result<(), Error> {
    /// let answered = client
    ///     .publish("chat-1")
    ///     .run(async |writer| {
    ///         writer.write("token", "Hello").await?;
    ///         Ok::<_, Error>(())
    ///     })
    ///     .await?;
    /// # drop(answered);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The stream fails with the code `error` and the message `The producer failed`. The text of
    /// the error may hold a secret, so nobody sees it. [`Writer::set_failure`] says more. When this
    /// future is dropped, the code is `interrupted`.
    ///
    /// # Errors
    ///
    /// That of the closure. [`Error::Setup`] outside of a Tokio runtime. [`Error::Publish`] when
    /// the events can't be stored, or the stream can't be ended.
    pub async fn run<T, E, F>(self, produce: F) -> Result<Option<T>, E>
    where
        F: AsyncFnOnce(&mut Writer) -> Result<T, E>,
        E: From<Error>,
    {
        let mut writer = self.start()?;
        let state = Arc::clone(&writer.state);
        let mut interruption = Interruption {
            state: &state,
            is_over: false,
        };
        let outcome = produce(&mut writer).await;
        interruption.is_over = true;
        writer.settle_as(outcome).await
    }
}

impl Writer {
    /// Settles the stream by the outcome of its producer, as [`Publish::run`] says.
    pub(crate) async fn settle_as<T, E: From<Error>>(
        self,
        outcome: Result<T, E>,
    ) -> Result<Option<T>, E> {
        let is_stopped = self.state.stop.heard().is_some();
        match outcome {
            Ok(value) if !is_stopped => Ok(self.leave().await?.then_some(value)),
            Err(error) if !is_stopped => {
                let failure = self.state.failure();
                log_failure(self.fail(failure).await);
                Err(error)
            }
            _ => {
                log_failure(self.leave().await.map(drop));
                Ok(None)
            }
        }
    }
}

/// Logs why a stream could not be settled. The caller gets another error, or none after a stop.
fn log_failure(settled: Result<(), Error>) {
    if let Err(error) = settled {
        warn!(target: "tinistreamer", "the stream was not settled: {}", Cause(&error));
    }
}
