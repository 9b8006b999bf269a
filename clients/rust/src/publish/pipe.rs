//! Writing what another stream yields.

use std::pin::pin;

use futures::{Stream, StreamExt, TryStream, TryStreamExt};
use serde::Serialize;

use super::writer::Writer;
use crate::Error;

impl Writer {
    /// Writes each item of a source as an event of this name, until the source is over. At a stop,
    /// and when the writer fails, it drops the source.
    ///
    /// For a source whose items are results there is [`try_pipe_from`](Self::try_pipe_from).
    ///
    /// Cancel safe: it writes no item twice. The source is dropped with the future.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`] after a stop, also with
    /// [`write_after_stop`](crate::Publish::write_after_stop). As [`write`](Self::write) otherwise.
    pub async fn pipe_from<S>(&mut self, source: S, event: &str) -> Result<(), Error>
    where
        S: Stream<Item: Serialize>,
    {
        self.try_pipe_from(source.map(Ok::<_, Error>), event).await
    }

    /// Writes each item of a source that can fail, as [`pipe_from`](Self::pipe_from) does.
    ///
    /// # Errors
    ///
    /// That of the source, which writes nothing, and those of [`pipe_from`](Self::pipe_from).
    pub async fn try_pipe_from<S, E>(&mut self, source: S, event: &str) -> Result<(), E>
    where
        S: TryStream<Ok: Serialize, Error = E>,
        E: From<Error>,
    {
        self.state.signals.want();
        let mut source = pin!(source.into_stream());
        loop {
            let item = tokio::select! {
                biased;
                _ = self.state.stop.wait() => return Err(self.stopped().into()),
                () = self.state.failed.cancelled() => return Err(self.failure().into()),
                item = source.try_next() => item?,
            };
            let Some(item) = item else {
                return Ok(());
            };
            self.write(event, item).await?;
        }
    }
}
