//! A node's subscription for all topics, watched, and made anew when it fails.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool_redis::redis::{self, PushInfo, PushKind, RedisError, RedisResult, Value};
use tokio::{
    sync::{Notify, Semaphore, mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    super::{
        Inner, RedisStore,
        connect::LiveLink,
        keys::{self, Keys},
        primary::Links,
        published,
    },
    subscription::Subscription,
    topic::{Link, Repaired, Topic},
};
use crate::{
    config::Settings,
    metrics::{Cause, Operation, SharedMetrics},
    store::{Page, StoreError},
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

/// Topics that are read from the store at a time.
const REPAIRS: usize = 32;

/// All topics of a node.
pub(in super::super) struct Hub {
    /// By channel.
    topics: Mutex<HashMap<String, Arc<Topic>>>,
    connected: AtomicBool,
    /// Whether the node has heard itself over the connection that there is.
    hears: watch::Sender<bool>,
    /// Topics to be subscribed to. Not bounded by itself: one for each topic, of which there are at most as many as clients.
    wanted: mpsc::UnboundedSender<Arc<Topic>>,
    /// The channels by which the node hears itself, probed in turn.
    probe_channels: Vec<String>,
    /// Probes that have not come back.
    unheard: Mutex<BTreeSet<u64>>,
    lost: Notify,
    repairs: Semaphore,
    prefix: String,
    metrics: SharedMetrics,
}

/// A client's share of a topic; the topic is let go some time after the last.
pub(super) struct Joined(pub(super) Arc<Topic>);

impl Drop for Joined {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Hub {
    /// A hub for a store that is about to be; `run` makes it work.
    pub(in super::super) fn new(
        settings: &Settings,
        is_cluster: bool,
        metrics: SharedMetrics,
    ) -> (Self, mpsc::UnboundedReceiver<Arc<Topic>>) {
        let (wanted, wants) = mpsc::unbounded_channel();
        let hub = Self {
            topics: Mutex::default(),
            connected: AtomicBool::new(false),
            hears: watch::Sender::new(false),
            wanted,
            probe_channels: keys::probes(&settings.key_prefix, fastrand::u64(..), is_cluster),
            unheard: Mutex::default(),
            lost: Notify::new(),
            repairs: Semaphore::new(REPAIRS),
            prefix: settings.key_prefix.clone(),
            metrics,
        };
        (hub, wants)
    }

    /// How many connections it holds.
    pub(in super::super) fn connections(&self) -> usize {
        usize::from(self.connected.load(Ordering::Relaxed))
    }

    /// No code panics while it holds the lock, so that what is behind a poisoned one is whole.
    fn topics(&self) -> MutexGuard<'_, HashMap<String, Arc<Topic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unheard(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_topics(&self, topics: &HashMap<String, Arc<Topic>>) {
        self.metrics.redis.topics.set(i64::try_from(topics.len()).unwrap_or(i64::MAX));
    }

    fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Release);
        if !connected {
            self.set_hears(false);
        }
    }

    fn set_hears(&self, hears: bool) {
        self.metrics.redis.subscription_up.set(hears.into());
        self.hears.send_if_modified(|before| std::mem::replace(before, hears) != hears);
    }

    /// Resolves when the node hears what is written.
    pub(in super::super) async fn hears(&self) {
        // The sender is in `self`, so that the wait does not fail.
        let _ = self.hears.subscribe().wait_for(|&hears| hears).await;
    }

    /// Whether the channel is one that the node wants to hear.
    fn wants(&self, channel: &str) -> bool {
        self.topics().contains_key(channel) || self.probe_channels.iter().any(|probe| probe == channel)
    }

    /// The topic of the stream that the page was read from.
    pub(super) fn join(&self, page: &Page) -> Joined {
        let channel = Keys::new(&self.prefix, &page.key).live;
        let mut topics = self.topics();
        if let Some(topic) = topics.get(&channel).filter(|topic| topic.birth == page.info.birth && !topic.is_gone()) {
            topic.join();
            return Joined(Arc::clone(topic));
        }
        let link = if self.connected.load(Ordering::Acquire) { Link::Unsure } else { Link::Down };
        let topic = Arc::new(Topic::new(page, link));
        topic.join();
        if let Some(earlier) = topics.insert(channel, Arc::clone(&topic)) {
            earlier.gone();
        }
        self.count_topics(&topics);
        // Nobody receives any more only when the process ends.
        let _ = self.wanted.send(Arc::clone(&topic));
        Joined(topic)
    }

    /// Takes a message in the connection's own task: it must be quick.
    fn hear(store: &Weak<Inner>, push: PushInfo) {
        let Some((store, hub)) = upgrade(store) else { return };
        match (push.kind, push.data.as_slice()) {
            (PushKind::Disconnection, _) => hub.lost.notify_one(),
            // A Cluster's slot has moved, and its channels with it. What the node itself lets go it does not want any more.
            (PushKind::SUnsubscribe, [Value::BulkString(channel), ..])
                if std::str::from_utf8(channel).is_ok_and(|channel| hub.wants(channel)) =>
            {
                hub.lost.notify_one();
            }
            (PushKind::Message | PushKind::SMessage, [Value::BulkString(channel), Value::BulkString(message)]) => {
                let Ok(channel) = std::str::from_utf8(channel) else { return };
                let known = {
                    let topics = hub.topics();
                    topics.get(channel).cloned().map(|topic| (topic, topics.len()))
                };
                let Some((topic, topics)) = known else {
                    let probe = std::str::from_utf8(message).ok().and_then(|text| text.parse().ok());
                    if probe.is_some_and(|probe: u64| hub.unheard().remove(&probe)) {
                        hub.set_hears(true);
                    }
                    return;
                };
                let follows = published::decode(message).is_some_and(|message| topic.publish(message, topics));
                if !follows {
                    tracing::debug!(key = %topic.key, "a message was missed; the store is asked");
                    repair(&store, topic, Cause::Gap);
                }
            }
            _ => {}
        }
    }
}

fn upgrade(store: &Weak<Inner>) -> Option<(RedisStore, Arc<Hub>)> {
    let store = RedisStore(store.upgrade()?);
    let hub = store.hub()?;
    Some((store, hub))
}

/// Reads what the topic has missed, unless somebody does so already.
pub(super) fn repair(store: &RedisStore, topic: Arc<Topic>, cause: Cause) {
    if !topic.begin_repair() {
        return;
    }
    let store = store.clone();
    tokio::spawn(async move {
        let Some(hub) = store.hub() else { return };
        loop {
            // The semaphore is never closed.
            let Ok(_permit) = hub.repairs.acquire().await else { return };
            match store.page(&topic.key, Some(topic.newest())).await {
                Ok(page) if page.info.birth != topic.birth => return topic.gone(),
                Ok(page) => {
                    let topics = hub.topics().len();
                    let Repaired { complete, found } = topic.repair(page, topics);
                    hub.metrics.redis.catch_up(cause, Some(found));
                    if topic.end_repair(complete) {
                        return;
                    }
                }
                Err(StoreError::NotFound) => return topic.gone(),
                Err(error) => {
                    tracing::debug!(%error, key = %topic.key, "a topic could not be read");
                    hub.metrics.redis.catch_up(cause, None);
                    return topic.give_up_repair();
                }
            }
        }
    });
}

/// Keeps the subscription, for as long as the store is there.
pub(in super::super) async fn run(store: Weak<Inner>, mut wants: mpsc::UnboundedReceiver<Arc<Topic>>) {
    let Some((mut links, metrics)) = upgrade(&store).map(|(store, hub)| (store.0.primary.links(), SharedMetrics::clone(&hub.metrics)))
    else {
        return;
    };
    let mut delay = FIRST_RETRY;
    loop {
        let link = links.borrow_and_update().clone();
        let Some(LiveLink::Shared(subscriber)) = link.as_deref().map(|link| &link.live) else {
            // Nobody has said yet where the primary is.
            match links.changed().await {
                Ok(()) => continue,
                Err(_) => return,
            }
        };
        let ears = Weak::clone(&store);
        match subscriber.connect(move |push| Hub::hear(&ears, push)).await {
            Ok(connection) => {
                delay = FIRST_RETRY;
                let Err(error) = serve(&store, connection, &mut wants, &mut links).await else { return };
                tracing::warn!(%error, "the subscription was lost");
                metrics.redis.subscription_losses.inc();
            }
            Err(error) => {
                tracing::debug!(%error, "the subscription can't be made");
                metrics.redis.fail(Operation::Subscribe);
            }
        }
        let Some((_, hub)) = upgrade(&store) else { return };
        hub.set_connected(false);
        for topic in hub.topics().values() {
            topic.set_link(Link::Down);
        }
        drop(hub);
        sleep(delay.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        delay = (delay * 2).min(LAST_RETRY);
    }
}

/// Why a subscription is over.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("the connection was closed")]
    Closed,
    #[error("it has gone deaf")]
    Deaf,
    #[error("another server has become the primary")]
    Moved,
}

/// One connection's life. `Ok`: the store is no more.
async fn serve(
    store: &Weak<Inner>,
    mut connection: Subscription,
    wants: &mut mpsc::UnboundedReceiver<Arc<Topic>>,
    links: &mut Links,
) -> Result<(), Lost> {
    let Some((_, hub)) = upgrade(store) else { return Ok(()) };
    connection.subscribe(&hub.probe_channels).await?;
    hub.set_connected(true);
    let all: Vec<Arc<Topic>> = hub.topics().values().cloned().collect();
    // A loss that was noticed before this connection was made says nothing about it.
    let _ = timeout(Duration::ZERO, hub.lost.notified()).await;
    hub.unheard().clear();
    drop(hub);
    follow(store, &mut connection, all).await?;

    let (mut retry, mut retry_after) = (Instant::now() + TICK, TICK);
    let (mut ticks, mut probe) = (interval(TICK), fastrand::u64(..u64::MAX / 2));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let Some((_, hub)) = upgrade(store) else { return Ok(()) };
        tokio::select! {
            topic = wants.recv() => {
                let Some(topic) = topic else { return Ok(()) };
                // Those that came meanwhile go with it.
                let others = std::iter::from_fn(|| wants.try_recv().ok());
                let topics = std::iter::once(topic).chain(others).collect();
                follow(store, &mut connection, topics).await?;
            }
            () = hub.lost.notified() => return Err(Lost::Closed),
            Ok(()) = links.changed() => return Err(Lost::Moved),
            _ = ticks.tick() => {
                probe += 1;
                let oldest = hub.unheard().first().copied();
                if oldest.is_some_and(|oldest| probe > oldest + DEAF_AFTER) {
                    return Err(Lost::Deaf);
                }
                send_probe(store, probe);
                look(store, &mut connection).await?;
                if retry <= Instant::now() {
                    // A part of a Cluster that is down costs the other parts something with each attempt.
                    retry_after = if follow_again(store, &mut connection).await? { (retry_after * 2).min(LAST_RETRY_DOWN) } else { TICK };
                    retry = Instant::now() + retry_after;
                }
            }
        }
    }
}

/// Publishes a message that the node should hear. It goes the way of all writes: were it published over the subscription's own
/// connection, one that leads to the wrong server would hear itself.
fn send_probe(store: &Weak<Inner>, probe: u64) {
    let Some((store, hub)) = upgrade(store) else { return };
    let Some(channel) = usize::try_from(probe).ok().and_then(|n| hub.probe_channels.get(n % hub.probe_channels.len()).cloned()) else {
        return;
    };
    hub.unheard().insert(probe);
    tokio::spawn(async move {
        let verb = if store.0.primary.is_cluster() { "SPUBLISH" } else { "PUBLISH" };
        let command = &redis::cmd(verb).arg(channel).arg(probe).to_owned();
        let run = |mut connection| async move { command.query_async(&mut connection).await };
        if store.0.primary.run(Operation::Ping, run).await.is_err() {
            // What was not sent is not missed.
            hub.unheard().remove(&probe);
        }
    });
}

/// Subscribes to the topics' channels, and then reads what was written before that.
async fn follow(store: &Weak<Inner>, connection: &mut Subscription, topics: Vec<Arc<Topic>>) -> RedisResult<()> {
    let Some((store, hub)) = upgrade(store) else { return Ok(()) };
    for topics in topics.chunks(1000) {
        let channels: Vec<String> = topics.iter().map(|topic| Keys::new(&hub.prefix, &topic.key).live).collect();
        let failed = connection.subscribe(&channels).await?;
        for (topic, channel) in topics.iter().zip(&channels) {
            if failed.contains(channel) {
                topic.set_link(Link::Down);
            } else {
                topic.set_link(Link::Unsure);
                repair(&store, Arc::clone(topic), Cause::Subscription);
            }
        }
    }
    Ok(())
}

/// Tries again the topics that could not be subscribed to, or not be read, although the connection is there. Whether there were
/// any.
async fn follow_again(store: &Weak<Inner>, connection: &mut Subscription) -> RedisResult<bool> {
    let Some((_, hub)) = upgrade(store) else { return Ok(false) };
    let down: Vec<Arc<Topic>> = hub.topics().values().filter(|topic| topic.is_down()).cloned().collect();
    let any = !down.is_empty();
    follow(store, connection, down).await?;
    Ok(any)
}

/// Lets go of topics that nobody needs, and asks the store about those that have been silent for long.
async fn look(store: &Weak<Inner>, connection: &mut Subscription) -> RedisResult<()> {
    let Some((store, hub)) = upgrade(store) else { return Ok(()) };
    let mut idle = Vec::new();
    {
        let mut topics = hub.topics();
        topics.retain(|channel, topic| {
            let keep = !topic.is_idle(LINGER);
            if !keep {
                idle.push(channel.clone());
            }
            keep
        });
        hub.count_topics(&topics);
        for topic in topics.values() {
            if topic.look_is_due() {
                repair(&store, Arc::clone(topic), Cause::Silence);
            }
        }
    }
    if !idle.is_empty() {
        connection.unsubscribe(&idle).await?;
    }
    Ok(())
}
