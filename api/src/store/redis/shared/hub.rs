//! A node's subscription: one connection for all topics, watched, and made anew when it fails.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use deadpool_redis::redis::{self, AsyncConnectionConfig, Client, PushInfo, PushKind, RedisResult, Value, aio::MultiplexedConnection};
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    super::{Inner, RedisStore, keys::Keys, published},
    topic::{Link, Topic},
};
use crate::{
    config::Settings,
    store::{Page, StoreError},
};

/// How long a topic is kept when its last client has left: one that was cut off comes back soon.
const LINGER: Duration = Duration::from_secs(5);

/// How often topics are looked through, and the subscription is probed.
const TICK: Duration = Duration::from_secs(1);

/// Ticks without the probe's coming back after which the subscription counts as deaf.
const DEAF_AFTER: u64 = 3;

/// Delays between attempts to connect, each with jitter.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// Topics that are read from the store at a time.
const REPAIRS: usize = 32;

/// All topics of a node.
pub(in super::super) struct Hub {
    /// By channel.
    topics: Mutex<HashMap<String, Arc<Topic>>>,
    connected: AtomicBool,
    /// Topics to be subscribed to. Not bounded by itself: one for each topic, of which there are at most as many as clients.
    wanted: mpsc::UnboundedSender<Arc<Topic>>,
    /// The channel by which the node hears itself.
    probe_channel: String,
    /// The last probe that came back.
    heard: AtomicU64,
    lost: Notify,
    repairs: Semaphore,
    prefix: String,
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
    pub(in super::super) fn new(settings: &Settings) -> (Self, mpsc::UnboundedReceiver<Arc<Topic>>) {
        let (wanted, wants) = mpsc::unbounded_channel();
        let hub = Self {
            topics: Mutex::default(),
            connected: AtomicBool::new(false),
            wanted,
            probe_channel: format!("{}probe:{:016x}", settings.key_prefix, fastrand::u64(..)),
            heard: AtomicU64::new(0),
            lost: Notify::new(),
            repairs: Semaphore::new(REPAIRS),
            prefix: settings.key_prefix.clone(),
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
        // Nobody receives any more only when the process ends.
        let _ = self.wanted.send(Arc::clone(&topic));
        Joined(topic)
    }

    /// Takes a message in the connection's own task: it must be quick.
    fn hear(store: &Weak<Inner>, push: PushInfo) {
        let Some((store, hub)) = upgrade(store) else { return };
        match (push.kind, push.data.as_slice()) {
            (PushKind::Disconnection, _) => hub.lost.notify_one(),
            (PushKind::Message, [Value::BulkString(channel), Value::BulkString(message)]) => {
                let Ok(channel) = std::str::from_utf8(channel) else { return };
                if channel == hub.probe_channel {
                    let probe = std::str::from_utf8(message).ok().and_then(|text| text.parse().ok());
                    hub.heard.fetch_max(probe.unwrap_or(0), Ordering::Relaxed);
                    return;
                }
                let (topic, topics) = {
                    let topics = hub.topics();
                    let Some(topic) = topics.get(channel).cloned() else { return };
                    (topic, topics.len())
                };
                let follows = published::decode(message).is_some_and(|message| topic.publish(message, topics));
                if !follows {
                    tracing::debug!(key = %topic.key, "a message was missed; the store is asked");
                    repair(&store, topic);
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
pub(super) fn repair(store: &RedisStore, topic: Arc<Topic>) {
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
                    let complete = topic.repair(page, topics);
                    if topic.end_repair(complete) {
                        return;
                    }
                }
                Err(StoreError::NotFound) => return topic.gone(),
                Err(error) => {
                    tracing::debug!(%error, key = %topic.key, "a topic could not be read");
                    return topic.give_up_repair();
                }
            }
        }
    });
}

/// Keeps the subscription, for as long as the store is there.
pub(in super::super) async fn run(
    store: Weak<Inner>,
    client: Client,
    config: AsyncConnectionConfig,
    mut wants: mpsc::UnboundedReceiver<Arc<Topic>>,
) {
    let ears = Weak::clone(&store);
    let config = config.set_push_sender(move |push| {
        Hub::hear(&ears, push);
        Ok::<_, std::convert::Infallible>(())
    });
    let mut delay = FIRST_RETRY;
    loop {
        match client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(connection) => {
                delay = FIRST_RETRY;
                let Err(error) = serve(&store, connection, &mut wants).await else { return };
                tracing::warn!(%error, "the subscription was lost");
            }
            Err(error) => tracing::debug!(%error, "the subscription can't be made"),
        }
        let Some((_, hub)) = upgrade(&store) else { return };
        hub.connected.store(false, Ordering::Release);
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
    Redis(#[from] redis::RedisError),
    #[error("the connection was closed")]
    Closed,
    #[error("it has gone deaf")]
    Deaf,
}

/// One connection's life. `Ok`: the store is no more.
async fn serve(
    store: &Weak<Inner>,
    mut connection: MultiplexedConnection,
    wants: &mut mpsc::UnboundedReceiver<Arc<Topic>>,
) -> Result<(), Lost> {
    let Some((_, hub)) = upgrade(store) else { return Ok(()) };
    let probe_channel = hub.probe_channel.clone();
    subscribe(&mut connection, std::slice::from_ref(&probe_channel)).await?;
    hub.connected.store(true, Ordering::Release);
    let all: Vec<Arc<Topic>> = hub.topics().values().cloned().collect();
    // A loss that was noticed before this connection was made says nothing about it.
    let _ = timeout(Duration::ZERO, hub.lost.notified()).await;
    drop(hub);
    follow(store, &mut connection, all).await?;

    let (mut ticks, mut probe) = (interval(TICK), 0_u64);
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
            _ = ticks.tick() => {
                if probe > hub.heard.load(Ordering::Relaxed) + DEAF_AFTER {
                    return Err(Lost::Deaf);
                }
                // A number greater than any of an earlier connection's.
                probe = probe.max(hub.heard.load(Ordering::Relaxed)) + 1;
                redis::cmd("PUBLISH").arg(&probe_channel).arg(probe).exec_async(&mut connection).await?;
                look(store, &mut connection).await?;
            }
        }
    }
}

/// Subscribes, and returns when Redis has done it: it answers in the order of asking.
async fn subscribe(connection: &mut MultiplexedConnection, channels: &[String]) -> RedisResult<()> {
    connection.subscribe(channels).await?;
    redis::cmd("PING").exec_async(connection).await
}

/// Subscribes to the topics' channels, and then reads what was written before that.
async fn follow(store: &Weak<Inner>, connection: &mut MultiplexedConnection, topics: Vec<Arc<Topic>>) -> RedisResult<()> {
    let Some((store, hub)) = upgrade(store) else { return Ok(()) };
    for topics in topics.chunks(1000) {
        let channels: Vec<String> = topics.iter().map(|topic| Keys::new(&hub.prefix, &topic.key).live).collect();
        subscribe(connection, &channels).await?;
        for topic in topics {
            topic.set_link(Link::Unsure);
            repair(&store, Arc::clone(topic));
        }
    }
    Ok(())
}

/// Lets go of topics that nobody needs, and asks the store about those that have been silent for long.
async fn look(store: &Weak<Inner>, connection: &mut MultiplexedConnection) -> RedisResult<()> {
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
        for topic in topics.values() {
            // One that could not be read is tried again; the connection is there.
            if topic.is_down() {
                topic.set_link(Link::Unsure);
                repair(&store, Arc::clone(topic));
            } else if topic.look_is_due() {
                repair(&store, Arc::clone(topic));
            }
        }
    }
    if !idle.is_empty() {
        connection.unsubscribe(&idle).await?;
    }
    Ok(())
}
