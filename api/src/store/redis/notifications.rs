//! Notifications that streams were finished or replaced, for open uploads.
//!
//! All watches of the node share one connection. It is made when the first watch is a moment old,
//! and closed when there has been no watch for a while. So short uploads cost Redis nothing.
//! Notifications are hints: a watch that may have missed one is notified, too.

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::Duration,
};

use deadpool_redis::redis::{PushInfo, PushKind, RedisError, Value};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{
    primary::PrimaryWatch,
    pubsub::{PubSubConnection, hash_tag},
    reader::RedisReader,
};
use crate::{
    store::watch::{StreamWatch, Watches},
    stream::StreamKey,
    telemetry::metrics::Operation,
};

/// How often the node subscribes to the channels of new watches, and unsubscribes from those
/// without watches.
const TICK: Duration = Duration::from_millis(200);

/// The time between two checks of the connection.
const CHECK_INTERVAL: Duration = Duration::from_secs(3);

/// How long the connection is kept without watches.
const LINGER: Duration = Duration::from_secs(30);

/// Delays between attempts to connect, each with jitter.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(8);

/// Channels that one command subscribes to.
const CHANNELS_PER_COMMAND: usize = 1_000;

/// The watches of this node, and the connection that notifies them.
pub(super) struct Notifications {
    reader: Arc<RedisReader>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By channel.
    watches: Watches<String>,
    /// Channels that the connection has to subscribe to.
    new: HashSet<String>,
    /// A task serves the watches.
    is_served: bool,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum ConnectionLost {
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("the connection was closed")]
    Closed,
    #[error("a part of the Cluster does not answer")]
    Partial,
    #[error("another server has become the primary")]
    Moved,
}

impl Notifications {
    pub(super) fn new(reader: Arc<RedisReader>) -> Self {
        Self {
            reader,
            state: Mutex::default(),
        }
    }

    /// Watches the stream at the key. Must be called within a runtime.
    pub(super) fn watch(self: &Arc<Self>, key: &StreamKey) -> StreamWatch {
        let channel = self.reader.keys(key).notify();
        let mut state = self.state.lock();
        let (watch, is_first) = state.watches.add(channel.clone());
        if is_first {
            state.new.insert(channel);
        }
        if !std::mem::replace(&mut state.is_served, true) {
            tokio::spawn(serve(Arc::downgrade(self)));
        }
        watch
    }

    /// Handles what the server pushes. It runs in the connection's own task, so it must be quick.
    fn receive(&self, push: PushInfo, lost: &Notify) {
        match (push.kind, push.data.as_slice()) {
            (PushKind::Disconnection, _) => lost.notify_one(),
            // A Cluster moved the slot, and the channels with it.
            (PushKind::SUnsubscribe, [Value::BulkString(channel), ..])
                if std::str::from_utf8(channel)
                    .is_ok_and(|channel| self.state.lock().watches.contains(channel)) =>
            {
                lost.notify_one();
            }
            (PushKind::Message | PushKind::SMessage, [Value::BulkString(channel), _]) => {
                if let Ok(channel) = std::str::from_utf8(channel) {
                    self.state.lock().watches.notify(channel);
                }
            }
            _ => {}
        }
    }

    /// Removes channels without watches, and returns those that were subscribed to.
    fn take_unused(&self) -> Vec<String> {
        let mut state = self.state.lock();
        let mut unused = state.watches.take_unused();
        unused.retain(|channel| !state.new.remove(channel));
        unused
    }

    fn is_used(&self) -> bool {
        !self.state.lock().watches.is_empty()
    }

    /// Ends the service if there is no watch. The next watch starts it again.
    fn stop_if_unused(&self) -> bool {
        let mut state = self.state.lock();
        let stops = state.watches.is_empty();
        if stops {
            state.is_served = false;
        }
        stops
    }

    /// Subscribes to the channels of new watches. Then notifies those watches, because their
    /// streams may have been finished before.
    async fn subscribe(&self, connection: &mut PubSubConnection) -> Result<(), ConnectionLost> {
        let new: Vec<String> = self.state.lock().new.drain().collect();
        let mut is_complete = true;
        for channels in new.chunks(CHANNELS_PER_COMMAND) {
            let failed = connection.subscribe(channels).await?;
            is_complete &= failed.is_empty();
            let state = self.state.lock();
            for channel in channels.iter().filter(|channel| !failed.contains(*channel)) {
                state.watches.notify(channel);
            }
        }
        is_complete.then_some(()).ok_or(ConnectionLost::Partial)
    }

    /// Asks each server that has watched channels for an answer over this connection: a network
    /// that drops all packets ends no connection for a quarter of an hour. Subscribing again to a
    /// channel changes nothing.
    async fn check(&self, connection: &mut PubSubConnection) -> Result<(), ConnectionLost> {
        let channels: Vec<String> = {
            let state = self.state.lock();
            let subscribed = state
                .watches
                .names()
                .filter(|name| !state.new.contains(*name));
            let mut tags = HashSet::new();
            subscribed
                .filter(|channel| tags.insert(hash_tag(channel)))
                .cloned()
                .collect()
        };
        if channels.is_empty() || connection.subscribe(&channels).await?.is_empty() {
            Ok(())
        } else {
            Err(ConnectionLost::Partial)
        }
    }
}

/// Connects again and again, as long as there are watches.
async fn serve(weak: Weak<Notifications>) {
    let Some(mut primaries) = weak.upgrade().map(|shared| shared.reader.primary.watch()) else {
        return;
    };
    let mut delay = FIRST_RETRY;
    let mut is_reported = false;
    // Most uploads are over by then.
    sleep(TICK).await;
    while let Some(shared) = weak.upgrade() {
        shared.take_unused();
        if shared.stop_if_unused() {
            return;
        }
        let connected_at = Instant::now();
        drop(shared);
        let Err(error) = connect(&weak, &mut primaries).await else {
            return;
        };
        let Some(shared) = weak.upgrade() else {
            return;
        };
        {
            let mut state = shared.state.lock();
            state.new = state.watches.names().cloned().collect();
        }
        shared.reader.metrics.redis.fail(Operation::Subscribe);
        drop(shared);
        if connected_at.elapsed() > LAST_RETRY {
            (delay, is_reported) = (FIRST_RETRY, false);
        }
        if !std::mem::replace(&mut is_reported, true) {
            tracing::warn!(
                %error,
                "the node receives no notifications; \
                 until it does, open uploads learn with their next line that a stream is finished"
            );
        }
        sleep(delay.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        delay = (delay * 2).min(LAST_RETRY);
    }
}

/// Serves the watches over one connection. `Ok`: they are no longer served.
async fn connect(
    weak: &Weak<Notifications>,
    primaries: &mut PrimaryWatch,
) -> Result<(), ConnectionLost> {
    let current = primaries.borrow_and_update().clone();
    let Some(current) = current else {
        // No Sentinel has named a primary yet.
        let _ = primaries.changed().await;
        return Err(ConnectionLost::Moved);
    };
    let (receiver, lost) = (Weak::clone(weak), Arc::new(Notify::new()));
    let receive = {
        let lost = Arc::clone(&lost);
        move |push| {
            if let Some(shared) = receiver.upgrade() {
                shared.receive(push, &lost);
            }
        }
    };
    let mut connection = current.notifications.connect(receive).await?;
    drop(current);

    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut checked_at = Instant::now();
    let mut used_at = Instant::now();
    loop {
        let Some(shared) = weak.upgrade() else {
            return Ok(());
        };
        tokio::select! {
            biased;
            () = lost.notified() => return Err(ConnectionLost::Closed),
            Ok(()) = primaries.changed() => return Err(ConnectionLost::Moved),
            _ = ticks.tick() => {}
        }
        let unused = shared.take_unused();
        if !unused.is_empty() {
            connection.unsubscribe(&unused).await?;
        }
        if shared.is_used() {
            used_at = Instant::now();
        }
        shared.subscribe(&mut connection).await?;
        if checked_at.elapsed() >= CHECK_INTERVAL {
            shared.check(&mut connection).await?;
            checked_at = Instant::now();
        }
        if used_at.elapsed() >= LINGER && shared.stop_if_unused() {
            return Ok(());
        }
    }
}
