//! All topics of a node: subscribers join them, messages and reads of the store fill them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use deadpool_redis::redis::{PushInfo, PushKind, Value};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use super::topic::{Health, Repaired, Topic};
use crate::{
    store::{
        Page, StoreError,
        redis::{keys, message, reader::RedisReader},
    },
    telemetry::metrics::Cause,
};

/// Topics that are read from the store at the same time.
const MAX_REPAIRS: usize = 32;

/// All topics of a node, and the health of the subscription that brings their messages.
pub(in super::super) struct Hub {
    pub(super) reader: Arc<RedisReader>,
    /// By channel.
    topics: Mutex<HashMap<String, Arc<Topic>>>,
    is_connected: AtomicBool,
    /// Whether the node has received a probe over the current connection.
    is_healthy: watch::Sender<bool>,
    /// Why the subscription is not healthy.
    failure: Mutex<Option<StoreError>>,
    /// Topics to which the node must subscribe. `receive` empties it at least once a second, and
    /// after each attempt to connect. So its bound is how many streams subscribers join in that
    /// time.
    new_topics: mpsc::UnboundedSender<Arc<Topic>>,
    /// The channels of the node's probes, which it uses in turn.
    pub(super) probe_channels: Vec<String>,
    /// Probes that were sent and not received, and the tick of each.
    pending_probes: Mutex<BTreeMap<u64, u64>>,
    /// Wakes `receive` when the connection is lost.
    pub(super) lost: Notify,
    repairs: Semaphore,
}

/// A subscriber's membership in a topic. The node keeps a topic for a while after its last
/// subscriber.
pub(super) struct Joined(pub(super) Arc<Topic>);

impl Drop for Joined {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Hub {
    /// A hub without topics. `receive::run` subscribes to those that it sends to the receiver.
    pub(in super::super) fn new(
        reader: Arc<RedisReader>,
    ) -> (Self, mpsc::UnboundedReceiver<Arc<Topic>>) {
        let (new_topics, receiver) = mpsc::unbounded_channel();
        let is_cluster = reader.primary.is_cluster();
        let hub = Self {
            topics: Mutex::default(),
            is_connected: AtomicBool::new(false),
            is_healthy: watch::Sender::new(false),
            failure: Mutex::default(),
            new_topics,
            probe_channels: keys::probes(&reader.prefix, fastrand::u64(..), is_cluster),
            pending_probes: Mutex::default(),
            lost: Notify::new(),
            repairs: Semaphore::new(MAX_REPAIRS),
            reader,
        };
        (hub, receiver)
    }

    /// The number of connections that it holds.
    pub(in super::super) fn connections(&self) -> usize {
        usize::from(self.is_connected.load(Ordering::Relaxed))
    }

    pub(super) fn topics(&self) -> MutexGuard<'_, HashMap<String, Arc<Topic>>> {
        self.topics.lock()
    }

    pub(super) fn pending_probes(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.pending_probes.lock()
    }

    pub(super) fn count_topics(&self, topics: &HashMap<String, Arc<Topic>>) {
        let count = i64::try_from(topics.len()).unwrap_or(i64::MAX);
        self.reader.metrics.redis.topics.set(count);
    }

    /// Joins the topic of the stream that the page was read from.
    pub(super) fn join(&self, page: &Page) -> Joined {
        let channel = self.reader.keys(&page.key).live;
        let mut topics = self.topics();
        if let Some(topic) = topics
            .get(&channel)
            .filter(|topic| topic.generation == page.info.generation && !topic.is_deleted())
        {
            topic.join();
            return Joined(Arc::clone(topic));
        }
        let health = if self.is_connected.load(Ordering::Acquire) {
            Health::Unsure
        } else {
            Health::Down
        };
        let topic = Arc::new(Topic::new(page, health));
        topic.join();
        if let Some(earlier) = topics.insert(channel, Arc::clone(&topic)) {
            earlier.set_deleted();
        }
        self.count_topics(&topics);
        // The receiver is dropped only when the process ends.
        let _ = self.new_topics.send(Arc::clone(&topic));
        Joined(topic)
    }
}

/// The health of the subscription.
impl Hub {
    pub(super) fn set_connected(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Release);
        if !is_connected {
            self.set_healthy(false);
        }
    }

    pub(super) fn set_healthy(&self, is_healthy: bool) {
        let metrics = &self.reader.metrics.redis;
        metrics.subscription_up.set(is_healthy.into());
        if is_healthy && self.failure.lock().take().is_some() {
            tracing::info!("the subscription is healthy again");
        }
        self.is_healthy
            .send_if_modified(|before| std::mem::replace(before, is_healthy) != is_healthy);
    }

    pub(super) fn is_healthy(&self) -> bool {
        *self.is_healthy.borrow()
    }

    /// Resolves when the subscription is healthy.
    pub(in super::super) async fn until_healthy(&self) {
        // The sender is in `self`, so the wait does not fail.
        let _ = self.is_healthy.subscribe().wait_for(|&is| is).await;
    }

    /// Why the subscription is not healthy, if that is known.
    pub(in super::super) fn failure(&self) -> Option<StoreError> {
        self.failure.lock().clone()
    }

    /// Records why the subscription is not healthy. Logs a reason when it is another than before,
    /// not at each attempt.
    pub(super) fn fail(&self, error: StoreError) {
        let mut known = self.failure.lock();
        let is_new = match (known.as_ref(), &error) {
            (
                Some(StoreError::Refused { fault: before, .. }),
                StoreError::Refused { fault, .. },
            ) => before != fault,
            (Some(before), error) => before.to_string() != error.to_string(),
            (None, _) => true,
        };
        if is_new {
            tracing::warn!(
                %error,
                "the subscription does not hold; \
                 until it does, subscribers of this node get events late"
            );
            *known = Some(error);
        }
    }
}

/// Messages.
impl Hub {
    /// Handles what the server pushes. It runs in the connection's own task, so it must be quick.
    pub(super) fn receive(self: &Arc<Self>, push: PushInfo) {
        match (push.kind, push.data.as_slice()) {
            (PushKind::Disconnection, _) => self.lost.notify_one(),
            // A Cluster moved the slot, and the channels with it. The node itself unsubscribes only
            // from channels that it does not need any more.
            (PushKind::SUnsubscribe, [Value::BulkString(channel), ..])
                if std::str::from_utf8(channel).is_ok_and(|channel| self.needs(channel)) =>
            {
                self.lost.notify_one();
            }
            (
                PushKind::Message | PushKind::SMessage,
                [Value::BulkString(channel), Value::BulkString(message)],
            ) => {
                if let Ok(channel) = std::str::from_utf8(channel) {
                    self.receive_message(channel, message);
                }
            }
            _ => {}
        }
    }

    fn receive_message(self: &Arc<Self>, channel: &str, message: &[u8]) {
        let found = {
            let topics = self.topics();
            let topic = topics.get(channel).cloned();
            topic.map(|topic| (topic, topics.len()))
        };
        let Some((topic, topics)) = found else {
            self.receive_probe(message);
            return;
        };
        let follows =
            message::decode(message).is_some_and(|message| topic.publish(message, topics));
        if !follows {
            tracing::debug!(key = %topic.key, "a message was missed; the topic reads the store");
            self.repair(topic, Cause::Gap);
        }
    }

    fn receive_probe(&self, message: &[u8]) {
        let probe = std::str::from_utf8(message)
            .ok()
            .and_then(|text| text.parse().ok());
        if probe.is_some_and(|probe: u64| self.pending_probes().remove(&probe).is_some()) {
            self.set_healthy(true);
        }
    }

    /// Whether the node needs messages of this channel.
    fn needs(&self, channel: &str) -> bool {
        self.topics().contains_key(channel)
            || self.probe_channels.iter().any(|probe| probe == channel)
    }
}

/// Reads of the store.
impl Hub {
    /// Reads from the store what the topic at this channel has missed, if the node has the topic.
    pub(in super::super) fn repair_channel(self: &Arc<Self>, channel: &str) {
        let topic = self.topics().get(channel).cloned();
        if let Some(topic) = topic {
            self.repair(topic, Cause::Gap);
        }
    }

    /// Reads from the store what the topic has missed, unless a task does so already.
    pub(super) fn repair(self: &Arc<Self>, topic: Arc<Topic>, cause: Cause) {
        if topic.begin_repair() {
            let hub = Arc::clone(self);
            tokio::spawn(async move { hub.read_missed(&topic, cause).await });
        }
    }

    async fn read_missed(&self, topic: &Topic, cause: Cause) {
        let metrics = &self.reader.metrics.redis;
        loop {
            // The semaphore is never closed.
            let Ok(_permit) = self.repairs.acquire().await else {
                return;
            };
            match self.reader.page(&topic.key, Some(topic.newest())).await {
                Ok(page) if page.info.generation != topic.generation => return topic.set_deleted(),
                Ok(page) => {
                    let topics = self.topics().len();
                    let Repaired { complete, found } = topic.repair(page, topics);
                    metrics.catch_up(cause, Some(found));
                    if topic.end_repair(complete) {
                        return;
                    }
                }
                Err(StoreError::NotFound) => return topic.set_deleted(),
                Err(error) => {
                    tracing::debug!(%error, key = %topic.key, "a topic could not be read");
                    metrics.catch_up(cause, None);
                    return topic.give_up_repair();
                }
            }
        }
    }
}
