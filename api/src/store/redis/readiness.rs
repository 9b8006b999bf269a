//! Whether the node can work with Redis: Redis answers, it takes writes, and in shared delivery the
//! node receives what is published.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use deadpool_redis::redis;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared, select_ok},
};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::{
    fault,
    keys::{self, Keys},
    reader::RedisReader,
    shared::hub::Hub,
};
use crate::{
    store::{StoreError, StoreFault},
    telemetry::metrics::Operation,
};

/// How long a caller waits.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a trial takes at the most. It is shorter than [`READY_TIMEOUT`], so that the callers
/// receive the cause of a failure.
const TRIAL_TIMEOUT: Duration = Duration::from_millis(800);

/// The least time between two trials of a node.
const TRIAL_INTERVAL: Duration = Duration::from_secs(1);

/// After how long Redis deletes what a trial left that failed half-way.
const TRIAL_EXPIRES_MS: u64 = 5_000;

const FULL: &str =
    "The memory of Redis is full: writes are refused until there is room (see maxmemory)";
const UNPUBLISHED: &str = "Redis does not let this user publish messages: \
     nodes in shared delivery get this node's events late";

/// Warnings for the operator, a sentence each.
type Warnings = Result<Vec<String>, StoreError>;

/// Checks readiness, and logs when it changes.
pub(super) struct Readiness {
    checks: Arc<Checks>,
    /// The last trial: when it began, and its result. All callers wait for the same one.
    trial: Mutex<Option<(Instant, Shared<BoxFuture<'static, Warnings>>)>>,
    /// What was logged last. The same is not logged again.
    logged: Mutex<Option<String>>,
}

/// What the checks need.
struct Checks {
    reader: Arc<RedisReader>,
    /// In shared delivery.
    hub: Option<Arc<Hub>>,
    /// This node's number, part of the names that it writes to.
    node: u64,
}

impl Readiness {
    pub(super) fn new(reader: Arc<RedisReader>, hub: Option<Arc<Hub>>) -> Self {
        Self {
            checks: Arc::new(Checks {
                reader,
                hub,
                node: fastrand::u64(..),
            }),
            trial: Mutex::default(),
            logged: Mutex::default(),
        }
    }

    /// As `Store::ready` has it. When the time is up, the error is a known cause where there is
    /// one.
    pub(super) async fn ready(&self) -> Warnings {
        let last = Mutex::default();
        let in_time = timeout(READY_TIMEOUT, self.check(&last)).await;
        let result = in_time.unwrap_or_else(|_| {
            let of_subscription = || self.checks.hub.as_ref().and_then(|hub| hub.failure());
            Err(last
                .into_inner()
                .or_else(of_subscription)
                .unwrap_or_else(|| self.checks.reader.primary.no_answer()))
        });
        self.log(&result);
        result
    }

    /// `last` receives the error of the last attempt at a command.
    async fn check(&self, last: &Mutex<Option<StoreError>>) -> Warnings {
        let mut warnings = if self.checks.reader.primary.is_cluster() {
            Vec::new()
        } else {
            self.checks.server(last).await?
        };
        for warning in self.trial().await? {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        if let Some(hub) = &self.checks.hub {
            // An earlier error of the store says nothing about the subscription.
            last.lock().take();
            hub.until_healthy().await;
        }
        Ok(warnings)
    }

    /// The trial that is running, or a new one if it is time for one.
    fn trial(&self) -> Shared<BoxFuture<'static, Warnings>> {
        let mut trial = self.trial.lock();
        if let Some((_, current)) = trial
            .as_ref()
            .filter(|(begun, _)| begun.elapsed() < TRIAL_INTERVAL)
        {
            return current.clone();
        }
        let checks = Arc::clone(&self.checks);
        // A task of its own: it ends in time even when no caller waits for it any more.
        let task = tokio::spawn(async move { checks.write().await });
        let result = async move {
            task.await
                .unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string())))
        };
        let current = result.boxed().shared();
        *trial = Some((Instant::now(), current.clone()));
        current
    }

    /// Logs a change. Callers ask for readiness again and again.
    fn log(&self, result: &Warnings) {
        let now = match result {
            Ok(warnings) if warnings.is_empty() => None,
            Ok(warnings) => Some(warnings.join(". ")),
            Err(StoreError::Refused { fault, .. }) => Some(fault.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let before = std::mem::replace(&mut *self.logged.lock(), now.clone());
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

impl Checks {
    /// Checks the role and the memory of the one server.
    async fn server(&self, last: &Mutex<Option<StoreError>>) -> Warnings {
        let primary = &self.reader.primary;
        let ping = |mut connection| async move {
            redis::cmd("PING")
                .query_async::<redis::Value>(&mut connection)
                .await
        };
        primary
            .run_until_answered(Operation::Ping, last, ping)
            .await?;
        // A user may lack the right to `INFO`. Then neither role nor memory is known.
        let role = self.info("replication").await;
        if role.is_some_and(|info| info.field("role") == Some("slave")) {
            primary.leave_replica();
            return Err(StoreError::Refused {
                fault: StoreFault::Replica,
                detail: "role:slave".to_owned(),
            });
        }
        let memory = self.info("memory").await;
        Ok(memory
            .map(|info| info.memory_warnings())
            .unwrap_or_default())
    }

    async fn info(&self, section: &str) -> Option<Info> {
        let mut info = redis::cmd("INFO");
        info.arg(section);
        let answer = self.reader.primary.query(Operation::Ping, &info).await;
        redis::from_redis_value(answer.ok()?).ok().map(Info)
    }

    /// Tries to write to keys of this node, as the scripts write to those of streams. A Cluster is
    /// ready while some of its shards take writes: streams of the others fail on every node alike.
    async fn write(&self) -> Warnings {
        let last = Mutex::default();
        let primary = &self.reader.primary;
        let trials = keys::trials(&self.reader.prefix, self.node, primary.is_cluster());
        // The first shard that answers is enough: shards that are down never do.
        let any = select_ok(
            trials
                .iter()
                .map(|keys| Box::pin(self.write_to_shard(keys, &last))),
        );
        match timeout(TRIAL_TIMEOUT, any).await {
            Ok(answer) => answer.map(|(warnings, _)| warnings),
            Err(_) => Err(last.lock().take().unwrap_or_else(|| primary.no_answer())),
        }
    }

    async fn write_to_shard(&self, keys: &Keys, last: &Mutex<Option<StoreError>>) -> Warnings {
        let script = &self.reader.scripts.ready;
        let mut call = script.call(&[&keys.events, &keys.meta, &keys.index, &keys.live], 512);
        call.arg(TRIAL_EXPIRES_MS);
        let call = &call;
        let run = |mut connection| async move { script.run(call, &mut connection).await };
        let primary = &self.reader.primary;
        match primary.run_until_answered(Operation::Ping, last, run).await {
            Ok(redis::Value::Nil) => Ok(Vec::new()),
            Ok(redis::Value::BulkString(problem)) => {
                let error = fault::from_script(&String::from_utf8_lossy(&problem));
                // In shared delivery the node's own subscribers need the messages.
                if self.hub.is_some() {
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
}

/// A section of the reply to `INFO` (<https://redis.io/docs/latest/commands/info/>).
struct Info(String);

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
                "The maxmemory-policy of Redis is {policy}: it deletes live streams \
                 when its memory is full; noeviction does not"
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
    fn an_evicting_policy_and_a_full_memory_give_a_warning() {
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
