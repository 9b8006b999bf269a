//! Slots: the right to be one of `MAX_CLIENTS`, and the rounds that look after those who have one.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock, Weak},
    task::Context,
    time::Duration,
};

use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep},
};

use super::{
    Pace,
    address::AddressBlock,
    group::{Group, Groups, Seat},
    pulse::{Call, Pulse},
};
use crate::{
    event::StreamKey,
    lifecycle::Lifecycle,
    metrics::{ClientMetrics, Departure, Refusal},
};

/// How long a newcomer waits for a slot while clients that have left are looked for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Time between two rounds; the clients' times are kept this exactly.
const ROUND: Duration = Duration::from_millis(200);

/// The same while the node's clients are closed, one after the other.
const CLOSING_ROUND: Duration = Duration::from_millis(10);

/// How many clients there may be at a time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of the node.
    pub node: usize,
    /// Of each stream on the node; 0 is no limit.
    pub per_stream: usize,
    /// Of each address; 0 is no limit. Of IPv6, a /64 counts as one.
    pub per_address: usize,
}

/// Who wants a slot.
#[derive(Clone, Debug)]
pub struct Newcomer {
    /// The stream that the client wants to follow.
    pub key: StreamKey,
    /// Where it is; none counts against no limit.
    pub address: Option<IpAddr>,
}

/// All slots of the node. Cheap to clone.
#[derive(Clone)]
pub struct Slots(Arc<Inner>);

struct Inner {
    node: Group,
    streams: Option<Arc<Groups<StreamKey>>>,
    addresses: Option<Arc<Groups<AddressBlock>>>,
    lifecycle: Lifecycle,
    /// Set when the rounds have begun.
    rounds: OnceLock<()>,
}

/// What a client takes up of each limit; given back when dropped.
#[derive(Debug)]
pub(super) struct Seats {
    _node: OwnedSemaphorePermit,
    stream: Option<Box<Seat<StreamKey>>>,
    address: Option<Box<Seat<AddressBlock>>>,
}

impl Seats {
    /// The groups in which they are, but for the node.
    fn groups(&self) -> [Option<Arc<Group>>; 2] {
        [self.stream.as_ref().map(|seat| seat.group()), self.address.as_ref().map(|seat| seat.group())]
    }
}

/// One client's slot; free again when dropped.
#[derive(Debug)]
pub struct Slot(Arc<Pulse>);

/// As many clients are there as there may be, as far as can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// On the node.
    #[error("All {0} places for streaming clients are taken; try again later")]
    Node(usize),
    /// Of the stream.
    #[error("All {0} places for streaming clients of this stream are taken; try again later")]
    Stream(usize),
    /// Of the address.
    #[error("All {0} places for streaming clients of one address are taken; try again later")]
    Address(usize),
}

impl From<Full> for Refusal {
    fn from(full: Full) -> Self {
        match full {
            Full::Node(_) => Self::Full,
            Full::Stream(_) => Self::Stream,
            Full::Address(_) => Self::Address,
        }
    }
}

impl Slots {
    /// The slots of a node with these limits.
    #[must_use]
    pub fn new(limits: Limits, lifecycle: Lifecycle) -> Self {
        let (streams, addresses) = (Groups::limited_to(limits.per_stream), Groups::limited_to(limits.per_address));
        Self(Arc::new(Inner { node: Group::new(limits.node), streams, addresses, lifecycle, rounds: OnceLock::new() }))
    }

    /// How many there are.
    #[must_use]
    pub fn max(&self) -> usize {
        self.0.node.max()
    }

    /// How many are taken.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.0.node.in_use()
    }

    /// Takes a slot for a client of this pace, to be counted among these. When there is none, waits up to a second while silent
    /// connections are written to: only that shows whose client has left.
    pub async fn claim(&self, newcomer: Newcomer, pace: Pace, metrics: &Arc<ClientMetrics>) -> Result<Slot, Full> {
        let seats = self.seats(newcomer, Instant::now() + PATIENCE).await.inspect_err(|&full| metrics.refuse(full.into()))?;
        let shared = seats.groups();
        let pulse = Arc::new(Pulse::new(seats, pace, Arc::clone(metrics)));
        self.0.node.add(&pulse);
        shared.into_iter().flatten().for_each(|group| group.add(&pulse));
        self.0.rounds.get_or_init(|| {
            tokio::spawn(go_round(Arc::downgrade(&self.0)));
        });
        Ok(Slot(pulse))
    }

    /// The narrowest limit comes first, so that those who are past it are in nobody else's way while they wait.
    async fn seats(&self, newcomer: Newcomer, deadline: Instant) -> Result<Seats, Full> {
        let address = match (&self.0.addresses, newcomer.address) {
            (Some(groups), Some(address)) => Some(groups.place(address.into(), deadline).await.ok_or(Full::Address(groups.max()))?),
            _ => None,
        };
        let stream = match &self.0.streams {
            Some(groups) => Some(groups.place(newcomer.key, deadline).await.ok_or(Full::Stream(groups.max()))?),
            None => None,
        };
        let node = self.0.node.place(deadline).await.ok_or(Full::Node(self.max()))?;
        Ok(Seats { _node: node, stream, address })
    }
}

/// Looks after all clients, round by round, for as long as there are slots.
async fn go_round(slots: Weak<Inner>) {
    loop {
        let Some(slots) = slots.upgrade().map(Slots) else { return };
        let lifecycle = slots.0.lifecycle.clone();
        let closing = lifecycle.closing_progress();
        slots.0.node.retain(|pulse| {
            pulse.look_after(closing);
            true
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
    pub(super) fn follow(&self, _key: &StreamKey) -> Result<(), Full> {
        Ok(())
    }

    pub(super) fn unfollow(&self, _key: &StreamKey) {}

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

    fn slots(node: usize) -> Slots {
        Slots::new(Limits { node, per_stream: 0, per_address: 0 }, Lifecycle::default())
    }

    async fn claim(slots: &Slots) -> Result<Slot, Full> {
        claim_from(slots, "chat", "192.0.2.1").await
    }

    async fn claim_from(slots: &Slots, key: &str, address: &str) -> Result<Slot, Full> {
        let newcomer = Newcomer { key: key.parse().unwrap(), address: Some(address.parse().unwrap()) };
        slots.claim(newcomer, PACE, Metrics::new(None, 1).clients(Transport::Sse)).await
    }

    async fn next_call(slot: &Slot) -> Call {
        std::future::poll_fn(|context| slot.called(context).map_or(std::task::Poll::Pending, std::task::Poll::Ready)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_waits_a_second_and_is_then_refused() {
        let slots = slots(1);
        let _taken = claim(&slots).await.unwrap();
        let begun = Instant::now();
        assert!(claim(&slots).await.is_err());
        assert_eq!(begun.elapsed().as_secs(), 1);
        assert_eq!(slots.in_use(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_gets_the_slot_of_a_client_that_a_probe_showed_to_be_gone() {
        let slots = slots(1);
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
        let slots = slots(1);
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
        let slots = slots(1);
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
        let slots = Slots::new(Limits { node: 200, per_stream: 0, per_address: 0 }, lifecycle.clone());
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

    #[tokio::test(start_paused = true)]
    async fn each_limit_is_told_by_name_and_what_was_taken_of_another_is_given_back() {
        let slots = Slots::new(Limits { node: 3, per_stream: 2, per_address: 2 }, Lifecycle::default());
        let first = [claim_from(&slots, "a", "192.0.2.1").await.unwrap(), claim_from(&slots, "a", "192.0.2.2").await.unwrap()];
        assert_eq!(claim_from(&slots, "a", "192.0.2.1").await.unwrap_err(), Full::Stream(2));
        // The one that was refused does not count for its address.
        let second = claim_from(&slots, "b", "192.0.2.1").await.unwrap();
        assert_eq!(claim_from(&slots, "c", "192.0.2.1").await.unwrap_err(), Full::Address(2));
        assert_eq!(claim_from(&slots, "c", "192.0.2.3").await.unwrap_err(), Full::Node(3));
        drop((first, second));
        let _again = [claim_from(&slots, "c", "192.0.2.3").await.unwrap(), claim_from(&slots, "c", "192.0.2.3").await.unwrap()];
        assert_eq!(claim_from(&slots, "c", "192.0.2.3").await.unwrap_err(), Full::Address(2));
    }

    #[tokio::test(start_paused = true)]
    async fn only_clients_of_the_same_stream_are_probed_for_a_place_in_it() {
        let slots = Slots::new(Limits { node: 10, per_stream: 1, per_address: 0 }, Lifecycle::default());
        let (taken, other) = (claim_from(&slots, "a", "::1").await.unwrap(), claim_from(&slots, "b", "::1").await.unwrap());
        sleep(Duration::from_secs(1)).await;
        let leaves = async move {
            assert_eq!(next_call(&taken).await, Call::Heartbeat);
            drop(taken);
        };
        let ((), newcomer) = tokio::join!(leaves, claim_from(&slots, "a", "::1"));
        assert!(newcomer.is_ok());
        assert!(futures::poll!(Box::pin(next_call(&other))).is_pending(), "nobody wanted its place");
    }

    #[tokio::test]
    async fn of_clients_that_come_and_go_none_is_remembered_for_long() {
        let slots = Slots::new(Limits { node: 10, per_stream: 5, per_address: 0 }, Lifecycle::default());
        let stays = claim(&slots).await.unwrap();
        let place = slots.seats(Newcomer { key: "chat".parse().unwrap(), address: None }, Instant::now()).await.unwrap();
        let [Some(group), None] = place.groups() else { panic!("the stream's group, and no other") };
        for _ in 0..1000 {
            drop(claim(&slots).await.unwrap());
            assert!(group.remembered() < 20, "{}", group.remembered());
        }
        drop(stays);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn however_many_come_and_go_at_once_no_limit_is_passed() {
        let slots = Slots::new(Limits { node: 100, per_stream: 3, per_address: 0 }, Lifecycle::default());
        let inside = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let clients = (0..200).map(|_| {
            let (slots, inside) = (slots.clone(), Arc::clone(&inside));
            tokio::spawn(async move {
                for _ in 0..20 {
                    let Ok(slot) = claim(&slots).await else { continue };
                    assert!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 3);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    drop(slot);
                }
            })
        });
        futures::future::try_join_all(clients).await.unwrap();
        assert_eq!(slots.in_use(), 0);
    }
}
