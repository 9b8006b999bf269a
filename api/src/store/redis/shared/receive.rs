//! The task that keeps the node's subscription: it connects, subscribes to the topics, checks the
//! connection with probes, and connects again when it fails.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use deadpool_redis::redis::{self, RedisError, RedisResult};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    hub::Hub,
    topic::{Health, Topic},
};
use crate::{
    store::{
        StoreError, StoreFault,
        redis::{
            connections::DeliveryConnections, fault, primary::PrimaryWatch,
            pubsub::PubSubConnection,
        },
    },
    telemetry::metrics::{Cause, Operation},
};

/// How long a topic is kept after its last subscriber. A subscriber that was cut off returns soon.
const LINGER: Duration = Duration::from_secs(5);

/// The time between two probes of the subscription, and between two checks of all topics.
const TICK: Duration = Duration::from_secs(1);

/// Ticks after which a probe that was not received makes the subscription count as lost.
const PROBE_TIMEOUT_TICKS: u64 = 3;

/// Delays between attempts to connect, each with jitter.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// The longest delay between attempts to subscribe to topics whose part of the store is down.
const LAST_RETRY_DOWN: Duration = Duration::from_secs(8);

type NewTopics = mpsc::UnboundedReceiver<Arc<Topic>>;

/// Keeps the subscription as long as the hub exists.
pub(in super::super) async fn run(hub: Weak<Hub>, mut new_topics: NewTopics) {
    let Some(mut primaries) = hub.upgrade().map(|hub| hub.reader.primary.watch()) else {
        return;
    };
    let mut delay = FIRST_RETRY;
    loop {
        let connections = primaries.borrow_and_update().clone();
        let Some(DeliveryConnections::Shared(client)) =
            connections.as_deref().map(|connections| &connections.live)
        else {
            // No Sentinel has named a primary yet.
            match primaries.changed().await {
                Ok(()) => continue,
                Err(_) => return,
            }
        };
        let receiver = Weak::clone(&hub);
        let receive = move |push| {
            if let Some(hub) = receiver.upgrade() {
                hub.receive(push);
            }
        };
        let connection = client.connect(receive).await;
        let is_connected = connection.is_ok();
        let error = match connection {
            Ok(connection) => {
                match serve(&hub, connection, &mut new_topics, &mut primaries).await {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
            Err(error) => SubscriptionLost::Redis(error),
        };
        let Some(hub) = hub.upgrade() else {
            return;
        };
        if is_connected {
            hub.reader.metrics.redis.subscription_losses.inc();
        } else {
            hub.reader.metrics.redis.fail(Operation::Subscribe);
        }
        if hub.is_healthy() {
            // Only after a healthy subscription: a user may have the right to connect, but not the
            // right to subscribe.
            delay = FIRST_RETRY;
        }
        hub.set_connected(false);
        hub.fail(error.into());
        for topic in hub.topics().values() {
            topic.set_health(Health::Down);
        }
        // The next connection subscribes to all topics that exist then, so none has to be kept
        // here.
        while new_topics.try_recv().is_ok() {}
        remove_idle(&hub);
        drop(hub);
        sleep(delay.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        delay = (delay * 2).min(LAST_RETRY);
    }
}

/// Why a subscription ended.
#[derive(Debug, thiserror::Error)]
enum SubscriptionLost {
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("the connection was closed")]
    Closed,
    #[error("the node did not receive its own messages")]
    ProbeTimeout,
    #[error("another server has become the primary")]
    Moved,
}

impl From<SubscriptionLost> for StoreError {
    fn from(lost: SubscriptionLost) -> Self {
        match lost {
            SubscriptionLost::Redis(error) => fault::from_redis(&error),
            SubscriptionLost::Closed => Self::Refused {
                fault: StoreFault::Closed,
                detail: lost.to_string(),
            },
            SubscriptionLost::ProbeTimeout => Self::Refused {
                fault: StoreFault::SubscriptionUnhealthy,
                detail: lost.to_string(),
            },
            SubscriptionLost::Moved => Self::Unavailable(lost.to_string()),
        }
    }
}

/// Serves one connection. `Ok`: the hub no longer exists.
async fn serve(
    weak: &Weak<Hub>,
    mut connection: PubSubConnection,
    new_topics: &mut NewTopics,
    primaries: &mut PrimaryWatch,
) -> Result<(), SubscriptionLost> {
    let Some(hub) = weak.upgrade() else {
        return Ok(());
    };
    connection.subscribe(&hub.probe_channels).await?;
    hub.set_connected(true);
    let all: Vec<Arc<Topic>> = hub.topics().values().cloned().collect();
    // A loss that was noticed before this connection was made says nothing about it.
    let _ = timeout(Duration::ZERO, hub.lost.notified()).await;
    hub.pending_probes().clear();
    subscribe(&hub, &mut connection, all).await?;
    drop(hub);

    let (mut retry, mut retry_after) = (Instant::now() + TICK, TICK);
    let mut probes = Probes::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let Some(hub) = weak.upgrade() else {
            return Ok(());
        };
        tokio::select! {
            biased;
            () = hub.lost.notified() => return Err(SubscriptionLost::Closed),
            Ok(()) = primaries.changed() => return Err(SubscriptionLost::Moved),
            _ = ticks.tick() => {
                probes.send(&hub)?;
                check_topics(&hub, &mut connection).await?;
                if retry <= Instant::now() {
                    // Each attempt at a part of a Cluster that is down delays the other parts.
                    retry_after = if subscribe_again(&hub, &mut connection).await? {
                        (retry_after * 2).min(LAST_RETRY_DOWN)
                    } else {
                        TICK
                    };
                    retry = Instant::now() + retry_after;
                }
            }
            topic = new_topics.recv() => {
                let Some(topic) = topic else { return Ok(()) };
                // One command subscribes to all topics that were added meanwhile.
                let others = std::iter::from_fn(|| new_topics.try_recv().ok());
                let topics = std::iter::once(topic).chain(others).collect();
                subscribe(&hub, &mut connection, topics).await?;
            }
        }
    }
}

/// The probes of one connection: messages that the node sends to itself.
struct Probes {
    tick: u64,
    /// The number of the next probe. The first is random, so that a late probe of an earlier
    /// connection is not taken for one of this connection.
    next: u64,
}

impl Probes {
    fn new() -> Self {
        Self {
            tick: 0,
            next: fastrand::u64(..u64::MAX / 2),
        }
    }

    /// Sends the probes of this tick.
    ///
    /// Errors: a probe of an earlier tick is overdue.
    fn send(&mut self, hub: &Arc<Hub>) -> Result<(), SubscriptionLost> {
        let oldest = hub
            .pending_probes()
            .first_key_value()
            .map(|(_, &tick)| tick);
        if oldest.is_some_and(|oldest| self.tick > oldest + PROBE_TIMEOUT_TICKS) {
            return Err(SubscriptionLost::ProbeTimeout);
        }
        // In the first tick one for each channel: shards of a Cluster may be down, and the node
        // should learn at once that the others work.
        let count = if self.tick == 0 {
            hub.probe_channels.len() as u64
        } else {
            1
        };
        for probe in self.next..self.next + count {
            send_probe(hub, probe, self.tick);
        }
        (self.tick, self.next) = (self.tick + 1, self.next + count);
        Ok(())
    }
}

/// Publishes a message that the node should receive. It goes over the connections for writes. Over
/// the subscription's own connection, a node that is connected to the wrong server would receive
/// it.
fn send_probe(hub: &Arc<Hub>, probe: u64, tick: u64) {
    let Some(channel) = usize::try_from(probe).ok().and_then(|n| {
        hub.probe_channels
            .get(n % hub.probe_channels.len())
            .cloned()
    }) else {
        return;
    };
    hub.pending_probes().insert(probe, tick);
    let hub = Arc::clone(hub);
    tokio::spawn(async move {
        let primary = &hub.reader.primary;
        let verb = if primary.is_cluster() {
            "SPUBLISH"
        } else {
            "PUBLISH"
        };
        let mut publish = redis::cmd(verb);
        publish.arg(channel).arg(probe);
        if let Err(error) = primary.query(Operation::Ping, &publish).await {
            // The node does not wait for a probe that was not sent.
            hub.pending_probes().remove(&probe);
            // Other failures concern the whole store, which reports them.
            if matches!(
                error,
                StoreError::Refused {
                    fault: StoreFault::Forbidden(_),
                    ..
                }
            ) {
                hub.set_healthy(false);
                hub.fail(error);
            }
        }
    });
}

/// Subscribes to the topics' channels, and then reads what was written before that.
async fn subscribe(
    hub: &Arc<Hub>,
    connection: &mut PubSubConnection,
    topics: Vec<Arc<Topic>>,
) -> RedisResult<()> {
    for topics in topics.chunks(1000) {
        let channels: Vec<String> = topics
            .iter()
            .map(|topic| hub.reader.keys(&topic.key).live)
            .collect();
        let failed = connection.subscribe(&channels).await?;
        for (topic, channel) in topics.iter().zip(&channels) {
            if failed.contains(channel) {
                topic.set_health(Health::Down);
            } else {
                topic.set_health(Health::Unsure);
                hub.repair(Arc::clone(topic), Cause::Subscription);
            }
        }
    }
    Ok(())
}

/// Subscribes again to topics that failed although the connection works: their channel could not be
/// subscribed to, or the store could not be read. Returns whether there were any.
async fn subscribe_again(hub: &Arc<Hub>, connection: &mut PubSubConnection) -> RedisResult<bool> {
    let down: Vec<Arc<Topic>> = hub
        .topics()
        .values()
        .filter(|topic| topic.is_down())
        .cloned()
        .collect();
    let any = !down.is_empty();
    subscribe(hub, connection, down).await?;
    Ok(any)
}

/// Removes topics without subscribers, and reads those from the store that had no message for long.
async fn check_topics(hub: &Arc<Hub>, connection: &mut PubSubConnection) -> RedisResult<()> {
    let idle = remove_idle(hub);
    for topic in hub.topics().values() {
        if topic.take_due_check() {
            hub.repair(Arc::clone(topic), Cause::Silence);
        }
    }
    if !idle.is_empty() {
        connection.unsubscribe(&idle).await?;
    }
    Ok(())
}

/// Removes topics without subscribers. Returns their channels.
fn remove_idle(hub: &Hub) -> Vec<String> {
    let mut topics = hub.topics();
    let idle: Vec<String> = topics
        .extract_if(|_, topic| topic.is_idle(LINGER))
        .map(|(channel, _)| channel)
        .collect();
    hub.count_topics(&topics);
    idle
}
