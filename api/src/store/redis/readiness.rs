//! Whether Redis can be worked with, from end to end: it answers, it takes writes, and the node
//! hears what is written.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use deadpool_redis::redis;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared, select_ok},
};
use tokio::time::timeout;

use super::{
    RedisStore, fault,
    keys::{self, Keys},
};
use crate::{
    store::{StoreError, StoreFault},
    telemetry::metrics::Operation,
};

/// How long a caller waits.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a trial takes at the most: its cause is to be known before its callers give up.
const TRIAL_TIMEOUT: Duration = Duration::from_millis(800);

/// The least time between two trials of a node.
const TRIAL_INTERVAL: Duration = Duration::from_secs(1);

/// After how long Redis forgets what a trial that failed half-way left behind.
const TRIAL_EXPIRES_MS: u64 = 5_000;

const FULL: &str =
    "The memory of Redis is full: writes are refused until there is room (see maxmemory)";
const UNPUBLISHED: &str = "Redis does not let this user publish messages: nodes in shared delivery get this node's events late";

type Warnings = Result<Vec<String>, StoreError>;

/// What a node knows of Redis' readiness.
pub(super) struct Readiness {
    /// This node's, in the names that it tries.
    node: u64,
    /// When the last trial began, and what it brings. All callers wait for the same.
    trial: Mutex<Option<(Instant, Shared<BoxFuture<'static, Warnings>>)>>,
    /// What was logged last: the same is not logged again.
    logged: Mutex<Option<String>>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            node: fastrand::u64(..),
            trial: Mutex::default(),
            logged: Mutex::default(),
        }
    }
}

impl Readiness {
    /// The trial under way, or a new one if it is time for one.
    fn trial(&self, store: &RedisStore) -> Shared<BoxFuture<'static, Warnings>> {
        let mut trial = self.trial.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, current)) = trial
            .as_ref()
            .filter(|(begun, _)| begun.elapsed() < TRIAL_INTERVAL)
        {
            return current.clone();
        }
        let store = store.clone();
        // A task of its own: it ends in time also when nobody waits for it any more.
        let task = tokio::spawn(async move { try_to_write(&store).await });
        let ended = async move {
            task.await
                .unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string())))
        };
        let current = ended.boxed().shared();
        *trial = Some((Instant::now(), current.clone()));
        current
    }

    /// Logs a change: readiness is asked for again and again.
    fn log(&self, result: &Warnings) {
        let now = match result {
            Ok(warnings) if warnings.is_empty() => None,
            Ok(warnings) => Some(warnings.join(". ")),
            Err(StoreError::Refused { fault, .. }) => Some(fault.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let before = std::mem::replace(
            &mut *self.logged.lock().unwrap_or_else(PoisonError::into_inner),
            now.clone(),
        );
        match (result, now) {
            (_, now) if now == before => {}
            (Err(error), _) => {
                tracing::warn!(%error, "the store is not ready; requests are refused until it is");
            }
            (Ok(_), Some(warnings)) => tracing::warn!("{warnings}"),
            (Ok(_), None) => tracing::info!("the store is ready again"),
        }
    }
}

/// Returns what an operator should know although all is well. A known cause wins over the time that
/// was up.
pub(super) async fn ready(store: &RedisStore) -> Warnings {
    let last = Mutex::default();
    let in_time = timeout(READY_TIMEOUT, look(store, &last)).await;
    let result = in_time.unwrap_or_else(|_| {
        let last = last.into_inner().unwrap_or_else(PoisonError::into_inner);
        let of_subscription = || store.hub().and_then(|hub| hub.failure());
        Err(last
            .or_else(of_subscription)
            .unwrap_or_else(|| store.0.primary.silence()))
    });
    store.0.readiness.log(&result);
    result
}

async fn look(store: &RedisStore, last: &Mutex<Option<StoreError>>) -> Warnings {
    let mut warnings = if store.0.primary.is_cluster() {
        Vec::new()
    } else {
        server(store, last).await?
    };
    for warning in store.0.readiness.trial(store).await? {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    if let Some(hub) = store.hub() {
        // What went wrong with the store before says nothing about the subscription.
        last.lock().unwrap_or_else(PoisonError::into_inner).take();
        hub.hears().await;
    }
    Ok(warnings)
}

async fn server(store: &RedisStore, last: &Mutex<Option<StoreError>>) -> Warnings {
    let ping =
        |mut connection| async move { redis::cmd("PING").query_async(&mut connection).await };
    store.0.primary.insist(Operation::Ping, last, ping).await?;
    // A user may be forbidden to ask for this; then nothing is known of it.
    if info(store, "replication")
        .await
        .is_some_and(|info| info.field("role") == Some("slave"))
    {
        store.0.primary.look_elsewhere();
        return Err(StoreError::Refused {
            fault: StoreFault::Replica,
            detail: "role:slave".to_owned(),
        });
    }
    Ok(info(store, "memory")
        .await
        .map(|info| info.memory_warnings())
        .unwrap_or_default())
}

/// Writes to keys of the node's own, as the scripts that matter do. A Cluster is worth being asked
/// as long as some of its shards take writes: streams of the others fail on every node alike.
async fn try_to_write(store: &RedisStore) -> Warnings {
    let last = Mutex::default();
    let is_cluster = store.0.primary.is_cluster();
    let trials = keys::trials(&store.0.prefix, store.0.readiness.node, is_cluster);
    // Of shards that are down no answer is waited for.
    let any = select_ok(
        trials
            .iter()
            .map(|keys| Box::pin(try_shard(store, keys, &last))),
    );
    let answer = timeout(TRIAL_TIMEOUT, any)
        .await
        .map(|answer| answer.map(|(warnings, _)| warnings));
    answer.unwrap_or_else(|_| {
        let last = last.lock().unwrap_or_else(PoisonError::into_inner).take();
        Err(last.unwrap_or_else(|| store.0.primary.silence()))
    })
}

async fn try_shard(store: &RedisStore, keys: &Keys, last: &Mutex<Option<StoreError>>) -> Warnings {
    let script = &store.0.scripts.ready;
    let mut call = script.call(&[&keys.events, &keys.meta, &keys.index, &keys.live], 512);
    call.arg(TRIAL_EXPIRES_MS);
    let call = &call;
    let run = |mut connection| async move { script.run(call, &mut connection).await };
    match store.0.primary.insist(Operation::Ping, last, run).await {
        Ok(redis::Value::Nil) => Ok(Vec::new()),
        Ok(redis::Value::BulkString(problem)) => {
            let error = fault::reported(&String::from_utf8_lossy(&problem));
            // In shared delivery the node's own subscribers depend on it.
            if store.0.hub.is_some() {
                Err(error)
            } else {
                Ok(vec![UNPUBLISHED.to_owned()])
            }
        }
        Ok(_) => Err(StoreError::Unexpected("not the answer of ready.lua")),
        Err(StoreError::Refused {
            fault: StoreFault::Full,
            ..
        }) => Ok(vec![FULL.to_owned()]),
        Err(error) => Err(error),
    }
}

/// A section of what Redis says of itself (<https://redis.io/docs/latest/commands/info/>).
struct Info(String);

async fn info(store: &RedisStore, section: &str) -> Option<Info> {
    let run = |mut connection| async move {
        redis::cmd("INFO")
            .arg(section)
            .query_async(&mut connection)
            .await
    };
    let answer = store.0.primary.run(Operation::Ping, run).await.ok()?;
    redis::from_redis_value(answer).ok().map(Info)
}

impl Info {
    fn field(&self, name: &str) -> Option<&str> {
        self.0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    }

    fn memory_warnings(&self) -> Vec<String> {
        let number = |name| {
            self.field(name)
                .and_then(|text| text.parse::<u64>().ok())
                .unwrap_or(0)
        };
        let (used, max) = (number("used_memory"), number("maxmemory"));
        match self.field("maxmemory_policy") {
            Some("noeviction") if max > 0 && used >= max => {
                vec![FULL.to_owned()]
            }
            Some("noeviction") | None => Vec::new(),
            Some(policy) => vec![format!(
                "The maxmemory-policy of Redis is {policy}: it deletes live streams when its memory is full; noeviction does not"
            )],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(info: &str) -> Vec<String> {
        Info(info.to_owned()).memory_warnings()
    }

    #[test]
    fn a_policy_that_evicts_and_a_full_memory_are_warned_of() {
        assert!(
            warnings(
                "# Memory\r\nused_memory:5\r\nmaxmemory:10\r\nmaxmemory_policy:noeviction\r\n"
            )
            .is_empty()
        );
        assert!(
            warnings("used_memory:5\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n").is_empty()
        );
        assert!(
            warnings("used_memory:11\r\nmaxmemory:10\r\nmaxmemory_policy:noeviction\r\n")[0]
                .contains("full")
        );
        for policy in ["allkeys-lru", "volatile-ttl"] {
            assert!(
                warnings(&format!(
                    "used_memory:5\r\nmaxmemory:0\r\nmaxmemory_policy:{policy}\r\n"
                ))[0]
                    .contains(policy)
            );
        }
        assert!(warnings("").is_empty());
    }
}
