//! The registry of the node's sessions: it admits subscribers, checks their liveness, and lists
//! them.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    address::AddressBlock,
    admission::{Admission, NodeState},
    limits::{ConnectionLimit, KeyedLimits, LimitReached, Limits, Member},
    liveness::{Liveness, Timeouts},
    membership::{Membership, Permits, StreamPermit},
    metadata::{ClientMetadata, Identity, SessionId, SessionInfo},
};
use crate::{
    lifecycle::Lifecycle,
    presence::SubscriberCounts,
    stream::{SharedPosition, StreamKey},
    telemetry::metrics::ClientMetrics,
};

/// How long a subscriber waits for admission while the registry looks for subscribers that left.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(1);

/// Time between two checks of all sessions. It is how exactly their timeouts are kept.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// The same during a shutdown, when sessions close one after the other.
const SHUTDOWN_CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// A subscriber that asks to be admitted.
#[derive(Clone, Debug)]
pub struct AdmissionRequest {
    /// Its streams, each once, and its position in each. There may be none yet.
    pub streams: Vec<(StreamKey, SharedPosition)>,
    /// Its address. None counts against no limit.
    pub address: Option<IpAddr>,
    /// What operators see of it.
    pub metadata: ClientMetadata,
}

/// All sessions of the node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sessions: ConnectionLimit<Liveness>,
    addresses: Option<Arc<KeyedLimits<AddressBlock>>>,
    node: Arc<NodeState>,
    counts: Arc<SubscriberCounts>,
    lifecycle: Lifecycle,
    /// Set when the task that checks the sessions has started.
    checks: OnceLock<()>,
}

impl Registry {
    /// A registry with these limits. It keeps the counts of subscribers.
    #[must_use]
    pub fn new(limits: Limits, counts: Arc<SubscriberCounts>, lifecycle: Lifecycle) -> Self {
        Self(Arc::new(Inner {
            sessions: ConnectionLimit::new(limits.node),
            addresses: KeyedLimits::new(limits.per_address),
            node: Arc::new(NodeState::new(KeyedLimits::new(limits.per_stream))),
            counts,
            lifecycle,
            checks: OnceLock::new(),
        }))
    }

    /// The most sessions that there may be.
    #[must_use]
    pub fn max(&self) -> usize {
        self.0.sessions.max()
    }

    /// How many sessions there are.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.0.sessions.in_use()
    }

    /// Whether a subscriber of this stream, from this address, would have to wait for admission.
    #[must_use]
    pub fn is_full(&self, key: &StreamKey, address: Option<IpAddr>) -> bool {
        let Inner {
            sessions,
            addresses,
            node,
            ..
        } = &*self.0;
        let is_full_for = |(limits, address): (&Arc<KeyedLimits<AddressBlock>>, IpAddr)| {
            limits.is_full(&address.into())
        };
        sessions.in_use() >= sessions.max()
            || node
                .stream_limits
                .as_ref()
                .is_some_and(|limits| limits.is_full(key))
            || addresses.as_ref().zip(address).is_some_and(is_full_for)
    }

    /// Admits a subscriber. While a limit is reached it waits, for up to a second, and probes
    /// silent sessions, because only a write shows that a subscriber has left.
    ///
    /// Errors: the limit is still reached then; `metrics` count the refusal.
    pub async fn admit(
        &self,
        request: AdmissionRequest,
        timeouts: Timeouts,
        metrics: &Arc<ClientMetrics>,
    ) -> Result<Admission, LimitReached> {
        let AdmissionRequest {
            streams,
            address,
            metadata,
        } = request;
        let deadline = Instant::now() + ADMISSION_TIMEOUT;
        let permits = self.acquire(streams, address, deadline).await;
        let (streams, permits) = permits.inspect_err(|&reached| metrics.refuse(reached.into()))?;
        let mut membership =
            Membership::new(permits, metrics.connect(), Arc::clone(&self.0.counts));
        membership.add(streams);
        let limits = membership.limits();
        let liveness = Arc::new(Liveness::new(
            Identity::new(metadata, address),
            membership,
            timeouts,
            Arc::clone(metrics),
        ));
        self.0.sessions.add(&liveness);
        for limit in limits {
            let member: Arc<dyn Member> = Arc::<Liveness>::clone(&liveness);
            limit.add(&member);
        }
        self.0.checks.get_or_init(|| {
            tokio::spawn(check_all(Arc::downgrade(&self.0)));
        });
        Ok(Admission::new(liveness, Arc::clone(&self.0.node)))
    }

    /// Takes all permits. The narrowest limits come first: a subscriber that waits for one of them
    /// holds nothing that other subscribers could have.
    async fn acquire(
        &self,
        mut streams: Vec<(StreamKey, SharedPosition)>,
        address: Option<IpAddr>,
        deadline: Instant,
    ) -> Result<(Vec<(StreamKey, SharedPosition, StreamPermit)>, Permits), LimitReached> {
        let address = match (&self.0.addresses, address) {
            (Some(limits), Some(address)) => {
                let permit = limits.acquire(address.into(), deadline).await;
                Some(permit.ok_or(LimitReached::Address(limits.max()))?)
            }
            _ => None,
        };
        // In one order, so that no two subscribers each wait for what the other has.
        streams.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let mut with_permits = Vec::with_capacity(streams.len());
        for (key, position) in streams {
            let permit = match &self.0.node.stream_limits {
                Some(limits) => {
                    let permit = limits.acquire(key.clone(), deadline).await;
                    Some(permit.ok_or(LimitReached::Stream(limits.max()))?)
                }
                None => None,
            };
            with_permits.push((key, position, permit));
        }
        let node = self.0.sessions.acquire(deadline).await;
        let permits = Permits {
            _node: node.ok_or(LimitReached::Node(self.max()))?,
            address,
        };
        Ok((with_permits, permits))
    }

    /// How many of the node's sessions follow the stream.
    #[must_use]
    pub fn subscribers(&self, key: &StreamKey) -> u32 {
        self.0.counts.of(key)
    }

    /// The subscriber counts of this node's streams.
    #[must_use]
    pub fn counts(&self) -> Arc<SubscriberCounts> {
        Arc::clone(&self.0.counts)
    }

    /// The node's sessions as they are now, in the order in which they were admitted. With a key,
    /// those that follow the stream; with a tag, those that have it.
    #[must_use]
    pub fn sessions(&self, key: Option<&StreamKey>, tag: Option<&str>) -> Vec<SessionInfo> {
        let is_wanted = |session: &Arc<Liveness>| {
            tag.is_none_or(|tag| session.identity.has_tag(tag))
                && key.is_none_or(|key| session.has_stream(key))
        };
        // The list is taken first and read afterwards, so that no new subscriber waits for it.
        let sessions = self.0.sessions.members().into_iter();
        sessions
            .filter(is_wanted)
            .filter_map(|session| session.describe())
            .collect()
    }

    /// Disconnects a subscriber; whether the node has a session with this id.
    #[must_use]
    pub fn disconnect(&self, id: SessionId) -> bool {
        let sessions = self.0.sessions.members();
        sessions
            .iter()
            .any(|session| session.identity.id == id && session.disconnect())
    }
}

/// Checks all sessions again and again, while the registry exists.
async fn check_all(registry: Weak<Inner>) {
    loop {
        let Some(inner) = registry.upgrade() else {
            return;
        };
        let lifecycle = inner.lifecycle.clone();
        let shutdown = lifecycle.closing_progress();
        inner.sessions.for_each(|session| session.check(shutdown));
        drop(inner);
        if shutdown.is_some() {
            sleep(SHUTDOWN_CHECK_INTERVAL).await;
        } else {
            tokio::select! {
                biased;
                () = lifecycle.begins_to_close() => {}
                () = sleep(CHECK_INTERVAL) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
