//! The background task of a writer.

use std::{
    convert::Infallible,
    future::pending,
    pin::{Pin, pin},
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{join, select, sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

#[cfg(feature = "websocket")]
use super::websocket;
use super::{
    finish::{Finish, finish},
    gatherer::Gatherer,
    hearing::{hear, learn_stop},
    lease::{Lease, keep},
    ndjson,
    outbox::{Ledger, Outbox},
    settlement::WriterEnd,
    target::Target,
    transport::Transport,
    writer_state::WriterState,
};
use crate::{Error, log::Cause, retry::Retry};

/// How long `close` waits until the lease has ended.
const LONGEST_LEASE_END: Duration = Duration::from_secs(5);

/// How long a writer whose stream was cancelled waits to learn who asked for it.
const LONGEST_QUESTION: Duration = Duration::from_secs(3);

/// A task sends a writer's events in the background, keeps its lease, and hears signals.
pub(super) struct Task {
    pub(super) target: Target,
    /// The producer name, by which the broker recognises events that are sent again.
    pub(super) producer: String,
    pub(super) transport: Transport,
    pub(super) lease: Option<Lease>,
    pub(super) retry_for: Duration,
    /// How long a writer that was left continues to send.
    pub(super) flush_timeout: Duration,
    pub(super) ledger: Arc<Ledger>,
    pub(super) gatherer: Option<Arc<Gatherer>>,
    pub(super) state: Arc<WriterState>,
}

/// The end of the lease of a writer that is closed.
#[derive(Default)]
struct LeaseEnd {
    wanted: CancellationToken,
    done: CancellationToken,
}

/// Ends what waits for signals when the task is over, also by a panic of the caller's `on_ack`.
struct Settled<'a>(&'a WriterState);

impl Drop for Settled<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail();
        }
        self.0.signals.end(Ok(()));
    }
}

impl Task {
    /// Sends events until the writer ends, and then finishes or leaves the stream.
    pub(super) async fn run(
        self,
        outbox: Outbox,
        ended: oneshot::Receiver<WriterEnd>,
    ) -> Result<(), Error> {
        let _settled = Settled(&self.state);
        let lease_end = LeaseEnd::default();
        select! {
            biased;
            outcome = self.settle(outbox, ended, &lease_end) => outcome,
            never = self.accompany(&lease_end) => match never {},
        }
    }

    /// Sends events until the writer ends, and then finishes or leaves the stream.
    async fn settle(
        &self,
        mut outbox: Outbox,
        ended: oneshot::Receiver<WriterEnd>,
        lease_end: &LeaseEnd,
    ) -> Result<(), Error> {
        let how = match self.send_until_end(&mut outbox, ended).await {
            WriterEnd::Close => {
                lease_end.wanted.cancel();
                // Without a response the lease runs out later, unless another writer renews it.
                let _ = timeout(LONGEST_LEASE_END, lease_end.done.cancelled()).await;
                return Ok(());
            }
            WriterEnd::Finish => Finish::End,
            WriterEnd::Fail(failure) => Finish::Fail(failure),
            WriterEnd::Cancel(cancellation) => match self.state.stop.heard() {
                Some(stop) if cancellation.is_empty() => Finish::Cancel(stop.cancellation()),
                _ => Finish::Cancel(cancellation),
            },
            WriterEnd::Leave => match self.state.stop.heard() {
                Some(stop) => Finish::Cancel(stop.cancellation()),
                None => Finish::Fail(self.state.failure()),
            },
        };
        match finish(&self.target, &how, Retry::new(self.retry_for)).await {
            Err(error) if is_stop(&error) => Err(self.stopped().await),
            outcome => outcome,
        }
    }

    /// Sends events until the writer ends. Returns how it ended.
    async fn send_until_end(
        &self,
        outbox: &mut Outbox,
        mut ended: oneshot::Receiver<WriterEnd>,
    ) -> WriterEnd {
        let mut sending = pin!(self.send(outbox));
        // The channel closes when the writer is dropped.
        let end = select! {
            biased;
            end = &mut ended => {
                let end = end.unwrap_or(WriterEnd::Leave);
                if matches!(end, WriterEnd::Fail(_) | WriterEnd::Leave) {
                    self.flush(sending).await;
                }
                return end;
            }
            Err(error) = sending.as_mut() => {
                self.fail(error).await;
                ended.await
            }
        };
        end.unwrap_or(WriterEnd::Leave)
    }

    async fn send(&self, outbox: &mut Outbox) -> Result<Infallible, Error> {
        let (target, producer) = (&self.target, &*self.producer);
        let retry = Retry::new(self.retry_for);
        match self.transport {
            Transport::Ndjson => ndjson::send(target, producer, outbox, retry).await,
            #[cfg(feature = "websocket")]
            Transport::WebSocket => websocket::send(target, producer, outbox, retry).await,
        }
    }

    /// Stores the written events, if that is possible in time. The stream is finished without the
    /// rest.
    async fn flush(&self, sending: Pin<&mut impl Future<Output = Result<Infallible, Error>>>) {
        if let Some(gatherer) = &self.gatherer {
            gatherer.send();
        }
        let stored = self.ledger.confirmed(self.ledger.written());
        let flushed = async {
            select! {
                // Fails only when the writer has failed, which it has not.
                _ = stored => {}
                Err(error) = sending => {
                    warn!(target: "tinistreamer", "events were not stored: {}", Cause(&error));
                    if is_stop(&error) {
                        self.stopped().await;
                    }
                }
            }
        };
        if timeout(self.flush_timeout, flushed).await.is_err() {
            warn!(target: "tinistreamer", "events were not stored in time, and are dropped");
        }
    }

    /// Records that the writer has failed.
    async fn fail(&self, error: Error) {
        let error = if is_stop(&error) {
            self.stopped().await
        } else {
            warn!(target: "tinistreamer", "the writer has failed: {}", Cause(&error));
            error
        };
        self.ledger.fail(error);
        self.state.fail();
    }

    /// Records that the stream was cancelled elsewhere. Returns the writer's error.
    async fn stopped(&self) -> Error {
        learn_stop(&self.target, &self.state.stop, LONGEST_QUESTION).await;
        self.state.stop.error(self.ledger.acknowledged())
    }

    /// Does what goes on beside the events. Never returns.
    async fn accompany(&self, lease_end: &LeaseEnd) -> Infallible {
        let (target, state) = (&self.target, &*self.state);
        let keep_lease = async {
            if let Some(lease) = self.lease {
                keep(target, state, lease, &lease_end.wanted).await;
            }
            lease_end.done.cancel();
        };
        let gather = async {
            if let Some(gatherer) = &self.gatherer {
                gatherer.send_in_time().await;
            }
        };
        join!(keep_lease, gather, hear(target, state));
        pending().await
    }
}

/// Whether the broker refuses a request because somebody has cancelled the stream.
fn is_stop(error: &Error) -> bool {
    error.code() == "no-active-stream" && error.stream_status() == Some("cancelled")
}
