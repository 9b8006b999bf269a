//! All topics of a node: who joins them, what is heard of them, and what is read from the store
//! where something was missed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use deadpool_redis::redis::{PushInfo, PushKind, Value};
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use super::topic::{Health, Repaired, Topic};
use crate::{
    config::Settings,
    store::{
        Page, StoreError,
        redis::{
            RedisStore,
            keys::{self, Keys},
            message,
            store::Inner,
        },
    },
    telemetry::metrics::{Cause, SharedMetrics},
};

/// Topics that are read from the store at a time.
const REPAIRS: usize = 32;

/// All topics of a node.
pub(in super::super) struct Hub {
    /// By channel.
    topics: Mutex<HashMap<String, Arc<Topic>>>,
    connected: AtomicBool,
    /// Whether the node has heard itself over the connection that there is.
    hears: watch::Sender<bool>,
    /// Why it does not, since it last did.
    failure: Mutex<Option<StoreError>>,
    /// Topics to be subscribed to. Emptied at least once a second while there is a subscription,
    /// and with each attempt to make one. So its bound is how many streams subscribers join in that
    /// time.
    wanted: mpsc::UnboundedSender<Arc<Topic>>,
    /// The channels by which the node hears itself, probed in turn.
    pub(super) probe_channels: Vec<String>,
    /// Probes that have not come back, and the tick in which each was sent.
    unheard: Mutex<BTreeMap<u64, u64>>,
    pub(super) lost: Notify,
    repairs: Semaphore,
    pub(super) prefix: String,
    pub(super) metrics: SharedMetrics,
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
            failure: Mutex::default(),
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
    pub(super) fn topics(&self) -> MutexGuard<'_, HashMap<String, Arc<Topic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn unheard(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count_topics(&self, topics: &HashMap<String, Arc<Topic>>) {
        self.metrics
            .redis
            .topics
            .set(i64::try_from(topics.len()).unwrap_or(i64::MAX));
    }

    pub(super) fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Release);
        if !connected {
            self.set_hears(false);
        }
    }

    fn set_hears(&self, hears: bool) {
        self.metrics.redis.subscription_up.set(hears.into());
        if hears && self.failure_slot().take().is_some() {
            tracing::info!("the node hears what is written again");
        }
        self.hears
            .send_if_modified(|before| std::mem::replace(before, hears) != hears);
    }

    /// Resolves when the node hears what is written.
    pub(in super::super) async fn hears(&self) {
        // The sender is in `self`, so that the wait does not fail.
        let _ = self.hears.subscribe().wait_for(|&hears| hears).await;
    }

    /// The node may not send the messages by which it hears itself.
    pub(super) fn set_deaf(&self) {
        self.set_hears(false);
    }

    /// Whether it hears now.
    pub(super) fn is_hearing(&self) -> bool {
        *self.hears.borrow()
    }

    fn failure_slot(&self) -> MutexGuard<'_, Option<StoreError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the node does not hear, if that is known.
    pub(in super::super) fn failure(&self) -> Option<StoreError> {
        self.failure_slot().clone()
    }

    /// Takes why the node does not hear. It is logged when it is another reason than before, not
    /// with each attempt.
    pub(super) fn fail(&self, error: StoreError) {
        let mut known = self.failure_slot();
        let is_new = match (known.as_ref(), &error) {
            (
                Some(StoreError::Refused { fault: before, .. }),
                StoreError::Refused { fault, .. },
            ) => before != fault,
            (Some(before), error) => before.to_string() != error.to_string(),
            (None, _) => true,
        };
        if is_new {
            tracing::warn!(%error, "the subscription does not hold; until it does, subscribers of this node get events late");
            *known = Some(error);
        }
    }

    /// Whether the channel is one that the node wants to hear.
    fn wants(&self, channel: &str) -> bool {
        self.topics().contains_key(channel)
            || self.probe_channels.iter().any(|probe| probe == channel)
    }

    /// The topic of the stream that the page was read from.
    pub(super) fn join(&self, page: &Page) -> Joined {
        let channel = Keys::new(&self.prefix, &page.key).live;
        let mut topics = self.topics();
        if let Some(topic) = topics
            .get(&channel)
            .filter(|topic| topic.generation == page.info.generation && !topic.is_deleted())
        {
            topic.join();
            return Joined(Arc::clone(topic));
        }
        let link = if self.connected.load(Ordering::Acquire) {
            Health::Unsure
        } else {
            Health::Down
        };
        let topic = Arc::new(Topic::new(page, link));
        topic.join();
        if let Some(earlier) = topics.insert(channel, Arc::clone(&topic)) {
            earlier.set_deleted();
        }
        self.count_topics(&topics);
        // Nobody receives any more only when the process ends.
        let _ = self.wanted.send(Arc::clone(&topic));
        Joined(topic)
    }

    /// Takes a message in the connection's own task: it must be quick.
    pub(super) fn hear(store: &Weak<Inner>, push: PushInfo) {
        let Some((store, hub)) = upgrade(store) else {
            return;
        };
        match (push.kind, push.data.as_slice()) {
            (PushKind::Disconnection, _) => hub.lost.notify_one(),
            // A Cluster's slot has moved, and its channels with it. What the node itself lets go it
            // does not want any more.
            (PushKind::SUnsubscribe, [Value::BulkString(channel), ..])
                if std::str::from_utf8(channel).is_ok_and(|channel| hub.wants(channel)) =>
            {
                hub.lost.notify_one();
            }
            (
                PushKind::Message | PushKind::SMessage,
                [Value::BulkString(channel), Value::BulkString(message)],
            ) => {
                let Ok(channel) = std::str::from_utf8(channel) else {
                    return;
                };
                let known = {
                    let topics = hub.topics();
                    topics
                        .get(channel)
                        .cloned()
                        .map(|topic| (topic, topics.len()))
                };
                let Some((topic, topics)) = known else {
                    let probe = std::str::from_utf8(message)
                        .ok()
                        .and_then(|text| text.parse().ok());
                    if probe.is_some_and(|probe: u64| hub.unheard().remove(&probe).is_some()) {
                        hub.set_hears(true);
                    }
                    return;
                };
                let follows =
                    message::decode(message).is_some_and(|message| topic.publish(message, topics));
                if !follows {
                    tracing::debug!(key = %topic.key, "a message was missed; the store is asked");
                    repair(&store, topic, Cause::Gap);
                }
            }
            _ => {}
        }
    }
}

pub(super) fn upgrade(store: &Weak<Inner>) -> Option<(RedisStore, Arc<Hub>)> {
    let store = RedisStore(store.upgrade()?);
    let hub = store.hub()?;
    Some((store, hub))
}

/// Reads what the topic at this channel has missed, if the node has it.
pub(in super::super) fn ask_for(store: &RedisStore, hub: &Hub, channel: &str) {
    let topic = hub.topics().get(channel).cloned();
    if let Some(topic) = topic {
        repair(store, topic, Cause::Gap);
    }
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
            let Ok(_permit) = hub.repairs.acquire().await else {
                return;
            };
            match store.page(&topic.key, Some(topic.newest())).await {
                Ok(page) if page.info.generation != topic.generation => return topic.set_deleted(),
                Ok(page) => {
                    let topics = hub.topics().len();
                    let Repaired { complete, found } = topic.repair(page, topics);
                    hub.metrics.redis.catch_up(cause, Some(found));
                    if topic.end_repair(complete) {
                        return;
                    }
                }
                Err(StoreError::NotFound) => return topic.set_deleted(),
                Err(error) => {
                    tracing::debug!(%error, key = %topic.key, "a topic could not be read");
                    hub.metrics.redis.catch_up(cause, None);
                    return topic.give_up_repair();
                }
            }
        }
    });
}
