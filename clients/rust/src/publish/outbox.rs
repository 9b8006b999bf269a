//! Events between the writer and the broker: those on their way, and the account of those that
//! arrived.

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

use super::{Ack, OnAck};
use crate::Error;

/// What is known of a writer's events, shared by the writer and its task.
pub(super) struct Ledger {
    progress: watch::Sender<Progress>,
    /// A permit for each event that may still be handed over. Closed when the writer has failed.
    room: Semaphore,
    /// How many events were handed over.
    written: AtomicU64,
    on_ack: Option<OnAck>,
}

struct Progress {
    acknowledged: u64,
    /// When the last of them was.
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
        let room = Semaphore::new(max_pending.clamp(1, Semaphore::MAX_PERMITS));
        Self {
            progress,
            room,
            written: AtomicU64::new(0),
            on_ack,
        }
    }

    /// One more event is handed over.
    pub(super) fn hand_over(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    /// How many events were handed over.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits until one more event may be handed over.
    pub(super) async fn reserve(&self) -> Result<(), Error> {
        match self.room.acquire().await {
            Ok(permit) => {
                permit.forget();
                Ok(())
            }
            Err(_) => self.confirmed(u64::MAX).await,
        }
    }

    /// Waits until so many events are confirmed, or the writer has failed.
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
            Some(failure) => Err(Error::Publish {
                acknowledged: progress.acknowledged,
                source: Arc::clone(failure),
            }),
        }
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.progress.borrow().acknowledged
    }

    /// When the broker last confirmed something; at first, when the writer was started.
    pub(super) fn last_confirmed(&self) -> Instant {
        self.progress.borrow().at
    }

    /// The broker has so many more events.
    pub(super) fn confirm(&self, events: u64, last_id: Option<String>) {
        if events == 0 {
            return;
        }
        self.progress.send_modify(|progress| {
            progress.acknowledged += events;
            progress.at = Instant::now();
        });
        // No more than were handed over, so that they fit.
        self.room
            .add_permits(usize::try_from(events).unwrap_or_default());
        if let Some(on_ack) = &self.on_ack {
            on_ack(Ack {
                count: self.acknowledged(),
                last_id,
            });
        }
    }

    /// The writer has failed: whoever waits is told.
    pub(super) fn fail(&self, error: Error) {
        self.progress
            .send_modify(|progress| progress.failure = Some(Arc::new(error)));
        self.room.close();
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("acknowledged", &self.acknowledged())
            .finish_non_exhaustive()
    }
}

/// The events that are not confirmed, oldest first, and those that the writer hands over.
pub(super) struct Outbox {
    lines: mpsc::UnboundedReceiver<Bytes>,
    queue: VecDeque<Bytes>,
    /// How many events came before the first of the queue.
    sequence: u64,
    /// When the queue was last begun.
    begun: Instant,
    ledger: Arc<Ledger>,
}

impl Outbox {
    pub(super) fn new(lines: mpsc::UnboundedReceiver<Bytes>, ledger: Arc<Ledger>) -> Self {
        Self {
            lines,
            queue: VecDeque::new(),
            sequence: 0,
            begun: Instant::now(),
            ledger,
        }
    }

    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Since when the broker owes a confirmation.
    pub(super) fn since(&self) -> Instant {
        self.begun.max(self.ledger.last_confirmed())
    }

    /// Whether any event is unconfirmed.
    #[cfg(feature = "websocket")]
    pub(super) fn owes(&mut self) -> bool {
        self.settle();
        !self.queue.is_empty()
    }

    /// Waits until an event is unconfirmed, and takes all that are ready. How many came before the
    /// first of the queue.
    pub(super) async fn gather(&mut self) -> u64 {
        self.settle();
        if self.queue.is_empty() {
            self.more().await;
        }
        self.take_ready();
        self.sequence
    }

    /// Waits until an event is handed over, and takes all that are ready.
    pub(super) async fn more(&mut self) {
        // Without a line to come the writer was dropped. The task learns it in another way, and
        // ends this.
        let Some(line) = self.lines.recv().await else {
            return std::future::pending().await;
        };
        self.settle();
        if self.queue.is_empty() {
            self.begun = Instant::now();
        }
        self.queue.push_back(line);
        self.take_ready();
    }

    /// The unconfirmed events from this sequence number on.
    pub(super) fn from(&self, sequence: u64) -> impl Iterator<Item = &Bytes> {
        let skipped = usize::try_from(sequence.saturating_sub(self.sequence)).unwrap_or(usize::MAX);
        self.queue.iter().skip(skipped)
    }

    /// Forgets what is confirmed.
    fn settle(&mut self) {
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
