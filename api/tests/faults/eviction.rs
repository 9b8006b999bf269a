//! Redis runs out of memory: it evicts keys, or it refuses writes.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    common::{Kind, redis::Redis},
    fleet::{Fleet, eventually, fleet, node},
};

/// Limits the memory of Redis to its current use plus this much.
fn limit_memory(redis: &Redis, more: u64) {
    let info = redis.cli(&["info", "memory"]);
    let used: u64 = info
        .lines()
        .find_map(|line| line.trim_end().strip_prefix("used_memory:"))
        .unwrap()
        .parse()
        .unwrap();
    redis.cli(&["config", "set", "maxmemory", &(used + more).to_string()]);
}

async fn streams_are_evicted_under_load(kind: Kind) {
    let redis = Redis::start(&["--maxmemory-policy", "allkeys-lru"]);
    let broker = node(kind).set("REDIS_URL", redis.url()).start().await;
    let keys: Vec<String> = (0..12).map(|n| format!("chat-{n}")).collect();
    let fleets = keys.iter().enumerate().map(|(n, key)| {
        fleet(&[&broker.url])
            .key(key)
            .subscribers(2)
            .first_kind(2 * n)
            .event_bytes(4000)
            .start()
    });
    let fleets = join_all(fleets).await;
    limit_memory(&redis, 2 << 20);
    let stored = |half: &str| {
        redis
            .cli(&["keys", &format!("*:{half}:*[0-9]")])
            .lines()
            .count()
    };
    eventually("streams are evicted", || {
        stored("events") + stored("meta") <= 2 * keys.len() - 3
    })
    .await;
    redis.cli(&["config", "set", "maxmemory", "0"]);
    let whole = join_all(fleets.into_iter().map(Fleet::end_whole_or_lost)).await;
    assert!(whole.contains(&false), "some streams were evicted");
    // New streams can be created at the same keys.
    for (key, _) in keys
        .iter()
        .zip(&whole)
        .filter(|(_, whole)| !**whole)
        .take(2)
    {
        fleet(&[&broker.url])
            .key(key)
            .start()
            .await
            .end_whole()
            .await;
    }
}

async fn one_key_of_a_stream_is_evicted_at_any_time(kind: Kind) {
    let redis = Redis::start(&[]);
    let broker = node(kind).set("REDIS_URL", redis.url()).start().await;
    for half in ["events", "meta", "meta", "events"] {
        let fleet = fleet(&[&broker.url]).subscribers(6).start().await;
        sleep(Duration::from_millis(fastrand::u64(..500))).await;
        let key = redis.cli(&["keys", &format!("*:{half}:chat")]);
        assert_eq!(redis.cli(&["del", &key]), "1");
        fleet.end_lost().await;
        assert_eq!(broker.get("/api/stream/info?key=chat").await.0, 404);
        assert_eq!(broker.get("/api/stream").await.1, json!([]));
    }
    let fleet = fleet(&[&broker.url]).start().await;
    fleet.end_whole().await;
}

async fn writes_are_refused_while_redis_is_full(kind: Kind) {
    let redis = Redis::start(&["--maxmemory-policy", "noeviction"]);
    let broker = node(kind).set("REDIS_URL", redis.url()).start().await;
    let fleet = fleet(&[&broker.url]).event_bytes(2000).start().await;
    for _ in 0..3 {
        limit_memory(&redis, 100 << 10);
        fleet.is_refused(20).await;
        redis.cli(&["config", "set", "maxmemory", "0"]);
        fleet.flows().await;
    }
    fleet.end_whole().await;
}

/// A change that a full Redis refuses has no effect. Redis accepts the end of a stream, because
/// subscribers wait for it.
async fn a_full_redis_refuses_all_of_a_change(kind: Kind) {
    let redis = Redis::start(&["--maxmemory-policy", "noeviction"]);
    let broker = node(kind).set("REDIS_URL", redis.url()).start().await;
    broker.create("ended").await;
    let written = broker.add_events("ended", 0, 3).await;
    broker.end("ended").await;
    let token = broker.create("active").await;
    redis.cli(&["config", "set", "maxmemory", "1"]);
    let event = json!({"event": "x"});
    for (path, body) in [
        ("stream", json!({"key": "ended"})),
        ("stream", json!({"key": "new"})),
        (
            "event/add",
            json!({"key": "active", "events": [event, event]}),
        ),
        (
            "event/add",
            json!({"key": "active", "events": [event, event], "producer": "p", "sequence": 0}),
        ),
    ] {
        let (status, error) = broker.post(&format!("/api/{path}"), body).await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (503, &json!("store-unavailable")),
            "{path}"
        );
    }
    broker.end("active").await;
    redis.cli(&["config", "set", "maxmemory", "0"]);

    let (_, events) = broker.get("/api/stream/events?key=ended").await;
    assert_eq!(
        (events.as_array().unwrap().len(), &events[1]["id"]),
        (5, &json!(written[0])),
        "the stream that should be replaced still exists"
    );
    assert_eq!(broker.get("/api/stream/info?key=new").await.0, 404);
    assert_eq!(
        broker.sse("active", &token, None).await.rest().await.len(),
        2
    );
    broker.create("ended").await;
    broker.add_events("ended", 0, 1).await;
}

over_each_delivery!(
    streams_are_evicted_under_load,
    one_key_of_a_stream_is_evicted_at_any_time,
    writes_are_refused_while_redis_is_full,
    a_full_redis_refuses_all_of_a_change,
);
