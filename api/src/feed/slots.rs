//! Slots: the right to be one of `MAX_CLIENTS`, the rounds that look after those who have one, and
//! who they are.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::time::{Instant, sleep};

use super::{
    Pace,
    address::AddressBlock,
    audience::Audience,
    client::{Client, ClientId, Identity, Profile},
    group::{Group, Groups},
    place::{Place, Seats, StreamSeat},
    pulse::Pulse,
    slot::Slot,
};
use crate::{
    event::StreamKey,
    lifecycle::Lifecycle,
    metrics::{ClientMetrics, Refusal},
    store::Announcement,
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
    /// The streams that the client wants to follow, each once. There may be none, for now.
    pub keys: Vec<StreamKey>,
    /// Where it is; none counts against no limit.
    pub address: Option<IpAddr>,
    /// What it says of itself.
    pub profile: Profile,
}

/// All slots of the node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Slots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    node: Group,
    audience: Arc<Audience>,
    streams: Option<Arc<Groups<StreamKey>>>,
    addresses: Option<Arc<Groups<AddressBlock>>>,
    lifecycle: Lifecycle,
    /// Set when the rounds have begun.
    rounds: OnceLock<()>,
}

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
    /// The slots of a node with these limits. The gauge counts the streams that clients follow.
    #[must_use]
    pub fn new(limits: Limits, followed: Gauge, lifecycle: Lifecycle) -> Self {
        let (streams, addresses) = (
            Groups::limited_to(limits.per_stream),
            Groups::limited_to(limits.per_address),
        );
        let (node, audience) = (Group::new(limits.node), Arc::new(Audience::new(followed)));
        Self(Arc::new(Inner {
            node,
            audience,
            streams,
            addresses,
            lifecycle,
            rounds: OnceLock::new(),
        }))
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

    /// Whether a subscriber of this stream, from this address, would have to wait for a slot now.
    #[must_use]
    pub fn is_full(&self, key: &StreamKey, address: Option<IpAddr>) -> bool {
        let Inner {
            node,
            streams,
            addresses,
            ..
        } = &*self.0;
        node.in_use() >= node.max()
            || streams.as_ref().is_some_and(|groups| groups.is_full(key))
            || addresses
                .as_ref()
                .zip(address)
                .is_some_and(|(groups, address)| groups.is_full(&address.into()))
    }

    /// Takes a slot for a client of this pace, to be counted among these. When there is none, waits
    /// up to a second while silent connections are written to: only that shows whose client has
    /// left.
    pub async fn claim(
        &self,
        newcomer: Newcomer,
        pace: Pace,
        metrics: &Arc<ClientMetrics>,
    ) -> Result<Slot, Full> {
        let Newcomer {
            keys,
            address,
            profile,
        } = newcomer;
        let seats = self.seats(keys, address, Instant::now() + PATIENCE).await;
        let (streams, seats) = seats.inspect_err(|&full| metrics.refuse(full.into()))?;
        let mut place = Place::new(seats, metrics.enter(), Arc::clone(&self.0.audience));
        place.follow(streams);
        let groups = place.groups();
        let pulse = Arc::new(Pulse::new(
            Identity::new(profile, address),
            place,
            pace,
            Arc::clone(metrics),
        ));
        self.0.node.add(&pulse);
        for group in groups {
            group.add(&pulse);
        }
        self.0.rounds.get_or_init(|| {
            tokio::spawn(go_round(Arc::downgrade(&self.0)));
        });
        Ok(Slot::new(pulse, self.clone()))
    }

    /// The narrowest limits come first, so that those who are past them are in nobody else's way
    /// while they wait.
    async fn seats(
        &self,
        mut keys: Vec<StreamKey>,
        address: Option<IpAddr>,
        deadline: Instant,
    ) -> Result<(Vec<(StreamKey, StreamSeat)>, Seats), Full> {
        let address = match (&self.0.addresses, address) {
            (Some(groups), Some(address)) => Some(
                groups
                    .place(address.into(), deadline)
                    .await
                    .ok_or(Full::Address(groups.max()))?,
            ),
            _ => None,
        };
        // In one order, so that no two newcomers each wait for what the other has.
        keys.sort_unstable();
        let mut streams = Vec::with_capacity(keys.len());
        for key in keys {
            let seat = match &self.0.streams {
                Some(groups) => Some(
                    groups
                        .place(key.clone(), deadline)
                        .await
                        .ok_or(Full::Stream(groups.max()))?,
                ),
                None => None,
            };
            streams.push((key, seat));
        }
        let node = self
            .0
            .node
            .place(deadline)
            .await
            .ok_or(Full::Node(self.max()))?;
        Ok((
            streams,
            Seats {
                _node: node,
                address,
            },
        ))
    }

    /// A place in a stream's group, if there is a limit: now, or not at all.
    pub(super) fn seat_now(&self, key: &StreamKey) -> Result<StreamSeat, Full> {
        let Some(groups) = &self.0.streams else {
            return Ok(None);
        };
        groups
            .place_now(key.clone())
            .ok_or(Full::Stream(groups.max()))
            .map(Some)
    }

    /// How many clients of the node follow the stream.
    #[must_use]
    pub fn followers(&self, key: &StreamKey) -> u32 {
        self.0.audience.of(key)
    }

    /// What the other nodes are to be told of that: all, or what has changed since this was asked
    /// last.
    #[must_use]
    pub fn announcement(&self, whole: bool) -> Announcement {
        self.0.audience.announcement(whole)
    }

    /// The node's clients as they are now, in the order in which they came: those of a stream and
    /// those with a tag, where these are given.
    #[must_use]
    pub fn clients(&self, key: Option<&StreamKey>, tag: Option<&str>) -> Vec<Client> {
        let is_wanted = |pulse: &Pulse| {
            tag.is_none_or(|tag| pulse.identity.has_tag(tag))
                && key.is_none_or(|key| pulse.follows(key))
        };
        // Taken first and looked at then, so that nobody who comes has to wait for it.
        let present = self.0.node.present();
        present
            .into_iter()
            .filter(|pulse| is_wanted(pulse))
            .filter_map(|pulse| pulse.describe())
            .collect()
    }

    /// Lets a client go; whether there was one with this id.
    #[must_use]
    pub fn disconnect(&self, id: ClientId) -> bool {
        self.0
            .node
            .present()
            .iter()
            .any(|pulse| pulse.identity.id == id && pulse.disconnect())
    }
}

/// Looks after all clients, round by round, for as long as there are slots.
async fn go_round(slots: Weak<Inner>) {
    loop {
        let Some(slots) = slots.upgrade().map(Slots) else {
            return;
        };
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

#[cfg(test)]
mod tests {
    use super::{super::pulse::Call, *};
    use crate::metrics::{Metrics, Transport};

    const PACE: Pace = Pace {
        heartbeat: Duration::from_secs(5),
        idle: Duration::from_secs(12),
    };

    fn limited(limits: Limits) -> Slots {
        Slots::new(limits, Gauge::default(), Lifecycle::default())
    }

    fn slots(node: usize) -> Slots {
        limited(Limits {
            node,
            per_stream: 0,
            per_address: 0,
        })
    }

    async fn claim(slots: &Slots) -> Result<Slot, Full> {
        claim_from(slots, "chat", "192.0.2.1").await
    }

    async fn claim_from(slots: &Slots, key: &str, address: &str) -> Result<Slot, Full> {
        let profile = Profile {
            transport: Transport::Sse,
            name: None,
            tags: Box::default(),
            filter: None,
        };
        let newcomer = Newcomer {
            keys: vec![key.parse().unwrap()],
            address: Some(address.parse().unwrap()),
            profile,
        };
        slots
            .claim(
                newcomer,
                PACE,
                Metrics::new(None, 1).clients(Transport::Sse),
            )
            .await
    }

    async fn next_call(slot: &Slot) -> Call {
        std::future::poll_fn(|context| {
            slot.called(context)
                .map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await
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
        let slots = Slots::new(
            Limits {
                node: 200,
                per_stream: 0,
                per_address: 0,
            },
            Gauge::default(),
            lifecycle.clone(),
        );
        let _requests: Vec<_> = (0..200).map(|_| lifecycle.request()).collect();
        let begun = Instant::now();
        let clients = (0..200).map(|_| async {
            let slot = claim(&slots).await.unwrap();
            while next_call(&slot).await != Call::Close {}
            begun.elapsed()
        });
        let (times, ()) = tokio::join!(futures::future::join_all(clients), async {
            lifecycle.close(Duration::from_secs(5))
        });
        let late = times
            .iter()
            .filter(|time| time.as_secs_f64() > 1.75)
            .count();
        assert!((50..150).contains(&late), "not in a lump: {late}");
        assert!(times.iter().all(|time| time.as_secs_f64() <= 3.6));
    }

    #[tokio::test(start_paused = true)]
    async fn each_limit_is_told_by_name_and_what_was_taken_of_another_is_given_back() {
        let slots = limited(Limits {
            node: 3,
            per_stream: 2,
            per_address: 2,
        });
        let first = [
            claim_from(&slots, "a", "192.0.2.1").await.unwrap(),
            claim_from(&slots, "a", "192.0.2.2").await.unwrap(),
        ];
        assert_eq!(
            claim_from(&slots, "a", "192.0.2.1").await.unwrap_err(),
            Full::Stream(2)
        );
        // The one that was refused does not count for its address.
        let second = claim_from(&slots, "b", "192.0.2.1").await.unwrap();
        assert_eq!(
            claim_from(&slots, "c", "192.0.2.1").await.unwrap_err(),
            Full::Address(2)
        );
        assert_eq!(
            claim_from(&slots, "c", "192.0.2.3").await.unwrap_err(),
            Full::Node(3)
        );
        drop((first, second));
        let _again = [
            claim_from(&slots, "c", "192.0.2.3").await.unwrap(),
            claim_from(&slots, "c", "192.0.2.3").await.unwrap(),
        ];
        assert_eq!(
            claim_from(&slots, "c", "192.0.2.3").await.unwrap_err(),
            Full::Address(2)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_clients_of_the_same_stream_are_probed_for_a_place_in_it() {
        let slots = limited(Limits {
            node: 10,
            per_stream: 1,
            per_address: 0,
        });
        let (taken, other) = (
            claim_from(&slots, "a", "::1").await.unwrap(),
            claim_from(&slots, "b", "::1").await.unwrap(),
        );
        sleep(Duration::from_secs(1)).await;
        let leaves = async move {
            assert_eq!(next_call(&taken).await, Call::Heartbeat);
            drop(taken);
        };
        let ((), newcomer) = tokio::join!(leaves, claim_from(&slots, "a", "::1"));
        assert!(newcomer.is_ok());
        assert!(
            futures::poll!(Box::pin(next_call(&other))).is_pending(),
            "nobody wanted its place"
        );
    }

    #[tokio::test]
    async fn of_clients_that_come_and_go_none_is_remembered_for_long() {
        let slots = limited(Limits {
            node: 10,
            per_stream: 5,
            per_address: 0,
        });
        let stays = claim(&slots).await.unwrap();
        let group = slots
            .seat_now(&"chat".parse().unwrap())
            .unwrap()
            .unwrap()
            .group();
        for _ in 0..1000 {
            drop(claim(&slots).await.unwrap());
            assert!(group.remembered() < 20, "{}", group.remembered());
        }
        drop(stays);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn however_many_come_and_go_at_once_no_limit_is_passed() {
        let slots = limited(Limits {
            node: 100,
            per_stream: 3,
            per_address: 0,
        });
        let inside = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let clients = (0..200).map(|_| {
            let (slots, inside) = (slots.clone(), Arc::clone(&inside));
            tokio::spawn(async move {
                for _ in 0..20 {
                    let Ok(slot) = claim(&slots).await else {
                        continue;
                    };
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
