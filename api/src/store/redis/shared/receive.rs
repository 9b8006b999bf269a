//! The subscription's life: made, listened on, probed, and made anew when it fails.

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
    hub::{Hub, repair, upgrade},
    pubsub::PubSubConnection,
    topic::{Health, Topic},
};
use crate::{
    store::{
        StoreError, StoreFault,
        redis::{
            connections::DeliveryConnections, fault, keys::Keys, primary::PrimaryWatch,
            store::Inner,
        },
    },
    telemetry::metrics::{Cause, Operation, SharedMetrics},
};

/// How long a topic is kept when its last client has left: one that was cut off comes back soon.
const LINGER: Duration = Duration::from_secs(5);

/// How often topics are looked through, and the subscription is probed.
const TICK: Duration = Duration::from_secs(1);

/// Ticks without a probe's coming back after which the subscription counts as deaf.
const DEAF_AFTER: u64 = 3;

/// Delays between attempts to connect, each with jitter.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// The longest time between attempts to follow topics whose part of the store is down.
const LAST_RETRY_DOWN: Duration = Duration::from_secs(8);

/// Keeps the subscription, for as long as the store is there.
pub(in super::super) async fn run(
    store: Weak<Inner>,
    mut wants: mpsc::UnboundedReceiver<Arc<Topic>>,
) {
    let Some((mut primaries, metrics)) = upgrade(&store).map(|(store, hub)| {
        (
            store.0.primary.primaries(),
            SharedMetrics::clone(&hub.metrics),
        )
    }) else {
        return;
    };
    let mut delay = FIRST_RETRY;
    loop {
        let link = primaries.borrow_and_update().clone();
        let Some(DeliveryConnections::Shared(subscriber)) = link.as_deref().map(|link| &link.live)
        else {
            // Nobody has said yet where the primary is.
            match primaries.changed().await {
                Ok(()) => continue,
                Err(_) => return,
            }
        };
        let ears = Weak::clone(&store);
        let error = match subscriber.connect(move |push| Hub::hear(&ears, push)).await {
            Ok(connection) => {
                let Err(error) = serve(&store, connection, &mut wants, &mut primaries).await else {
                    return;
                };
                metrics.redis.subscription_losses.inc();
                error
            }
            Err(error) => {
                metrics.redis.fail(Operation::Subscribe);
                SubscriptionLost::Redis(error)
            }
        };
        let Some((_, hub)) = upgrade(&store) else {
            return;
        };
        if hub.is_hearing() {
            // Only one that held: a user may be allowed to connect, but not to subscribe.
            delay = FIRST_RETRY;
        }
        hub.set_connected(false);
        hub.fail(error.into());
        for topic in hub.topics().values() {
            topic.set_health(Health::Down);
        }
        // The next connection subscribes to all topics that there are then. So none has to be kept
        // for it.
        while wants.try_recv().is_ok() {}
        let_go(&hub);
        drop(hub);
        sleep(delay.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        delay = (delay * 2).min(LAST_RETRY);
    }
}

/// Why a subscription is over.
#[derive(Debug, thiserror::Error)]
enum SubscriptionLost {
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("the connection was closed")]
    Closed,
    #[error("it has gone deaf")]
    Deaf,
    #[error("another server has become the primary")]
    Moved,
}

impl From<SubscriptionLost> for StoreError {
    fn from(lost: SubscriptionLost) -> Self {
        match lost {
            SubscriptionLost::Redis(error) => fault::failed(&error),
            SubscriptionLost::Closed => Self::Refused {
                fault: StoreFault::Closed,
                detail: lost.to_string(),
            },
            SubscriptionLost::Deaf => Self::Refused {
                fault: StoreFault::Deaf,
                detail: lost.to_string(),
            },
            SubscriptionLost::Moved => Self::Unavailable(lost.to_string()),
        }
    }
}

/// One connection's life. `Ok`: the store is no more.
async fn serve(
    store: &Weak<Inner>,
    mut connection: PubSubConnection,
    wants: &mut mpsc::UnboundedReceiver<Arc<Topic>>,
    primaries: &mut PrimaryWatch,
) -> Result<(), SubscriptionLost> {
    let Some((_, hub)) = upgrade(store) else {
        return Ok(());
    };
    connection.subscribe(&hub.probe_channels).await?;
    hub.set_connected(true);
    let all: Vec<Arc<Topic>> = hub.topics().values().cloned().collect();
    // A loss that was noticed before this connection was made says nothing about it.
    let _ = timeout(Duration::ZERO, hub.lost.notified()).await;
    hub.unheard().clear();
    drop(hub);
    follow(store, &mut connection, all).await?;

    let (mut retry, mut retry_after) = (Instant::now() + TICK, TICK);
    // Probes are numbered from anywhere, so that those of a connection before are none of this
    // one's.
    let (mut ticks, mut tick, mut next) = (interval(TICK), 0, fastrand::u64(..u64::MAX / 2));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let Some((_, hub)) = upgrade(store) else {
            return Ok(());
        };
        tokio::select! {
            topic = wants.recv() => {
                let Some(topic) = topic else { return Ok(()) };
                // Those that came meanwhile go with it.
                let others = std::iter::from_fn(|| wants.try_recv().ok());
                let topics = std::iter::once(topic).chain(others).collect();
                follow(store, &mut connection, topics).await?;
            }
            () = hub.lost.notified() => return Err(SubscriptionLost::Closed),
            Ok(()) = primaries.changed() => return Err(SubscriptionLost::Moved),
            _ = ticks.tick() => {
                let oldest = hub.unheard().first_key_value().map(|(_, &tick)| tick);
                if oldest.is_some_and(|oldest| tick > oldest + DEAF_AFTER) {
                    return Err(SubscriptionLost::Deaf);
                }
                // First all of them: shards of a Cluster may be down, and what shows that the
                // others are heard is not to wait for its turn.
                let probes = if tick == 0 { hub.probe_channels.len() as u64 } else { 1 };
                for probe in next..next + probes {
                    send_probe(store, probe, tick);
                }
                (tick, next) = (tick + 1, next + probes);
                look(store, &mut connection).await?;
                if retry <= Instant::now() {
                    // A part of a Cluster that is down costs the other parts something with each
                    // attempt.
                    retry_after = if follow_again(store, &mut connection).await? { (retry_after * 2).min(LAST_RETRY_DOWN) } else { TICK };
                    retry = Instant::now() + retry_after;
                }
            }
        }
    }
}

/// Publishes a message that the node should hear. It goes the way of all writes: were it published
/// over the subscription's own connection, one that leads to the wrong server would hear itself.
fn send_probe(store: &Weak<Inner>, probe: u64, tick: u64) {
    let Some((store, hub)) = upgrade(store) else {
        return;
    };
    let Some(channel) = usize::try_from(probe).ok().and_then(|n| {
        hub.probe_channels
            .get(n % hub.probe_channels.len())
            .cloned()
    }) else {
        return;
    };
    hub.unheard().insert(probe, tick);
    tokio::spawn(async move {
        let verb = if store.0.primary.is_cluster() {
            "SPUBLISH"
        } else {
            "PUBLISH"
        };
        let command = &redis::cmd(verb).arg(channel).arg(probe).to_owned();
        let run = |mut connection| async move { command.query_async(&mut connection).await };
        if let Err(error) = store.0.primary.run(Operation::Ping, run).await {
            // What was not sent is not missed.
            hub.unheard().remove(&probe);
            // Other failures are the store's own, and are reported as such.
            if matches!(
                error,
                StoreError::Refused {
                    fault: StoreFault::Forbidden(_),
                    ..
                }
            ) {
                hub.set_deaf();
                hub.fail(error);
            }
        }
    });
}

/// Subscribes to the topics' channels, and then reads what was written before that.
async fn follow(
    store: &Weak<Inner>,
    connection: &mut PubSubConnection,
    topics: Vec<Arc<Topic>>,
) -> RedisResult<()> {
    let Some((store, hub)) = upgrade(store) else {
        return Ok(());
    };
    for topics in topics.chunks(1000) {
        let channels: Vec<String> = topics
            .iter()
            .map(|topic| Keys::new(&hub.prefix, &topic.key).live)
            .collect();
        let failed = connection.subscribe(&channels).await?;
        for (topic, channel) in topics.iter().zip(&channels) {
            if failed.contains(channel) {
                topic.set_health(Health::Down);
            } else {
                topic.set_health(Health::Unsure);
                repair(&store, Arc::clone(topic), Cause::Subscription);
            }
        }
    }
    Ok(())
}

/// Tries again the topics that could not be subscribed to, or not be read, although the connection
/// is there. Whether there were any.
async fn follow_again(store: &Weak<Inner>, connection: &mut PubSubConnection) -> RedisResult<bool> {
    let Some((_, hub)) = upgrade(store) else {
        return Ok(false);
    };
    let down: Vec<Arc<Topic>> = hub
        .topics()
        .values()
        .filter(|topic| topic.is_down())
        .cloned()
        .collect();
    let any = !down.is_empty();
    follow(store, connection, down).await?;
    Ok(any)
}

/// Lets go of topics that nobody needs, and asks the store about those that have been silent for
/// long.
async fn look(store: &Weak<Inner>, connection: &mut PubSubConnection) -> RedisResult<()> {
    let Some((store, hub)) = upgrade(store) else {
        return Ok(());
    };
    let idle = let_go(&hub);
    for topic in hub.topics().values() {
        if topic.take_due_check() {
            repair(&store, Arc::clone(topic), Cause::Silence);
        }
    }
    if !idle.is_empty() {
        connection.unsubscribe(&idle).await?;
    }
    Ok(())
}

/// Lets go of topics that nobody needs; their channels.
fn let_go(hub: &Hub) -> Vec<String> {
    let mut topics = hub.topics();
    let idle: Vec<String> = topics
        .extract_if(|_, topic| topic.is_idle(LINGER))
        .map(|(channel, _)| channel)
        .collect();
    hub.count_topics(&topics);
    idle
}
