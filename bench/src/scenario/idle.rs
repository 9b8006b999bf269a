//! Idle subscribers: the memory of each, and whether the server frees it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::common::Common;
use crate::{
    error::Outcome,
    publisher::BatchPublisher,
    recorder::Recorder,
    result::RunResult,
    stream::{KEPT, Stream},
    subscribers::{DELIVERY_TIMEOUT, Subscribers},
    target::{RedisState, Target},
};

pub(crate) const FULL: &str = "broker MB with clients";
pub(crate) const MEMORY: &str = "broker KB/client";
pub(crate) const MEMORY_AGAIN: &str = "broker KB/client, last time";
pub(crate) const REDIS_MEMORY: &str = "redis KB/client";
pub(crate) const REDIS_CONNECTIONS: &str = "redis connections/client";

/// How many subscribers connect before the measurement, so that one-time allocations do not count.
const FIRST: usize = 10;

/// How long to wait before reading memory.
const REST: Duration = Duration::from_millis(500);

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Idle {
    /// Idle subscribers
    #[arg(long, alias = "clients", default_value = "1000")]
    pub(crate) subscribers: usize,
    /// How often they connect; memory that is not freed grows with it
    #[arg(long, default_value = "2")]
    pub(crate) rounds: usize,
}

/// Memory and connections at one moment.
struct Snapshot {
    broker: u64,
    redis: RedisState,
}

impl Snapshot {
    async fn take(target: &Target) -> Outcome<Self> {
        sleep(REST).await;
        Ok(Self {
            broker: target.memory(),
            redis: target.redis_state().await?,
        })
    }
}

impl Idle {
    pub(super) async fn run(&self, common: &Common, target: &Target) -> Outcome<RunResult> {
        let stream = target.api.create(KEPT).await?;
        drop(self.connect(FIRST, common, target, &stream).await?);
        wait_until_empty(target, &stream).await?;
        let empty = Snapshot::take(target).await?;
        let start = Instant::now();
        let subscribers = self
            .connect(self.subscribers, common, target, &stream)
            .await?;
        let connected = start.elapsed();
        let full = Snapshot::take(target).await?;
        drop(subscribers);
        let left = wait_until_empty(target, &stream).await?;
        let vacant = Snapshot::take(target).await?;
        let mut again = Snapshot {
            broker: full.broker,
            redis: full.redis,
        };
        for round in 1..self.rounds {
            if round > 1 {
                wait_until_empty(target, &stream).await?;
            }
            let subscribers = self
                .connect(self.subscribers, common, target, &stream)
                .await?;
            again = Snapshot::take(target).await?;
            drop(subscribers);
        }
        target.api.end(&stream).await?;

        let per_subscriber =
            |with: u64, without: u64| (with as f64 - without as f64) / self.subscribers as f64;
        let kb = |bytes: f64| bytes / 1_000.0;
        let mut result = RunResult::new(format!(
            "{}: idle, {} subscribers",
            target.name, self.subscribers
        ));
        result.put(
            "connects/s",
            self.subscribers as f64 / connected.as_secs_f64(),
        );
        if target.is_local() {
            result.put("broker MB without clients", kb(kb(empty.broker as f64)));
            result.put(FULL, kb(kb(full.broker as f64)));
            result.put("broker MB after they left", kb(kb(vacant.broker as f64)));
            result.put(
                "broker MB with clients, last time",
                kb(kb(again.broker as f64)),
            );
            result.put(MEMORY, kb(per_subscriber(full.broker, empty.broker)));
            result.put(MEMORY_AGAIN, kb(per_subscriber(again.broker, empty.broker)));
        }
        if target.has_redis() {
            result.put(
                REDIS_MEMORY,
                kb(per_subscriber(full.redis.memory, empty.redis.memory)),
            );
            result.put(
                REDIS_CONNECTIONS,
                per_subscriber(full.redis.connections, empty.redis.connections),
            );
            result.put(
                "redis connections left",
                vacant.redis.connections as f64 - empty.redis.connections as f64,
            );
        }
        if let Some(left) = left {
            result.put("s until all slots were free", left.as_secs_f64());
        }
        Ok(result)
    }

    /// Connects subscribers. Returns when each has received an event.
    async fn connect(
        &self,
        count: usize,
        common: &Common,
        target: &Target,
        stream: &Stream,
    ) -> Outcome<Subscribers> {
        let (api, recorder) = (&target.api, Arc::new(Recorder::new()?));
        let subscribers = Subscribers::connect(
            api,
            std::slice::from_ref(stream),
            count,
            common.transport,
            &recorder,
        )
        .await?;
        let events = BatchPublisher::open(api, stream, 1, common.payload)
            .await?
            .publish()
            .await?;
        subscribers.wait_for(events).await?;
        Ok(subscribers)
    }
}

/// Waits until the server has noticed that the subscribers left. Returns how long that took, if the
/// server reports it.
async fn wait_until_empty(target: &Target, stream: &Stream) -> Outcome<Option<Duration>> {
    let start = Instant::now();
    while let Some(slots) = target.api.subscriber_count().await? {
        if slots == 0 || start.elapsed() > DELIVERY_TIMEOUT {
            return Ok(Some(start.elapsed()));
        }
        sleep(Duration::from_millis(50)).await;
    }
    // The baseline has no heartbeat. It notices that subscribers left only when it writes to them,
    // and reliably at the second write.
    let mut batches = BatchPublisher::open(&target.api, stream, 1, 1).await?;
    for _ in 0..3 {
        batches.publish().await?;
        sleep(REST / 2).await;
    }
    Ok(None)
}
