//! Redis does not answer, and its connections stay open.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::{
    bad_subscribers::{TRANSPORTS, read_nothing},
    common::{
        Kind,
        broker::Setup,
        redis::{Redis, signal},
        within,
    },
    fleet::{fleet, node},
    fleet_subscriber::{Record, no_subscriber_was_closed},
};

async fn freeze(redis: &Redis, pid: u32, seconds: u64) {
    signal(pid, "-STOP");
    sleep(Duration::from_secs(seconds)).await;
    signal(pid, "-CONT");
    assert_eq!(redis.pid(), pid);
}

/// Returns what the subscribers received.
async fn redis_is_frozen(setup: Setup, times: &[u64]) -> Vec<Record> {
    let redis = Redis::start(&[]);
    let broker = setup.set("REDIS_URL", redis.url()).start().await;
    let (fleet, pid) = (fleet(&[&broker.url]).start().await, redis.pid());
    for &seconds in times {
        freeze(&redis, pid, seconds).await;
        fleet.flows().await;
    }
    fleet.end_whole().await
}

async fn redis_is_frozen_for_1_second_and_for_5(kind: Kind) {
    assert!(no_subscriber_was_closed(
        &redis_is_frozen(node(kind), &[1, 5]).await
    ));
}

async fn redis_is_frozen_for_20_seconds(kind: Kind) {
    assert!(no_subscriber_was_closed(
        &redis_is_frozen(node(kind), &[20]).await
    ));
}

async fn redis_is_frozen_for_20_seconds_with_a_short_store_timeout(kind: Kind) {
    let records = redis_is_frozen(
        node(kind).set("REDIS_TIMEOUT", 1).set("STORE_PATIENCE", 2),
        &[20],
    )
    .await;
    assert!(
        records.iter().all(|record| record.visits > 1),
        "every subscriber was closed and reconnected"
    );
}

async fn a_node_is_stopped_while_redis_is_frozen(kind: Kind) {
    let redis = Redis::start(&[]);
    let broker = node(kind).set("REDIS_URL", redis.url()).start().await;
    let other = broker.another_node().await;
    let (fleet, pid) = (fleet(&[&broker.url, &other.url]).start().await, redis.pid());
    signal(pid, "-STOP");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(broker.stop("-TERM").await.0, Some(0));
    fleet.go_to(&[&other.url]);
    signal(pid, "-CONT");
    fleet.flows().await;
    fleet.end_whole().await;
}

async fn a_node_is_stopped_while_redis_is_frozen_and_subscribers_read_nothing(kind: Kind) {
    let redis = Redis::start(&[]);
    let broker = node(kind).set("REDIS_URL", redis.url()).start().await;
    let token = broker
        .create_with(json!({"key": "big", "max_events": 100_000}))
        .await;
    let mut stalled = Vec::new();
    for turn in 0..6 {
        stalled.push(read_nothing(&broker, TRANSPORTS[turn % 2], "big", &token).await);
    }
    let data = "x".repeat(50_000);
    for _ in 0..10 {
        let events: Vec<_> = (0..20)
            .map(|_| json!({"event": "big", "data": data}))
            .collect();
        broker.add("big", json!(events)).await;
    }
    let pid = redis.pid();
    signal(pid, "-STOP");
    assert_eq!(within(broker.stop("-TERM")).await.0, Some(0));
    signal(pid, "-CONT");
}

over_each_delivery!(
    redis_is_frozen_for_1_second_and_for_5,
    redis_is_frozen_for_20_seconds,
    redis_is_frozen_for_20_seconds_with_a_short_store_timeout,
    a_node_is_stopped_while_redis_is_frozen,
    a_node_is_stopped_while_redis_is_frozen_and_subscribers_read_nothing,
);
