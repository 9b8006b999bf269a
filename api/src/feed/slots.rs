//! Slots: the right to be one of `MAX_CLIENTS`.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout_at},
};

/// How long a newcomer waits for a slot while clients that have left are looked for.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often silent connections are probed while newcomers wait.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// All slots of the node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Slots {
    free: Arc<Semaphore>,
    max: usize,
    probe: watch::Sender<Option<Instant>>,
}

/// One client's slot; free again when dropped.
#[derive(Debug)]
pub struct Slot {
    permit: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
    probe: watch::Receiver<Option<Instant>>,
}

/// Frees a slot early; does not keep it.
#[derive(Debug)]
pub struct Release(Weak<Mutex<Option<OwnedSemaphorePermit>>>);

impl Release {
    /// Frees the slot.
    pub fn now(&self) {
        if let Some(permit) = self.0.upgrade() {
            permit.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

/// Every slot is taken by a client that is still there, as far as can be known.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("every slot is taken")]
pub struct AllTaken;

impl Slots {
    /// This many slots.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(max)), max, probe: watch::Sender::new(None) }
    }

    /// How many there are.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// How many are taken.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.max - self.free.available_permits().min(self.max)
    }

    /// Takes a slot. When none is free, waits up to a second while silent connections are written to: only that shows whose
    /// client has left.
    pub async fn claim(&self) -> Result<Slot, AllTaken> {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(self.slot(permit));
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.ask_silent_clients();
            let until = deadline.min(Instant::now() + PROBE_INTERVAL);
            match timeout_at(until, Arc::clone(&self.free).acquire_owned()).await {
                Ok(Ok(permit)) => return Ok(self.slot(permit)),
                // The semaphore is never closed.
                Ok(Err(_)) => return Err(AllTaken),
                Err(_) if Instant::now() >= deadline => return Err(AllTaken),
                Err(_) => {}
            }
        }
    }

    /// Asks once, however many newcomers wait.
    fn ask_silent_clients(&self) {
        let now = Instant::now();
        self.probe.send_if_modified(|last| {
            let due = last.is_none_or(|last| now >= last + PROBE_INTERVAL);
            if due {
                *last = Some(now);
            }
            due
        });
    }

    fn slot(&self, permit: OwnedSemaphorePermit) -> Slot {
        Slot { permit: Arc::new(Mutex::new(Some(permit))), probe: self.probe.subscribe() }
    }
}

impl Slot {
    /// Resolves when the client should be written to, to see whether it is still there.
    pub fn probes(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut probe = self.probe.clone();
        probe.mark_unchanged();
        async move {
            // Slots live as long as the server; without them nobody asks any more.
            if probe.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// What frees the slot of a client that takes nothing any more, while the rest of it is out of reach.
    #[must_use]
    pub fn release(&self) -> Release {
        Release(Arc::downgrade(&self.permit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_waits_a_second_and_is_then_refused() {
        let slots = Slots::new(1);
        let _taken = slots.claim().await.unwrap();
        let begun = Instant::now();
        assert!(slots.claim().await.is_err());
        assert_eq!(begun.elapsed().as_secs(), 1);
        assert_eq!(slots.in_use(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_gets_the_slot_of_a_client_that_a_probe_showed_to_be_gone() {
        let slots = Slots::new(1);
        let taken = slots.claim().await.unwrap();
        let ((), newcomer) = tokio::join!(
            async move {
                taken.probes().await;
                drop(taken);
            },
            slots.claim()
        );
        assert!(newcomer.is_ok());
        drop(newcomer);
        assert_eq!(slots.in_use(), 0);
    }
}
