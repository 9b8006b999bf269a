//! Slots: the right to be one of `MAX_CLIENTS`, and the rounds that look after those who have one.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    task::Context,
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout_at},
};

use super::{
    Pace,
    pulse::{Call, Pulse},
};
use crate::{
    lifecycle::Lifecycle,
    metrics::{ClientMetrics, Departure, Refusal},
};

/// How long a newcomer waits for a slot while clients that have left are looked for.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often silent connections are probed while newcomers wait.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// Time between two rounds; the clients' times are kept this exactly.
const ROUND: Duration = Duration::from_millis(200);

/// The same while the node's clients are closed, one after the other.
const CLOSING_ROUND: Duration = Duration::from_millis(10);

/// All slots of the node. Cheap to clone.
#[derive(Clone)]
pub struct Slots(Arc<Inner>);

struct Inner {
    free: Arc<Semaphore>,
    max: usize,
    lifecycle: Lifecycle,
    clients: Mutex<Clients>,
    /// Set when the rounds have begun.
    rounds: OnceLock<()>,
}

#[derive(Default)]
struct Clients {
    pulses: Vec<Weak<Pulse>>,
    probed: Option<Instant>,
}

/// One client's slot; free again when dropped.
#[derive(Debug)]
pub struct Slot(Arc<Pulse>);

/// Every slot is taken by a client that is still there, as far as can be known.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("every slot is taken")]
pub struct AllTaken;

impl Slots {
    /// This many slots of a node.
    #[must_use]
    pub fn new(max: usize, lifecycle: Lifecycle) -> Self {
        Self(Arc::new(Inner { free: Arc::new(Semaphore::new(max)), max, lifecycle, clients: Mutex::default(), rounds: OnceLock::new() }))
    }

    /// How many there are.
    #[must_use]
    pub fn max(&self) -> usize {
        self.0.max
    }

    /// How many are taken.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.0.max - self.0.free.available_permits().min(self.0.max)
    }

    /// Takes a slot for a client of this pace, to be counted among these. When none is free, waits up to a second while silent connections are written
    /// to: only that shows whose client has left.
    pub async fn claim(&self, pace: Pace, metrics: &Arc<ClientMetrics>) -> Result<Slot, AllTaken> {
        if let Ok(permit) = Arc::clone(&self.0.free).try_acquire_owned() {
            return Ok(self.slot(permit, pace, metrics));
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.probe();
            let until = deadline.min(Instant::now() + PROBE_INTERVAL);
            match timeout_at(until, Arc::clone(&self.0.free).acquire_owned()).await {
                Ok(Ok(permit)) => return Ok(self.slot(permit, pace, metrics)),
                // The semaphore is never closed.
                Ok(Err(_)) => return Err(AllTaken),
                Err(_) if Instant::now() >= deadline => {
                    metrics.refuse(Refusal::Full);
                    return Err(AllTaken);
                }
                Err(_) => {}
            }
        }
    }

    /// No code panics while it holds the lock, so that what is behind a poisoned one is whole.
    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.0.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, permit: OwnedSemaphorePermit, pace: Pace, metrics: &Arc<ClientMetrics>) -> Slot {
        let pulse = Arc::new(Pulse::new(permit, pace, Arc::clone(metrics)));
        self.clients().pulses.push(Arc::downgrade(&pulse));
        self.0.rounds.get_or_init(|| {
            tokio::spawn(go_round(Arc::downgrade(&self.0)));
        });
        Slot(pulse)
    }

    /// Asks silent clients once, however many newcomers wait.
    fn probe(&self) {
        let mut clients = self.clients();
        let now = Instant::now();
        if clients.probed.is_none_or(|last| now >= last + PROBE_INTERVAL) {
            clients.probed = Some(now);
            clients.pulses.iter().filter_map(Weak::upgrade).for_each(|pulse| pulse.probe(PROBE_INTERVAL / 2));
        }
    }
}

/// Looks after all clients, round by round, for as long as there are slots.
async fn go_round(slots: Weak<Inner>) {
    loop {
        let Some(slots) = slots.upgrade().map(Slots) else { return };
        let lifecycle = slots.0.lifecycle.clone();
        let closing = lifecycle.closing_progress();
        slots.clients().pulses.retain(|pulse| match pulse.upgrade() {
            Some(pulse) => {
                pulse.look_after(closing);
                true
            }
            None => false,
        });
        drop(slots);
        if closing.is_some() {
            sleep(CLOSING_ROUND).await;
        } else {
            tokio::select! {
                () = sleep(ROUND) => {}
                () = lifecycle.begins_to_close() => {}
            }
        }
    }
}

impl Slot {
    /// The most pressing call on the client, if there is one; else the task is woken by the next.
    pub(super) fn called(&self, context: &Context<'_>) -> Option<Call> {
        self.0.called(context)
    }

    /// Something was put out, an event perhaps.
    pub(super) fn put_out(&self, event: bool) {
        self.0.put_out(event);
    }

    /// The client was given something; until it has taken it, nobody asks the feed.
    pub(super) fn given(&self) {
        self.0.given();
    }

    /// Says why the client is about to be gone; unless it is said, it leaves by itself.
    pub(super) fn departs(&self, reason: Departure) {
        self.0.departs(reason);
    }

    /// The metrics of such clients.
    pub(super) fn metrics(&self) -> &ClientMetrics {
        &self.0.metrics
    }

    /// The client has taken all.
    pub(super) fn taken(&self) {
        self.0.taken();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, Transport};

    const PACE: Pace = Pace { heartbeat: Duration::from_secs(5), idle: Duration::from_secs(12) };

    async fn claim(slots: &Slots) -> Result<Slot, AllTaken> {
        slots.claim(PACE, Metrics::new(None, 1).clients(Transport::Sse)).await
    }

    async fn next_call(slot: &Slot) -> Call {
        std::future::poll_fn(|context| slot.called(context).map_or(std::task::Poll::Pending, std::task::Poll::Ready)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_waits_a_second_and_is_then_refused() {
        let slots = Slots::new(1, Lifecycle::default());
        let _taken = claim(&slots).await.unwrap();
        let begun = Instant::now();
        assert!(claim(&slots).await.is_err());
        assert_eq!(begun.elapsed().as_secs(), 1);
        assert_eq!(slots.in_use(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_gets_the_slot_of_a_client_that_a_probe_showed_to_be_gone() {
        let slots = Slots::new(1, Lifecycle::default());
        let taken = claim(&slots).await.unwrap();
        let leaves = async move {
            assert_eq!(next_call(&taken).await, Call::Heartbeat);
            drop(taken);
        };
        let ((), newcomer) = tokio::join!(leaves, claim(&slots));
        assert!(newcomer.is_ok());
        drop(newcomer);
        assert_eq!(slots.in_use(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_calls_for_heartbeats_and_the_lack_of_events_for_the_end() {
        let slots = Slots::new(1, Lifecycle::default());
        let slot = claim(&slots).await.unwrap();
        let begun = Instant::now();
        for beat in 1..=2 {
            assert_eq!(next_call(&slot).await, Call::Heartbeat);
            slot.put_out(false);
            assert_eq!(begun.elapsed().as_secs(), 5 * beat);
        }
        assert_eq!(next_call(&slot).await, Call::Idle);
        assert_eq!(begun.elapsed().as_secs(), 12);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_loses_its_slot() {
        let slots = Slots::new(1, Lifecycle::default());
        let slot = claim(&slots).await.unwrap();
        slot.given();
        sleep(Duration::from_secs(11)).await;
        assert_eq!(slots.in_use(), 1);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(slots.in_use(), 0);
        drop(slot);
        assert_eq!(slots.in_use(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn clients_are_called_to_close_over_the_time_that_there_is() {
        let lifecycle = Lifecycle::default();
        let slots = Slots::new(200, lifecycle.clone());
        let _requests: Vec<_> = (0..200).map(|_| lifecycle.request()).collect();
        let begun = Instant::now();
        let clients = (0..200).map(|_| async {
            let slot = claim(&slots).await.unwrap();
            while next_call(&slot).await != Call::Close {}
            begun.elapsed()
        });
        let (times, ()) = tokio::join!(futures::future::join_all(clients), async { lifecycle.close(Duration::from_secs(5)) });
        let late = times.iter().filter(|time| time.as_secs_f64() > 1.75).count();
        assert!((50..150).contains(&late), "not in a lump: {late}");
        assert!(times.iter().all(|time| time.as_secs_f64() <= 3.6));
    }
}
