//! Clients that wait: what each of them holds, and whether it is given back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::Common;
use crate::{
    api::{KEPT, Stream},
    fleet::{Fleet, PATIENCE},
    meter::Meter,
    problem::Outcome,
    publisher::Batches,
    result::Findings,
    target::{RedisState, Target},
};

pub(crate) const FULL: &str = "broker MB with clients";
pub(crate) const MEMORY: &str = "broker KB/client";
pub(crate) const MEMORY_AGAIN: &str = "broker KB/client, last time";
pub(crate) const REDIS_MEMORY: &str = "redis KB/client";
pub(crate) const REDIS_CONNECTIONS: &str = "redis connections/client";

/// Clients that come and go before anything is measured, so that what is set up once is not counted
/// for them.
const FIRST: usize = 10;

/// How long memory is left alone before it is read.
const REST: Duration = Duration::from_millis(500);

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Idle {
    /// Clients that wait
    #[arg(long, default_value = "1000")]
    pub(crate) clients: usize,
    /// How often they come: memory that is not given back grows with it
    #[arg(long, default_value = "2")]
    pub(crate) rounds: usize,
}

/// Memory and connections at a time.
struct Look {
    broker: u64,
    redis: RedisState,
}

impl Look {
    async fn take(target: &Target) -> Outcome<Self> {
        sleep(REST).await;
        Ok(Self {
            broker: target.memory(),
            redis: target.redis_state().await?,
        })
    }
}

impl Idle {
    pub(super) async fn run(&self, common: &Common, target: &Target) -> Outcome<Findings> {
        let stream = target.api.create(KEPT).await?;
        drop(self.connect(FIRST, common, target, &stream).await?);
        vacated(target, &stream).await?;
        let empty = Look::take(target).await?;
        let start = Instant::now();
        let fleet = self.connect(self.clients, common, target, &stream).await?;
        let connected = start.elapsed();
        let full = Look::take(target).await?;
        drop(fleet);
        let left = vacated(target, &stream).await?;
        let vacant = Look::take(target).await?;
        let mut again = Look {
            broker: full.broker,
            redis: full.redis,
        };
        for round in 1..self.rounds {
            if round > 1 {
                vacated(target, &stream).await?;
            }
            let fleet = self.connect(self.clients, common, target, &stream).await?;
            again = Look::take(target).await?;
            drop(fleet);
        }
        target.api.end(&stream).await?;

        let per_client =
            |with: u64, without: u64| (with as f64 - without as f64) / self.clients as f64;
        let kb = |bytes: f64| bytes / 1_000.0;
        let mut found = Findings::new(format!("{}: idle, {} clients", target.name, self.clients));
        found.put("connects/s", self.clients as f64 / connected.as_secs_f64());
        if target.is_near() {
            found.put("broker MB without clients", kb(kb(empty.broker as f64)));
            found.put(FULL, kb(kb(full.broker as f64)));
            found.put("broker MB after they left", kb(kb(vacant.broker as f64)));
            found.put(
                "broker MB with clients, last time",
                kb(kb(again.broker as f64)),
            );
            found.put(MEMORY, kb(per_client(full.broker, empty.broker)));
            found.put(MEMORY_AGAIN, kb(per_client(again.broker, empty.broker)));
        }
        if target.has_redis() {
            found.put(
                REDIS_MEMORY,
                kb(per_client(full.redis.memory, empty.redis.memory)),
            );
            found.put(
                REDIS_CONNECTIONS,
                per_client(full.redis.connections, empty.redis.connections),
            );
            found.put(
                "redis connections left",
                vacant.redis.connections as f64 - empty.redis.connections as f64,
            );
        }
        if let Some(left) = left {
            found.put("s until all slots were free", left.as_secs_f64());
        }
        Ok(found)
    }

    /// Connects clients, each of which has received an event when this returns.
    async fn connect(
        &self,
        clients: usize,
        common: &Common,
        target: &Target,
        stream: &Stream,
    ) -> Outcome<Fleet> {
        let (api, meter) = (&target.api, Arc::new(Meter::new()?));
        let fleet = Fleet::connect(
            api,
            std::slice::from_ref(stream),
            clients,
            common.transport,
            &meter,
        )
        .await?;
        let events = Batches::open(api, stream, 1, common.payload)
            .await?
            .publish()
            .await?;
        fleet.wait_for(events).await?;
        Ok(fleet)
    }
}

/// Waits until the server knows that the clients have left; how long that took, if it says so.
async fn vacated(target: &Target, stream: &Stream) -> Outcome<Option<Duration>> {
    let start = Instant::now();
    while let Some(slots) = target.api.slots_in_use().await? {
        if slots == 0 || start.elapsed() > PATIENCE {
            return Ok(Some(start.elapsed()));
        }
        sleep(Duration::from_millis(50)).await;
    }
    // The floor has no heartbeat: only by writing to clients does it learn that they are gone, and
    // by the second time for certain.
    let mut batches = Batches::open(&target.api, stream, 1, 1).await?;
    for _ in 0..3 {
        batches.publish().await?;
        sleep(REST / 2).await;
    }
    Ok(None)
}
