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
    Timeouts,
    address::AddressBlock,
    admission::Admission,
    limits::{ConnectionLimit, ConnectionLimits},
    liveness::Liveness,
    membership::{Membership, Permits, StreamPermit},
    metadata::{ClientMetadata, Identity, SessionId, SessionInfo},
};
use crate::{
    lifecycle::Lifecycle,
    presence::SubscriberCounts,
    stream::StreamKey,
    telemetry::metrics::{ClientMetrics, Refusal},
};

/// How long a newcomer waits for a slot while clients that have left are looked for.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(1);

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

/// Who wants a admission.
#[derive(Clone, Debug)]
pub struct AdmissionRequest {
    /// The streams that the client wants to follow, each once. There may be none, for now.
    pub keys: Vec<StreamKey>,
    /// Where it is; none counts against no limit.
    pub address: Option<IpAddr>,
    /// What it says of itself.
    pub metadata: ClientMetadata,
}

/// All slots of the node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    node: ConnectionLimit,
    counts: Arc<SubscriberCounts>,
    streams: Option<Arc<ConnectionLimits<StreamKey>>>,
    addresses: Option<Arc<ConnectionLimits<AddressBlock>>>,
    lifecycle: Lifecycle,
    /// Set when the rounds have begun.
    rounds: OnceLock<()>,
}

/// As many clients are there as there may be, as far as can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitReached {
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

impl From<LimitReached> for Refusal {
    fn from(full: LimitReached) -> Self {
        match full {
            LimitReached::Node(_) => Self::Full,
            LimitReached::Stream(_) => Self::Stream,
            LimitReached::Address(_) => Self::Address,
        }
    }
}

impl Registry {
    /// The slots of a node with these limits. The gauge counts the streams that clients follow.
    #[must_use]
    pub fn new(limits: Limits, followed: Gauge, lifecycle: Lifecycle) -> Self {
        let (streams, addresses) = (
            ConnectionLimits::limited_to(limits.per_stream),
            ConnectionLimits::limited_to(limits.per_address),
        );
        let (node, counts) = (
            ConnectionLimit::new(limits.node),
            Arc::new(SubscriberCounts::new(followed)),
        );
        Self(Arc::new(Inner {
            node,
            counts,
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
            || streams.as_ref().is_some_and(|limits| limits.is_full(key))
            || addresses
                .as_ref()
                .zip(address)
                .is_some_and(|(limits, address)| limits.is_full(&address.into()))
    }

    /// Takes a slot for a client of this pace, to be counted among these. When there is none, waits
    /// up to a second while silent connections are written to: only that shows whose client has
    /// left.
    pub async fn claim(
        &self,
        request: AdmissionRequest,
        timeouts: Timeouts,
        metrics: &Arc<ClientMetrics>,
    ) -> Result<Admission, LimitReached> {
        let AdmissionRequest {
            keys,
            address,
            metadata,
        } = request;
        let permits = self
            .permits(keys, address, Instant::now() + ADMISSION_TIMEOUT)
            .await;
        let (streams, permits) = permits.inspect_err(|&full| metrics.refuse(full.into()))?;
        let mut membership = Membership::new(permits, metrics.enter(), Arc::clone(&self.0.counts));
        membership.follow(streams);
        let limits = membership.limits();
        let liveness = Arc::new(Liveness::new(
            Identity::new(metadata, address),
            membership,
            timeouts,
            Arc::clone(metrics),
        ));
        self.0.node.add(&liveness);
        for limit in limits {
            limit.add(&liveness);
        }
        self.0.rounds.get_or_init(|| {
            tokio::spawn(check_all(Arc::downgrade(&self.0)));
        });
        Ok(Admission::new(liveness, self.clone()))
    }

    /// The narrowest limits come first, so that those who are past them are in nobody else's way
    /// while they wait.
    async fn permits(
        &self,
        mut keys: Vec<StreamKey>,
        address: Option<IpAddr>,
        deadline: Instant,
    ) -> Result<(Vec<(StreamKey, StreamPermit)>, Permits), LimitReached> {
        let address = match (&self.0.addresses, address) {
            (Some(limits), Some(address)) => Some(
                limits
                    .acquire(address.into(), deadline)
                    .await
                    .ok_or(LimitReached::Address(limits.max()))?,
            ),
            _ => None,
        };
        // In one order, so that no two newcomers each wait for what the other has.
        keys.sort_unstable();
        let mut streams = Vec::with_capacity(keys.len());
        for key in keys {
            let permit = match &self.0.streams {
                Some(limits) => Some(
                    limits
                        .acquire(key.clone(), deadline)
                        .await
                        .ok_or(LimitReached::Stream(limits.max()))?,
                ),
                None => None,
            };
            streams.push((key, permit));
        }
        let node = self
            .0
            .node
            .acquire(deadline)
            .await
            .ok_or(LimitReached::Node(self.max()))?;
        Ok((
            streams,
            Permits {
                _node: node,
                address,
            },
        ))
    }

    /// A place in a stream's group, if there is a limit: now, or not at all.
    pub(super) fn permit_now(&self, key: &StreamKey) -> Result<StreamPermit, LimitReached> {
        let Some(limits) = &self.0.streams else {
            return Ok(None);
        };
        limits
            .try_acquire(key.clone())
            .ok_or(LimitReached::Stream(limits.max()))
            .map(Some)
    }

    /// How many clients of the node follow the stream.
    #[must_use]
    pub fn followers(&self, key: &StreamKey) -> u32 {
        self.0.counts.of(key)
    }

    /// The subscriber counts of this node's streams.
    #[must_use]
    pub fn counts(&self) -> Arc<SubscriberCounts> {
        Arc::clone(&self.0.counts)
    }

    /// The node's clients as they are now, in the order in which they came: those of a stream and
    /// those with a tag, where these are given.
    #[must_use]
    pub fn clients(&self, key: Option<&StreamKey>, tag: Option<&str>) -> Vec<SessionInfo> {
        let is_wanted = |liveness: &Liveness| {
            tag.is_none_or(|tag| liveness.identity.has_tag(tag))
                && key.is_none_or(|key| liveness.follows(key))
        };
        // Taken first and looked at then, so that nobody who comes has to wait for it.
        let present = self.0.node.present();
        present
            .into_iter()
            .filter(|liveness| is_wanted(liveness))
            .filter_map(|liveness| liveness.describe())
            .collect()
    }

    /// Lets a client go; whether there was one with this id.
    #[must_use]
    pub fn disconnect(&self, id: SessionId) -> bool {
        self.0
            .node
            .present()
            .iter()
            .any(|liveness| liveness.identity.id == id && liveness.disconnect())
    }
}

/// Looks after all clients, round by round, for as long as there are slots.
async fn check_all(registry: Weak<Inner>) {
    loop {
        let Some(registry) = registry.upgrade().map(Registry) else {
            return;
        };
        let lifecycle = registry.0.lifecycle.clone();
        let closing = lifecycle.closing_progress();
        registry.0.node.retain(|liveness| {
            liveness.check(closing);
            true
        });
        drop(registry);
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
    use super::*;
    use crate::{
        session::liveness::Signal,
        telemetry::metrics::{Metrics, Transport},
    };

    const TIMEOUTS: Timeouts = Timeouts {
        heartbeat: Duration::from_secs(5),
        idle: Duration::from_secs(12),
    };

    fn limited(limits: Limits) -> Registry {
        Registry::new(limits, Gauge::default(), Lifecycle::default())
    }

    fn registry(node: usize) -> Registry {
        limited(Limits {
            node,
            per_stream: 0,
            per_address: 0,
        })
    }

    async fn claim(registry: &Registry) -> Result<Admission, LimitReached> {
        claim_from(registry, "chat", "192.0.2.1").await
    }

    async fn claim_from(
        registry: &Registry,
        key: &str,
        address: &str,
    ) -> Result<Admission, LimitReached> {
        let metadata = ClientMetadata {
            transport: Transport::Sse,
            name: None,
            tags: Box::default(),
            filter: None,
        };
        let request = AdmissionRequest {
            keys: vec![key.parse().unwrap()],
            address: Some(address.parse().unwrap()),
            metadata,
        };
        registry
            .claim(
                request,
                TIMEOUTS,
                Metrics::new(None, 1).clients(Transport::Sse),
            )
            .await
    }

    async fn next_call(admission: &Admission) -> Signal {
        std::future::poll_fn(|context| {
            admission
                .poll_signal(context)
                .map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_waits_a_second_and_is_then_refused() {
        let registry = registry(1);
        let _taken = claim(&registry).await.unwrap();
        let begun = Instant::now();
        assert!(claim(&registry).await.is_err());
        assert_eq!(begun.elapsed().as_secs(), 1);
        assert_eq!(registry.in_use(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_gets_the_slot_of_a_client_that_a_probe_showed_to_be_gone() {
        let registry = registry(1);
        let taken = claim(&registry).await.unwrap();
        let leave = async move {
            assert_eq!(next_call(&taken).await, Signal::Heartbeat);
            drop(taken);
        };
        let ((), request) = tokio::join!(leave, claim(&registry));
        assert!(request.is_ok());
        drop(request);
        assert_eq!(registry.in_use(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_calls_for_heartbeats_and_the_lack_of_events_for_the_end() {
        let registry = registry(1);
        let admission = claim(&registry).await.unwrap();
        let begun = Instant::now();
        for beat in 1..=2 {
            assert_eq!(next_call(&admission).await, Signal::Heartbeat);
            admission.record_output(false);
            assert_eq!(begun.elapsed().as_secs(), 5 * beat);
        }
        assert_eq!(next_call(&admission).await, Signal::Idle);
        assert_eq!(begun.elapsed().as_secs(), 12);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_loses_its_slot() {
        let registry = registry(1);
        let admission = claim(&registry).await.unwrap();
        admission.given();
        sleep(Duration::from_secs(11)).await;
        assert_eq!(registry.in_use(), 1);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(registry.in_use(), 0);
        drop(admission);
        assert_eq!(registry.in_use(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn clients_are_called_to_close_over_the_time_that_there_is() {
        let lifecycle = Lifecycle::default();
        let registry = Registry::new(
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
            let admission = claim(&registry).await.unwrap();
            while next_call(&admission).await != Signal::Close {}
            begun.elapsed()
        });
        let (times, ()) = tokio::join!(futures::future::join_all(clients), async {
            lifecycle.close(Duration::from_secs(5));
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
        let registry = limited(Limits {
            node: 3,
            per_stream: 2,
            per_address: 2,
        });
        let first = [
            claim_from(&registry, "a", "192.0.2.1").await.unwrap(),
            claim_from(&registry, "a", "192.0.2.2").await.unwrap(),
        ];
        assert_eq!(
            claim_from(&registry, "a", "192.0.2.1").await.unwrap_err(),
            LimitReached::Stream(2)
        );
        // The one that was refused does not count for its address.
        let second = claim_from(&registry, "b", "192.0.2.1").await.unwrap();
        assert_eq!(
            claim_from(&registry, "c", "192.0.2.1").await.unwrap_err(),
            LimitReached::Address(2)
        );
        assert_eq!(
            claim_from(&registry, "c", "192.0.2.3").await.unwrap_err(),
            LimitReached::Node(3)
        );
        drop((first, second));
        let _again = [
            claim_from(&registry, "c", "192.0.2.3").await.unwrap(),
            claim_from(&registry, "c", "192.0.2.3").await.unwrap(),
        ];
        assert_eq!(
            claim_from(&registry, "c", "192.0.2.3").await.unwrap_err(),
            LimitReached::Address(2)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_clients_of_the_same_stream_are_probed_for_a_place_in_it() {
        let registry = limited(Limits {
            node: 10,
            per_stream: 1,
            per_address: 0,
        });
        let (taken, other) = (
            claim_from(&registry, "a", "::1").await.unwrap(),
            claim_from(&registry, "b", "::1").await.unwrap(),
        );
        sleep(Duration::from_secs(1)).await;
        let leave = async move {
            assert_eq!(next_call(&taken).await, Signal::Heartbeat);
            drop(taken);
        };
        let ((), request) = tokio::join!(leave, claim_from(&registry, "a", "::1"));
        assert!(request.is_ok());
        assert!(
            futures::poll!(Box::pin(next_call(&other))).is_pending(),
            "nobody wanted its membership"
        );
    }

    #[tokio::test]
    async fn of_clients_that_come_and_go_none_is_remembered_for_long() {
        let registry = limited(Limits {
            node: 10,
            per_stream: 5,
            per_address: 0,
        });
        let stays = claim(&registry).await.unwrap();
        let limit = registry
            .permit_now(&"chat".parse().unwrap())
            .unwrap()
            .unwrap()
            .limit();
        for _ in 0..1000 {
            drop(claim(&registry).await.unwrap());
            assert!(limit.remembered() < 20, "{}", limit.remembered());
        }
        drop(stays);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn however_many_come_and_go_at_once_no_limit_is_passed() {
        let registry = limited(Limits {
            node: 100,
            per_stream: 3,
            per_address: 0,
        });
        let inside = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let clients = (0..200).map(|_| {
            let (registry, inside) = (registry.clone(), Arc::clone(&inside));
            tokio::spawn(async move {
                for _ in 0..20 {
                    let Ok(admission) = claim(&registry).await else {
                        continue;
                    };
                    assert!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 3);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    drop(admission);
                }
            })
        });
        futures::future::try_join_all(clients).await.unwrap();
        assert_eq!(registry.in_use(), 0);
    }
}
