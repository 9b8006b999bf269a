//! `/api/ready`: a node is ready exactly when its subscribers would receive new events.

use crate::common::{Kind, broker, redis::Redis, until};

#[tokio::test]
async fn a_node_that_can_write_but_not_subscribe_is_not_ready() {
    let redis = Redis::start(&[]);
    // A user with all rights, except to subscribe to the node's own channel.
    redis.cli(&[
        "acl",
        "setuser",
        "limited",
        "on",
        ">secret",
        "~*",
        "+@all",
        "resetchannels",
        "&*:live:*",
    ]);
    let broker = broker(Kind::Shared)
        .set(
            "REDIS_URL",
            format!("{}?user=limited&pass=secret", redis.url()),
        )
        .start()
        .await;
    broker.create("chat").await;
    broker.add_events("chat", 0, 1).await;
    assert_eq!(broker.ready().await.0, 503);
    redis.cli(&["acl", "setuser", "limited", "allchannels"]);
    until("it is subscribed", async || {
        broker.ready().await == (200, "OK".to_owned())
    })
    .await;
}

#[tokio::test]
async fn a_node_whose_redis_is_a_replica_is_not_ready() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    assert_eq!(broker.ready().await.0, 200);
    redis.cli(&["replicaof", "127.0.0.1", "1"]);
    assert_eq!(broker.ready().await.0, 503);
    redis.cli(&["replicaof", "no", "one"]);
    until("it is ready again", async || broker.ready().await.0 == 200).await;
}

#[tokio::test]
async fn an_eviction_policy_and_full_memory_are_reported_while_ready() {
    let redis = Redis::start(&["--maxmemory-policy", "allkeys-lru"]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    let (status, text) = broker.ready().await;
    assert!(
        status == 200 && text.starts_with("OK\nWarning: ") && text.contains("allkeys-lru"),
        "{text}"
    );
    redis.cli(&["config", "set", "maxmemory-policy", "noeviction"]);
    assert_eq!(broker.ready().await, (200, "OK".to_owned()));
    redis.cli(&["config", "set", "maxmemory", "1mb"]);
    let (status, text) = broker.ready().await;
    assert!(status == 200 && text.contains("full"), "{text}");
}

#[tokio::test]
async fn a_cluster_with_a_shard_down_is_still_ready() {
    let cluster = tokio::task::spawn_blocking(|| crate::common::cluster::Cluster::start(0))
        .await
        .unwrap();
    let broker = broker(Kind::Cluster)
        .set("REDIS_URL", cluster.url())
        .start()
        .await;
    until("it is ready", async || broker.ready().await.0 == 200).await;
    let last = cluster.nodes().last().unwrap();
    for redis in cluster.nodes() {
        redis.cli(&["config", "set", "cluster-require-full-coverage", "no"]);
    }
    let _ = last.try_cli(&["shutdown", "nosave", "now"]);
    let in_a_row = std::cell::Cell::new(0);
    until("it is ready without it, and stays so", async || {
        in_a_row.set(if broker.ready().await.0 == 200 {
            in_a_row.get() + 1
        } else {
            0
        });
        in_a_row.get() == 50
    })
    .await;
}
