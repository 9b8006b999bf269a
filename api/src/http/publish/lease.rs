//! The lease of a stream, as an open upload renews it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinHandle, time::Instant};

use crate::{
    store::{SharedStore, StreamInfo},
    stream::{Deadlines, Generation, Renewal, StreamKey},
};

/// How long the producer of a stream may be silent, as far as the upload knows. Cheap to clone.
#[derive(Clone)]
pub(super) struct KnownLease(Arc<AtomicU64>);

impl KnownLease {
    /// Takes over what the store says.
    pub(super) fn learn(&self, deadlines: &Deadlines) {
        let lease = deadlines.lease.unwrap_or_default().as_millis();
        let lease = u64::try_from(lease).unwrap_or(u64::MAX);
        self.0.store(lease, Ordering::Relaxed);
    }

    /// Zero where it may be silent for ever.
    fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Renews the lease of an upload's stream when the producer shows that it lives and writes nothing.
/// A write renews it by itself.
pub(super) struct LeaseRenewer {
    store: SharedStore,
    key: StreamKey,
    generation: Generation,
    lease: KnownLease,
    /// When the upload last renewed the lease. None: not yet.
    renewed_at: Option<Instant>,
    /// The renewal that is under way. There is never a second one.
    renewal: Option<JoinHandle<()>>,
}

impl LeaseRenewer {
    /// For an upload to this stream.
    pub(super) fn new(store: &SharedStore, key: &StreamKey, info: &StreamInfo) -> Self {
        let lease = KnownLease(Arc::default());
        lease.learn(&info.deadlines);
        Self {
            store: SharedStore::clone(store),
            key: key.clone(),
            generation: info.generation,
            lease,
            renewed_at: None,
            renewal: None,
        }
    }

    /// What the upload knows of the lease.
    pub(super) fn known_lease(&self) -> KnownLease {
        self.lease.clone()
    }

    /// The upload wrote events, which renewed the lease.
    pub(super) fn wrote(&mut self) {
        self.renewed_at = Some(Instant::now());
    }

    /// The producer shows that it lives. The broker renews the lease in the background, at most
    /// once in a quarter of it.
    pub(super) fn sign_of_life(&mut self) {
        let lease = self.lease.get();
        let is_due = !lease.is_zero()
            && (self.renewed_at).is_none_or(|renewed_at| renewed_at.elapsed() >= lease / 4);
        let is_running = (self.renewal.as_ref()).is_some_and(|renewal| !renewal.is_finished());
        if !is_due || is_running {
            return;
        }
        self.renewed_at = Some(Instant::now());
        let (store, key, generation) = (
            SharedStore::clone(&self.store),
            self.key.clone(),
            self.generation,
        );
        self.renewal = Some(tokio::spawn(async move {
            let renewed = store.renew(&key, Some(generation), Renewal::default());
            // The upload learns by itself that its stream has ended. If the store fails, a sign of
            // life in the next quarter of the lease renews it.
            if let Err(error) = renewed.await {
                tracing::debug!(%error, %key, "the lease of an upload's stream was not renewed");
            }
        }));
    }
}
