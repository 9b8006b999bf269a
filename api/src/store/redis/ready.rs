//! Whether Redis can be worked with, from end to end: it answers, it takes writes, and the node hears what is written.

use deadpool_redis::redis;
use futures::future::select_ok;

use super::{RedisStore, keys};
use crate::{metrics::Operation, store::StoreError};

/// Returns what an operator should know although all is well.
pub(super) async fn ready(store: &RedisStore) -> Result<Vec<String>, StoreError> {
    if let Some(hub) = store.hub() {
        hub.hears().await;
    }
    if store.0.primary.is_cluster() { any_shard(store).await } else { server(store).await }
}

/// A Cluster is worth being asked as long as some of its shards answer: streams of the others fail on every node alike.
async fn any_shard(store: &RedisStore) -> Result<Vec<String>, StoreError> {
    let ask = |key| async move {
        let run = |mut connection| async move { redis::cmd("EXISTS").arg(key).query_async(&mut connection).await };
        store.0.primary.run(Operation::Ping, run).await
    };
    let keys = keys::probes(&store.0.prefix, 0, true);
    // Of shards that are down no answer is waited for.
    select_ok(keys.iter().map(|key| Box::pin(ask(key)))).await.map(|_| Vec::new())
}

async fn server(store: &RedisStore) -> Result<Vec<String>, StoreError> {
    let ping = |mut connection| async move { redis::cmd("PING").query_async(&mut connection).await };
    store.0.primary.run(Operation::Ping, ping).await?;
    // A user may be forbidden to ask for this; then nothing is known of it.
    if info(store, "replication").await.is_some_and(|info| info.field("role") == Some("slave")) {
        store.0.primary.look_elsewhere();
        return Err(StoreError::Unavailable("Redis is a replica, which takes no writes".to_owned()));
    }
    Ok(info(store, "memory").await.map(|info| info.memory_warnings()).unwrap_or_default())
}

/// A section of what Redis says of itself (<https://redis.io/docs/latest/commands/info/>).
struct Info(String);

async fn info(store: &RedisStore, section: &str) -> Option<Info> {
    let run = |mut connection| async move { redis::cmd("INFO").arg(section).query_async(&mut connection).await };
    let answer = store.0.primary.run(Operation::Ping, run).await.ok()?;
    redis::from_redis_value(answer).ok().map(Info)
}

impl Info {
    fn field(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    fn memory_warnings(&self) -> Vec<String> {
        let number = |name| self.field(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let (used, max) = (number("used_memory"), number("maxmemory"));
        match self.field("maxmemory_policy") {
            Some("noeviction") if max > 0 && used >= max => {
                vec!["The memory of Redis is full: writes are refused until there is room (see maxmemory)".to_owned()]
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
        assert!(warnings("# Memory\r\nused_memory:5\r\nmaxmemory:10\r\nmaxmemory_policy:noeviction\r\n").is_empty());
        assert!(warnings("used_memory:5\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n").is_empty());
        assert!(warnings("used_memory:11\r\nmaxmemory:10\r\nmaxmemory_policy:noeviction\r\n")[0].contains("full"));
        for policy in ["allkeys-lru", "volatile-ttl"] {
            assert!(warnings(&format!("used_memory:5\r\nmaxmemory:0\r\nmaxmemory_policy:{policy}\r\n"))[0].contains(policy));
        }
        assert!(warnings("").is_empty());
    }
}
