//! The events that the broker has not confirmed, and the counts of those that it has.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::Instant,
};

use super::ack::{Ack, OnAck};
use crate::Error;

/// A ledger counts written and confirmed events. The writer and its task share it.
pub(super) struct Ledger {
    progress: watch::Sender<Progress>,
    /// A permit for each event that may still be written. Closed when the writer has failed.
    permits: Semaphore,
    /// How many events the caller wrote.
    written: AtomicU64,
    on_ack: Option<OnAck>,
}

struct Progress {
    acknowledged: u64,
    /// When the broker last confirmed some of them.
    at: Instant,
    failure: Option<Arc<Error>>,
}

impl Ledger {
    pub(super) fn new(max_pending: usize, on_ack: Option<OnAck>) -> Self {
        let progress = watch::Sender::new(Progress {
            acknowledged: 0,
            at: Instant::now(),
            failure: None,
        });
        let permits = Semaphore::new(max_pending.clamp(1, Semaphore::MAX_PERMITS));
        Self {
            progress,
            permits,
            written: AtomicU64::new(0),
            on_ack,
        }
    }

    /// Counts one more written event.
    pub(super) fn count_written(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    /// How many events the caller wrote.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits until one more event may be written.
    pub(super) async fn reserve(&self) -> Result<(), Error> {
        match self.permits.acquire().await {
            Ok(permit) => {
                permit.forget();
                Ok(())
            }
            Err(_) => self.confirmed(u64::MAX).await,
        }
    }

    /// Waits until this many events are confirmed, or the writer has failed.
    pub(super) async fn confirmed(&self, count: u64) -> Result<(), Error> {
        let mut progress = self.progress.subscribe();
        // The channel can't close: its sender is here.
        let Ok(progress) = progress
            .wait_for(|progress| progress.acknowledged >= count || progress.failure.is_some())
            .await
        else {
            return Ok(());
        };
        match &progress.failure {
            None => Ok(()),
            Some(cause) => Err(Error::of_writer(Arc::clone(cause), progress.acknowledged)),
        }
    }

    /// Fails when the writer has failed.
    pub(super) fn check(&self) -> Result<(), Error> {
        let progress = self.progress.borrow();
        match &progress.failure {
            None => Ok(()),
            Some(cause) => Err(Error::of_writer(Arc::clone(cause), progress.acknowledged)),
        }
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.progress.borrow().acknowledged
    }

    /// When the broker last confirmed something. Before that, when the writer was started.
    pub(super) fn last_confirmed(&self) -> Instant {
        self.progress.borrow().at
    }

    /// Records that the broker has stored this many more events.
    pub(super) fn confirm(&self, events: u64, last_id: Option<String>) {
        if events == 0 {
            return;
        }
        self.progress.send_modify(|progress| {
            progress.acknowledged += events;
            progress.at = Instant::now();
        });
        // These are no more than were written, so that the semaphore can't overflow.
        self.permits
            .add_permits(usize::try_from(events).unwrap_or_default());
        if let Some(on_ack) = &self.on_ack {
            on_ack(Ack {
                count: self.acknowledged(),
                last_id,
            });
        }
    }

    /// Records that the writer has failed. All waiting callers receive the error.
    pub(super) fn fail(&self, error: Error) {
        self.progress
            .send_modify(|progress| progress.failure = Some(Arc::new(error)));
        self.permits.close();
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("acknowledged", &self.acknowledged())
            .finish_non_exhaustive()
    }
}

/// An outbox holds the events that the broker has not confirmed, oldest first.
pub(super) struct Outbox {
    lines: mpsc::UnboundedReceiver<Bytes>,
    queue: VecDeque<Bytes>,
    /// The sequence number of the first event in the queue.
    sequence: u64,
    /// When the queue last received an event while it was empty.
    filled: Instant,
    ledger: Arc<Ledger>,
}

impl Outbox {
    pub(super) fn new(lines: mpsc::UnboundedReceiver<Bytes>, ledger: Arc<Ledger>) -> Self {
        Self {
            lines,
            queue: VecDeque::new(),
            sequence: 0,
            filled: Instant::now(),
            ledger,
        }
    }

    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Since when the broker has confirmed nothing of the queue.
    pub(super) fn since(&self) -> Instant {
        self.filled.max(self.ledger.last_confirmed())
    }

    /// Whether any event is unconfirmed.
    #[cfg(feature = "websocket")]
    pub(super) fn has_unconfirmed(&mut self) -> bool {
        self.remove_confirmed();
        !self.queue.is_empty()
    }

    /// Waits until an event is unconfirmed, and takes all that are ready. Returns the sequence
    /// number of the first in the queue.
    pub(super) async fn unconfirmed(&mut self) -> u64 {
        self.remove_confirmed();
        if self.queue.is_empty() {
            self.receive().await;
        }
        self.take_ready();
        self.sequence
    }

    /// Waits until another event is written, and takes all that are ready.
    pub(super) async fn receive(&mut self) {
        // The channel closes when the writer is dropped. The task notices that by itself, and drops
        // this future.
        let Some(line) = self.lines.recv().await else {
            return std::future::pending().await;
        };
        self.remove_confirmed();
        if self.queue.is_empty() {
            self.filled = Instant::now();
        }
        self.queue.push_back(line);
        self.take_ready();
    }

    /// The unconfirmed events from this sequence number on.
    pub(super) fn from(&self, sequence: u64) -> impl Iterator<Item = &Bytes> {
        let skipped = usize::try_from(sequence.saturating_sub(self.sequence)).unwrap_or(usize::MAX);
        self.queue.iter().skip(skipped)
    }

    /// Removes the events that are confirmed.
    fn remove_confirmed(&mut self) {
        let confirmed = self.ledger.acknowledged() - self.sequence;
        self.queue.drain(
            ..self
                .queue
                .len()
                .min(usize::try_from(confirmed).unwrap_or(usize::MAX)),
        );
        self.sequence += confirmed;
    }

    fn take_ready(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.queue.push_back(line);
        }
    }
}
